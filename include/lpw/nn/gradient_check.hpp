// Gradients of a layer or network of one's own, with respect to its input and all its parameters, against central
// differences in double (autograd/gradient_check.hpp).
#pragma once

#include <concepts>
#include <cstddef>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <lpw/autograd/gradient_check.hpp>
#include <lpw/nn/module.hpp>

namespace lpw::inline LPW_ABI::nn {

/// A module whose gradients can be checked: its weights are doubles on the CPU.
template <class M>
concept CheckableModule = Module<M> && std::same_as<double, WeightOf<M>> && std::same_as<Cpu, typename M::device_type>;

namespace detail {

/// Puts a layer's weights back, and makes its gradients zero, however a check ends.
class CheckedParameters {
 public:
  using Named = std::pair<std::string, Parameter<double, Cpu>>;
  explicit CheckedParameters(std::vector<Named>& parameters) : parameters_(parameters) {
    for (const auto& [name, parameter] : parameters) values_.push_back(clone(parameter.value()));
  }
  CheckedParameters(const CheckedParameters&) = delete;
  CheckedParameters& operator=(const CheckedParameters&) = delete;
  ~CheckedParameters() {
    for (std::size_t i = 0; i < values_.size(); ++i) {
      copy(values_[i], parameters_[i].second.value());
      fill(parameters_[i].second.gradient(), 0.0);
    }
  }
  [[nodiscard]] const std::vector<Tensor<double, Cpu>>& values() const { return values_; }

 private:
  std::vector<Named>& parameters_;
  std::vector<Tensor<double, Cpu>> values_;
};

}  // namespace detail

/// "" if the gradients of a layer in double at x [K, B, ...] agree with central differences for every element of x and
/// of every parameter (each member's rows, factors and deviations, too), else a line about the first that does not.
/// Released, it is checked with as many members. Parameters are as before afterwards, and their gradients zero, also
/// where forward throws; running statistics move as in training.
template <CheckableModule M>
[[nodiscard]] std::string gradient_mismatch(std::string_view name, M& layer, const Tensor<double, Cpu>& x,
                                            const TapeOptions& options = {}) {
  std::vector<std::pair<std::string, Parameter<double, Cpu>>> parameters;
  std::set<const void*> seen;
  for_each_parameter(layer, [&](const std::string& called, auto& parameter) {
    if (seen.insert(parameter.id()).second) parameters.emplace_back(called, parameter);
  });
  const detail::CheckedParameters before(parameters);
  std::vector<Tensor<double, Cpu>> inputs{x};
  for (const auto& value : before.values()) inputs.push_back(clone(value));
  for (auto& [called, parameter] : parameters) fill(parameter.gradient(), 0.0);
  const auto layer_of = [&](gradients::DoubleVariables in) {
    for (std::size_t i = 0; i < parameters.size(); ++i) copy(in[i + 1].value(), parameters[i].second.value());
    return layer.forward(in[0]);
  };
  const auto expected = gradients::central_differences(layer_of, inputs, options);
  const auto found = gradients::tape_gradients(layer_of, inputs, options, {gradients::GradientPath::leaves});
  std::string line;
  if (const auto why = expected.mismatch(found[0], 0); !why.empty())
    line = to_text(name, ": gradient of x ", x.shape(), ", ", why);
  for (std::size_t i = 0; i < parameters.size(); ++i) {
    auto& [called, parameter] = parameters[i];
    const auto why = expected.mismatch(clone(parameter.gradient()), i + 1);
    if (line.empty() && !why.empty())
      line = to_text(name, ": gradient of '", called, "' ", parameter.value().shape(), ", ", why);
  }
  return line;
}

/// Throws Error with that line.
template <CheckableModule M>
void require_gradient(std::string_view name, M& layer, const Tensor<double, Cpu>& x, const TapeOptions& options = {}) {
  const std::string why = gradient_mismatch(name, layer, x, options);
  require(why.empty(), why);
}
/// For what is no module: says so.
template <detail::NoForward M>
auto require_gradient(std::string_view, M&, auto&&...) {
  return detail::not_a_module<M>();
}
/// For what is no module: says so.
template <detail::NoForward M>
auto gradient_mismatch(std::string_view, M&, auto&&...) {
  return detail::not_a_module<M>();
}

}  // namespace lpw::inline LPW_ABI::nn
