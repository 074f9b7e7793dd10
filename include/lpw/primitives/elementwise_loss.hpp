// Losses that are a sum over elements: x and target [K, B, ...], a loss for each sample, the mean over its elements.
//
// With softplus(x) = log(1 + exp(x)) = max(x, 0) + log(1 + exp(-|x|)), which is right for any |x|:
//   squared:  (x - target)^2
//   absolute: |x - target|
//   logistic: (1 - target) softplus(x) + p target softplus(-x), the binary cross-entropy of logits x and targets in
//             [0, 1], with a positive weight p for each column of the last axis, or 1
//
// elementwise_loss_forward(x, target, of): losses [K, B].
// elementwise_loss_backward(x, target, of, dlosses, dx): dx (+)= dlosses_kb / elements of a sample times the
//   derivative: 2 (x - target); the sign of x - target, 0 for 0; (1 - target) sigmoid(x) - p target sigmoid(-x). It is
//   0 where dlosses_kb is, of any x.
#pragma once

#include <lpw/primitives/gradient.hpp>

namespace lpw::inline LPW_ABI {

/// As above.
enum class ElementLoss { squared, absolute, logistic };

/// Which loss, and for the logistic one p [columns of the last axis], or empty: ones.
template <class W, class Device>
struct ElementwiseLoss {
  ElementLoss kind = ElementLoss::squared;  // which loss
  Tensor<W, Device> positive_weight = {};   // p
};

}  // namespace lpw::inline LPW_ABI
