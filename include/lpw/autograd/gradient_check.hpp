// Gradients of differentiable operations against central differences in double, for every element of every input: what
// the tests of lpw's operations are, for operations of one's own.
//
// The tape's side is run in all the ways in which an input can enter an operation: as a leaf, whose gradient is added
// to; behind another operation, whose gradient is written; and as the only input that wants a gradient. weighted_sum(),
// which turns an output of any shape into one number, is itself written as operations outside of the library are: as a
// function that calls record().
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <lpw/autograd/tape.hpp>
#include <lpw/tensor/philox.hpp>

namespace lpw::inline LPW_ABI {

/// What a check of gradients is made of.
namespace gradients {

/// What a check computes with.
using DoubleTensor = Tensor<double, Cpu>;
using DoubleVariable = Variable<double, Cpu>;
using DoubleVariables = std::vector<DoubleVariable>;

/// Fixed weights in [0.5, 1.5): no element's gradient is lost, and batch norm's, which vanish under equal weights, do
/// not cancel.
[[nodiscard]] inline DoubleTensor output_weights(const Shape& shape) {
  const Philox random(2021, Stream::test, 4711);
  DoubleTensor weights(shape);
  for (std::int64_t i = 0; i < weights.size(); ++i)
    weights.data()[i] = 0.5 + random.uniform(static_cast<std::uint64_t>(i));
  return weights;
}

/// sum_i w_i y_i for y of any shape -> [1].
[[nodiscard]] inline DoubleVariable weighted_sum(const DoubleVariable& y) {
  const auto value = y.value(), weights = output_weights(y.shape());
  DoubleTensor sum = zeros<double, Cpu>({1});
  for (std::int64_t i = 0; i < value.size(); ++i) sum.data()[0] += weights.data()[i] * value.data()[i];
  return record(
      sum,
      [weights, dy = y.edge()](DoubleTensor dsum) {
        auto target = dy.sink(weights.shape());
        for (std::int64_t i = 0; i < weights.size(); ++i) {
          double& out = target.tensor.data()[i];
          out = (target.accumulate ? out : 0.0) + dsum.data()[0] * weights.data()[i];
        }
      },
      y);
}

/// The value itself, as an operation of its own.
[[nodiscard]] inline DoubleVariable pass_through(const DoubleVariable& x) {
  return record(
      clone(x.value()), [dx = x.edge()](DoubleTensor dy) { dx.add(std::move(dy)); }, x);
}

/// Leaves NaN in free blocks of the pool that fit the shapes, so that a gradient that is added to instead of written
/// shows.
inline void soil_pool(const std::vector<DoubleTensor>& shapes) {
  std::vector<DoubleTensor> soiled;
  for (const auto& tensor : shapes)
    for (int copies = 0; copies < 4; ++copies)
      soiled.push_back(full<double, Cpu>(tensor.shape(), std::numeric_limits<double>::quiet_NaN()));
}

/// Which inputs want a gradient: all of them as leaves, all behind another operation, or input `only` alone.
struct GradientPath {
  /// How inputs come to the operation.
  enum Kind { leaves, behind_operation, alone };
  Kind kind = leaves;    // of those that want a gradient
  std::size_t only = 0;  // number of the input, for `alone`

  /// Whether that input wants a gradient.
  [[nodiscard]] bool wants(std::size_t input) const { return kind != alone || input == only; }
  /// For messages.
  [[nodiscard]] const char* name() const {
    return kind == leaves ? "as a leaf" : kind == behind_operation ? "behind another operation" : "alone";
  }
};

/// d weighted_sum(operation(inputs)) / d input of each input, by the tape; an input that wants none gives an empty
/// tensor.
template <class Operation>
[[nodiscard]] std::vector<DoubleTensor> tape_gradients(const Operation& operation,
                                                       const std::vector<DoubleTensor>& inputs,
                                                       const TapeOptions& options, const GradientPath& path) {
  constexpr double before = 0.25;  // a leaf's gradient is added to what was there
  Tape tape(options);
  DoubleVariables variables;
  std::vector<DoubleTensor> gradients;
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    gradients.push_back(path.wants(i) ? full<double, Cpu>(inputs[i].shape(), before) : DoubleTensor());
    const auto variable = path.wants(i) ? tape.leaf(clone(inputs[i]), gradients[i]) : tape.input(clone(inputs[i]));
    variables.push_back(path.kind == GradientPath::behind_operation ? pass_through(variable) : variable);
  }
  const auto output = weighted_sum(operation(std::move(variables)));
  soil_pool(inputs);
  tape.backward(output, full<double, Cpu>({1}, 1.0));  // one number, of however many members
  for (auto& gradient : gradients)
    for (std::int64_t i = 0; i < gradient.size(); ++i) gradient.data()[i] -= before;
  return gradients;
}

/// The same derivatives by central differences, and what they may be off by.
struct Differences {
  std::vector<DoubleTensor> derivative;  // of each input, of its shape
  double magnitude = 0;                  // the sum of the absolute values of the output's weighted elements

  /// With step h = eps^(1/3) both errors are of order eps^(2/3) = 4e-11: the truncation h^2 f''' / 6 and the rounding
  /// of f, eps |f| / h. The factor 100 leaves room for third derivatives of up to 600 |f| and for sums of 100 terms
  /// inside the operation.
  [[nodiscard]] double tolerance(double expected) const {
    return 100 * std::pow(epsilon<double>(), 2.0 / 3) * (magnitude + std::abs(expected) + 1e-3);
  }
  /// Whether all derivatives by an input are zero.
  [[nodiscard]] bool vanishes(std::size_t input) const {
    const DoubleTensor& all = derivative[input];
    return std::all_of(all.data(), all.data() + all.size(), [&](double x) { return std::abs(x) <= tolerance(0); });
  }
  /// What is to be said of a gradient [...] by an input, "" where it agrees.
  [[nodiscard]] std::string mismatch(const DoubleTensor& found, std::size_t input) const {
    for (std::int64_t i = 0; i < found.size(); ++i) {
      const double want = derivative[input].data()[i], got = found.data()[i];
      if (!(std::abs(got - want) <= tolerance(want)))  // true for NaN
        return to_text("element ", i, ": expected ", want, " +- ", tolerance(want), ", found ", got);
    }
    return {};
  }
};

/// The derivatives of the operation by its inputs, from differences of its values to both sides.
template <class Operation>
[[nodiscard]] Differences central_differences(const Operation& operation, const std::vector<DoubleTensor>& inputs,
                                              TapeOptions options) {
  options.record = false;
  const auto output = [&] {
    Tape tape(options);
    DoubleVariables variables;
    for (const auto& input : inputs) variables.push_back(tape.input(clone(input)));
    return operation(std::move(variables)).value();
  };
  const DoubleTensor value = output(), weights = output_weights(value.shape());
  Differences result;
  for (std::int64_t i = 0; i < value.size(); ++i) result.magnitude += std::abs(weights.data()[i] * value.data()[i]);
  for (DoubleTensor input : inputs) {  // a handle: the element is changed in place and restored
    DoubleTensor derivative(input.shape());
    for (std::int64_t at = 0; at < input.size(); ++at) {
      const double x = input.data()[at], h = std::cbrt(epsilon<double>()) * std::max(1.0, std::abs(x)), above = x + h,
                   below = x - h;
      input.data()[at] = above;
      const DoubleTensor upper = output();
      input.data()[at] = below;
      const DoubleTensor lower = output();
      input.data()[at] = x;
      double difference = 0;
      for (std::int64_t i = 0; i < value.size(); ++i)
        difference += weights.data()[i] * (upper.data()[i] - lower.data()[i]);
      derivative.data()[at] = difference / (above - below);
    }
    result.derivative.push_back(derivative);
  }
  return result;
}

}  // namespace gradients

/// "" if all gradients of operation(inputs) agree with central differences, else a line about the first element that
/// does not. `operation` takes a vector of variables in double, made of the inputs, and returns one; called again with
/// the same values it must give the same result. An input without any influence on the output is reported too: its
/// gradient would be right by accident.
template <class Operation>
[[nodiscard]] std::string gradient_mismatch(std::string_view name, const Operation& operation,
                                            const std::vector<gradients::DoubleTensor>& inputs,
                                            const TapeOptions& options = {}) {
  using gradients::GradientPath;
  const auto expected = gradients::central_differences(operation, inputs, options);
  std::vector<GradientPath> paths{{GradientPath::leaves}, {GradientPath::behind_operation}};
  for (std::size_t i = 0; i < inputs.size(); ++i) paths.push_back({GradientPath::alone, i});
  for (const auto& path : paths) {
    const auto found = gradients::tape_gradients(operation, inputs, options, path);
    for (std::size_t input = 0; input < inputs.size(); ++input) {
      if (!path.wants(input)) continue;
      if (const auto why = expected.mismatch(found[input], input); !why.empty())
        return to_text(name, ": gradient of input ", input, " ", inputs[input].shape(), " (", path.name(), "), ", why);
      if (expected.vanishes(input)) return to_text(name, ": input ", input, " has no influence on the output");
    }
  }
  return {};
}

/// Throws Error with that line.
template <class Operation>
void require_gradient(std::string_view name, const Operation& operation,
                      const std::vector<gradients::DoubleTensor>& inputs, const TapeOptions& options = {}) {
  const std::string why = gradient_mismatch(name, operation, inputs, options);
  require(why.empty(), why);
}

}  // namespace lpw::inline LPW_ABI
