// Additive late-phase weights of any parameter: member k computes with theta + phi_k, where theta is the parameter's
// value and the deviations phi are a parameter of their own. Unlike a dense weight's form this is part of Parameter:
// biases, batch norms and tables have it too. Release attaches phi as zeros, or as noise; collapse adds their mean to
// theta.
#pragma once

#include <lpw/nn/parameter.hpp>

namespace lpw::inline LPW_ABI::nn {

/// Gives a parameter of one row deviations of zero, which change nothing.
template <class W, class D>
void attach_additive(Parameter<W, D>& parameter) {
  parameter.set_deviations(Parameter<W, D>(zeros<W, D>(parameter.value().shape())));
}

/// What the members compute with: [1 or K, ...].
template <class W, class D>
[[nodiscard]] Tensor<W, D> member_rows(Parameter<W, D>& parameter) {
  const auto* const phi = parameter.deviations();
  return phi ? add_row_forward(phi->value(), parameter.value()) : parameter.value();
}

/// theta + mean(phi) in the place of a parameter that has deviations, which are gone then.
template <class W, class D>
void fold_additive(Parameter<W, D>& parameter) {
  const auto* const phi = parameter.deviations();
  if (!phi) return;
  auto value = add_row_forward(mean_rows(phi->value()), parameter.value());
  auto gradient = zeros<W, D>(value.shape());
  parameter.remove_deviations();
  parameter.bind(std::move(value), std::move(gradient), nullptr);
}

}  // namespace lpw::inline LPW_ABI::nn
