// Optimizer steps. Each takes both flat stores of a network, base and late-phase weights, so that a device does all its
// weights at once, and leaves the gradients zero. gradient_factor [1], or empty for 1, is for both: see clip_factor.
// learning_rate is the store's tensor's where it has one, else its step's.
//
// sgd_step(base, late, gradient_factor): with g = gradient_scale gradient_factor gradient + weight_decay (w -
// decay_target):
//   v = momentum v + g; w -= learning_rate (nesterov ? g + momentum v : v).
//   PyTorch's convention (Sutskever et al. 2013, with the rate outside the velocity).
// adam_step(base, late, gradient_factor): Kingma and Ba 2015; decoupled: Loshchilov and Hutter 2019.
//   With g = gradient_scale gradient_factor gradient (+ weight_decay (w - decay_target) unless decoupled): m = beta1 m
//   + (1 - beta1) g; v = beta2 v + (1 - beta2) g^2; w -= learning_rate m^ / (sqrt(v^) + epsilon), where m^ and v^ are m
//   and v times their corrections; if decoupled, w -= learning_rate weight_decay (w - decay_target) was first.
// clip_factor(base, late, max_norm): [1], min(1, max_norm / (norm + 1e-6)), where norm is that of all scaled gradients
//   together; what the steps take as gradient_factor.
// On a GPU the stores may differ in rate, decay and its target, scale and Adam's count alone; in anything else it is an
// OptionError.
#pragma once

#include <cmath>

#include <lpw/tensor/tensor.hpp>

namespace lpw::inline LPW_ABI {

/// The numbers of one step of SGD, the same for all weights of a store.
struct SgdStep {
  double learning_rate = 0.1;  // of the step, unless the store has a tensor of it
  double momentum = 0;         // of the velocity
  bool nesterov = false;       // looks ahead by the momentum
  double weight_decay = 0;     // times w less its target, added to g
  double gradient_scale = 1;   // of the gradient before all else
  double decay_target = 0;     // what weight decay pulls weights to
};

/// The numbers of one step of Adam, the same for all weights of a store.
struct AdamStep {
  double learning_rate = 1e-3;        // of the step, unless the store has a tensor of it
  double beta1 = 0.9, beta2 = 0.999;  // decays of the moments
  double epsilon = 1e-8;              // beside the square root
  double weight_decay = 0;            // times w less its target
  bool decoupled = false;             // weight decay outside the moments: AdamW
  double gradient_scale = 1;          // of the gradient before all else
  std::int64_t count = 1;             // this step's number since the moments were zero, from 1 on
  double decay_target = 0;            // as for SGD

  /// What makes the running moments averages: 1 / (1 - beta^count).
  [[nodiscard]] double mean_correction() const { return 1 / (1 - std::pow(beta1, static_cast<double>(count))); }
  /// The same of the squares.
  [[nodiscard]] double square_correction() const { return 1 / (1 - std::pow(beta2, static_cast<double>(count))); }
};

/// One flat store and its step; tensors contiguous and of one size.
template <class W, class D>
struct SgdStore {
  Tensor<W, D> weight, gradient, velocity;  // [rows, n] each
  SgdStep step;                             // the numbers
  Tensor<double, D> learning_rate = {};  // [1], read when the step is made, in place of step.learning_rate; empty: that
};

/// Weights [rows, n] with what Adam reads and keeps beside them.
template <class W, class D>
struct AdamStore {
  Tensor<W, D> weight, gradient, mean, square;  // mean, square: the running moments m and v
  AdamStep step;                                // the numbers
  Tensor<double, D> learning_rate = {};         // as for SGD
};

/// A flat store's gradient and its gradient_scale.
template <class W, class D>
struct ScaledGradient {
  Tensor<W, D> gradient;  // [rows, n]
  double scale = 1;       // gradient_scale
};

/// What is added to a norm before it divides, as in PyTorch's clipping.
inline constexpr double clip_epsilon = 1e-6;

}  // namespace lpw::inline LPW_ABI
