// Gradients of a layer's parameters, with rows of each member, through the layer, against central differences of it.
#pragma once

#include <set>
#include <string>
#include <utility>
#include <vector>

#include <lpw/nn/module.hpp>

#include "support/gradient_check.hpp"

namespace lpw::test {

constexpr std::int64_t layer_members = 3;
constexpr MemberRange all_members{}, last_two{1, 2};

using NamedParameters = std::vector<std::pair<std::string, nn::Parameter<double, Cpu>>>;

/// Handles to a layer's parameters, each once, deviations among them, of which the walk must miss none.
template <class M>
[[nodiscard]] NamedParameters parameters_of(M& layer) {
  NamedParameters result;
  std::set<const void*> seen;
  nn::for_each_parameter(layer, [&](const std::string& name, auto& parameter) {
    if (seen.insert(parameter.id()).second) result.emplace_back(name, parameter);
  });
  for (auto& [name, parameter] : result) {
    INFO(name);
    CHECK((parameter.deviations() == nullptr || seen.contains(parameter.deviations()->id())));
  }
  return result;
}

/// The gradient of a parameter since it was filled with `before`; members outside of the range must not have touched
/// theirs.
[[nodiscard]] inline DoubleTensor gradient_since(nn::Parameter<double, Cpu>& parameter, double before,
                                                 MemberRange range) {
  DoubleTensor gradient = clone(parameter.gradient());
  const bool narrowed = gradient.dim(0) == layer_members && range.count > 0;
  for (std::int64_t k = 0; k < gradient.dim(0); ++k)
    for (std::int64_t i = 0; i < gradient.shape().size_from(1); ++i) {
      gradient.row(k)[i] -= before;
      if (narrowed && (k < range.first || k >= range.first + range.count)) CHECK(gradient.row(k)[i] == 0);
    }
  return gradient;
}

/// The first element of a gradient that is not as the differences say, or "".
[[nodiscard]] inline std::string mismatch(const DoubleTensor& found, const Differences& expected, std::size_t input) {
  const DoubleTensor& wanted = expected.derivative[input];
  REQUIRE(found.shape() == wanted.shape());
  for (std::int64_t i = 0; i < found.size(); ++i) {
    const double want = wanted.data()[i], got = found.data()[i], tolerance = expected.tolerance(want);
    if (!(std::abs(got - want) <= tolerance))  // true for NaN
      return to_text("element ", i, " of ", wanted.shape(), ": expected ", want, " +- ", tolerance, ", found ", got);
  }
  return {};
}

/// The layer's gradients of x [B, ...] for each member and of all its parameters, which it leaves in them, against
/// central differences of the layer itself; x as a leaf, behind another operation, and as data.
template <class M>
void check_layer(M& layer, const Shape& x, MemberRange range) {
  NamedParameters parameters = parameters_of(layer);
  std::vector<DoubleTensor> inputs{random_tensor<double>(x.prepend(range.count > 0 ? range.count : layer_members), 99)};
  for (const auto& [name, parameter] : parameters)
    inputs.push_back(random_tensor<double>(parameter.value().shape(), static_cast<std::uint32_t>(100 + inputs.size())));
  const auto layer_of = [&](DoubleVariables in) {
    for (std::size_t i = 0; i < parameters.size(); ++i) copy(in[i + 1].value(), parameters[i].second.value());
    return layer.forward(in[0]);
  };
  const TapeOptions options{.members = range};
  const Differences expected = central_differences(layer_of, inputs, options);
  for (const auto& derivative : expected.derivative) CHECK(largest_magnitude(derivative) > expected.tolerance(0));
  constexpr double before = 0.25;
  constexpr std::size_t other_than_x = 1;
  for (const auto kind : {GradientPath::leaves, GradientPath::behind_operation, GradientPath::alone}) {
    const GradientPath path{kind, other_than_x};
    INFO("x " << (kind == GradientPath::alone ? "as data" : path.name()));
    for (auto& [name, parameter] : parameters) fill(parameter.gradient(), before);
    const auto found = tape_gradients(layer_of, inputs, options, path);
    if (path.wants(0)) CHECK(mismatch(found[0], expected, 0) == "");
    for (std::size_t i = 0; i < parameters.size(); ++i) {
      INFO("gradient of " << parameters[i].first);
      CHECK(mismatch(gradient_since(parameters[i].second, before, range), expected, i + 1) == "");
    }
  }
}

}  // namespace lpw::test
