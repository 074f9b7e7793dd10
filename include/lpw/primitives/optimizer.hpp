// What one optimizer step does to a store of weights, the same for every device. A step takes both flat stores of a network, so that a
// device does all its weights at once.
#pragma once

#include <cmath>

#include <lpw/tensor/tensor.hpp>

namespace lpw::inline LPW_ABI {

struct SgdStep {
  double learning_rate = 0.1;
  double momentum = 0;
  bool nesterov = false;
  double weight_decay = 0;
  double gradient_scale = 1;
};

struct AdamStep {
  double learning_rate = 1e-3;
  double beta1 = 0.9, beta2 = 0.999;
  double epsilon = 1e-8;
  double weight_decay = 0;
  bool decoupled = false;  // weight decay outside the moments: AdamW
  double gradient_scale = 1;
  std::int64_t count = 1;  // this step's number since the moments were zero, from 1 on

  /// What makes the running moments averages: 1 / (1 - beta^count).
  [[nodiscard]] double mean_correction() const { return 1 / (1 - std::pow(beta1, static_cast<double>(count))); }
  [[nodiscard]] double square_correction() const { return 1 / (1 - std::pow(beta2, static_cast<double>(count))); }
};

/// One flat store and its step; tensors contiguous and of one size.
template <class W, class D>
struct SgdStore {
  Tensor<W, D> weight, gradient, velocity;
  SgdStep step;
  Tensor<double, D> learning_rate = {};  // [1], read when the step is made, in place of step.learning_rate; empty: that
};

template <class W, class D>
struct AdamStore {
  Tensor<W, D> weight, gradient, mean, square;  // mean, square: the running moments m and v
  AdamStep step;
  Tensor<double, D> learning_rate = {};  // as for SGD
};

/// A flat store's gradient and its gradient_scale.
template <class W, class D>
struct ScaledGradient {
  Tensor<W, D> gradient;
  double scale = 1;
};

/// Where a norm is clipped, it is as PyTorch does it: gradients times max_norm / (norm + 1e-6), if that is below 1.
inline constexpr double clip_epsilon = 1e-6;

}  // namespace lpw::inline LPW_ABI
