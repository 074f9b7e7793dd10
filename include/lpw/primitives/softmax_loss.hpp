// Cross-entropy of each sample, of logits [K, B, classes] and any targets: labels or probabilities, smoothed, with
// weights of the classes, some samples left out. primitives/cross_entropy.hpp is the plain case in one pass.
//
// With targets t_c = (1 - smoothing) [c = label] + smoothing / classes, or (1 - smoothing) probabilities_c + smoothing
// / classes, class weights w_c, or ones, and a_c = w_c t_c:
//
// softmax_loss_forward(logits, targets): losses_kb = -sum_c a_c log softmax(logits)_c, 0 for a sample whose label is
//   `ignored`; for labels with class weights or an ignored one also what each sample has been weighed by, w of its
//   label, or 0. A label that is no class is an Error on the CPU; on a GPU its sample's loss is NaN.
// softmax_loss_backward(logits, targets, statistics, dlosses, dlogits):
//   dlogits (+)= dlosses_kb (sum(a) softmax(logits) - a), from the forward's statistics.
#pragma once

#include <optional>

#include <lpw/primitives/gradient.hpp>

namespace lpw::inline LPW_ABI {

/// Either labels or probabilities.
template <class T, class Device>
struct SoftmaxTargets {
  Tensor<std::int32_t, Device> labels = {};            // [K, B], in [0, classes) or `ignored`
  Tensor<T, Device> probabilities = {};                // [K, B, classes]
  Tensor<Accumulate<T>, Device> class_weights = {};    // [classes], not negative; empty: ones
  double smoothing = 0;                                // from 0 to 1
  std::optional<std::int32_t> ignored = std::nullopt;  // a label
};

/// What forward leaves.
template <class W, class Device>
struct SoftmaxLoss {
  Tensor<W, Device> losses, weights;  // [K, B]; weights maybe empty: ones
  Tensor<W, Device> statistics;       // [K, B, 3]: the largest logit, 1 / sum exp(logit - largest), sum(a)
};

}  // namespace lpw::inline LPW_ABI
