// What the tests of networks for images share: members that differ, and checks of gradients of whole networks.
#pragma once

#include <string>
#include <vector>

#include <lpw/autograd/cross_entropy.hpp>
#include <lpw/nn/flat_weights.hpp>

#include "catch.hpp"
#include "support/compare.hpp"
#include "support/random.hpp"

namespace lpw::test {

template <class M>
std::int64_t parameter_count(M& network) {
  std::int64_t count = 0;
  nn::for_each_parameter(network, [&](const std::string&, auto& parameter) { count += parameter.shape().size(); });
  return count;
}

/// K networks that differ in their batch norms and heads, and rank-1 factors where there are any, all with random
/// weights.
template <class M>
void make_members(M& network, std::int64_t members) {
  nn::for_each_parameter(
      network, [](const std::string&, auto& parameter) { parameter.set_late_phase(parameter.group() != Group::none); });
  const auto flat = nn::lay_out(network, members);
  auto noise = random_tensor<nn::WeightOf<M>>(flat->value.late.shape(), 9);
  for (std::int64_t i = 0; i < noise.size(); ++i) flat->value.late.data()[i] += noise.data()[i] / 4;
}

/// Of two members' minibatches of three.
inline const Tensor<std::int32_t, Cpu>& some_labels() {
  static const auto labels = tensor_of<std::int32_t>({2, 3}, std::vector<std::int32_t>{3, 1, 4, 1, 5, 9});
  return labels;
}

/// That two members one after another give the gradients of one pass.
template <class M>
void check_member_chunks(M& network, const Tensor<double, Cpu>& images) {
  const auto flat = nn::flatten(network);
  const auto gradients = [&](std::int64_t chunk) {
    fill(flat->gradient.base, 0.0);
    fill(flat->gradient.late, 0.0);
    for (const MemberRange range : member_chunks(2, chunk)) {
      Tape tape({.members = range, .random = Philox(1, Stream::dropout)});
      tape.backward(cross_entropy(network.forward(tape.input(images.rows(range.first, range.count))),
                                  some_labels().rows(range.first, range.count)));
    }
    auto values = values_of(flat->gradient.base), late = values_of(flat->gradient.late);
    values.insert(values.end(), late.begin(), late.end());
    return values;
  };
  const auto whole = gradients(0), chunked = gradients(1);
  CHECK(largest_magnitude(whole) > 0.01);
  CHECK(relative_difference(chunked, whole) <= 1e-12);  // the same sums of some thousand terms, in another order
}

/// Holds an element of each weight's gradient, of each of two members', against finite differences. A step of 1e-7
/// keeps nearly all ReLUs on their side of the kink (28,000 in WRN-10-1); it leaves rounding errors of about 1e-9 of
/// the loss, a sum formed over ten layers, and the few ReLUs that do change sides shift the difference by their small
/// share of the gradient.
template <class M>
void check_sampled_gradients(M& network, const Tensor<double, Cpu>& images) {
  const auto loss_on = [&](const Tape& tape) {
    return cross_entropy(network.forward(tape.input(images)), some_labels(), {.label_smoothing = 0.1});
  };
  const Philox random(1, Stream::dropout);
  Tape tape({.random = random});
  tape.backward(loss_on(tape));
  const auto loss = [&] {
    const Tape quiet({.record = false, .random = random});
    const auto members = loss_on(quiet).value();
    return members.data()[0] + members.data()[1];
  };
  std::uint32_t key = 0;
  nn::for_each_parameter(network, [&](const std::string& name, auto& parameter) {
    const auto rows = parameter.value().dim(0);
    for (std::int64_t k = 0; k < rows; ++k) {
      const auto i = static_cast<std::int64_t>(
          Philox(5, Stream::test).below(key++, static_cast<std::uint32_t>(parameter.shape().size())));
      double& weight = parameter.value().row(k)[i];
      const double before = weight, step = 1e-7;
      weight = before + step;
      const double above = loss();
      weight = before - step;
      const double below = loss();
      weight = before;
      const double expected = (above - below) / (2 * step), found = parameter.gradient().row(k)[i];
      INFO(name << " member " << k << " element " << i << ": expected " << expected << ", found " << found);
      CHECK(std::abs(found - expected) <= 1e-7 + 1e-6 * std::abs(expected));
    }
  });
}

}  // namespace lpw::test
