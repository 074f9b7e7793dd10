// What the tests of losses share: an operation in double beside the same in another type, from the same numbers.
#pragma once

#include <utility>
#include <vector>

#include <lpw/autograd/tape.hpp>

#include "support/backward.hpp"
#include "support/compare.hpp"
#include "support/random.hpp"

namespace lpw::test {

/// Numbers of a size that T holds exactly.
template <class T>
[[nodiscard]] Tensor<double, Cpu> rounded_to(const Tensor<double, Cpu>& values) {
  return converted<double>(converted<T>(values));
}

/// Values and the gradients of all inputs of operation(variables of T), each in double.
template <class T, class Operation>
[[nodiscard]] std::vector<std::vector<double>> values_and_gradients(const std::vector<Tensor<double, Cpu>>& inputs,
                                                                    const Operation& operation) {
  Tape tape;
  std::vector<Tensor<T, Cpu>> gradients;
  std::vector<Variable<T, Cpu>> variables;
  for (const auto& input : inputs) {
    gradients.push_back(zeros<T, Cpu>(input.shape()));
    variables.push_back(tape.leaf(converted<T>(input), gradients.back()));
  }
  const auto y = operation(variables);
  std::vector<std::vector<double>> all{values_of(y.value())};
  backward_of_sum(tape, y);
  for (const auto& gradient : gradients) all.push_back(values_of(gradient));
  return all;
}

/// The worst difference of values, then of gradients, of `operation` in T from those in double, relative to the largest
/// of each.
template <class T, class Operation>
[[nodiscard]] std::pair<Worst, Worst> errors_in(const std::vector<Tensor<double, Cpu>>& inputs,
                                                const Operation& operation) {
  std::vector<Tensor<double, Cpu>> rounded;
  for (const auto& input : inputs) rounded.push_back(rounded_to<T>(input));
  const auto found = values_and_gradients<T>(rounded, operation),
             expected = values_and_gradients<double>(rounded, operation);
  std::pair<Worst, Worst> worst;
  worst.first.add(relative_difference(found[0], expected[0]), "values");
  for (std::size_t i = 1; i < found.size(); ++i)
    worst.second.add(relative_difference(found[i], expected[i]), to_text("gradient ", i - 1));
  return worst;
}

}  // namespace lpw::test
