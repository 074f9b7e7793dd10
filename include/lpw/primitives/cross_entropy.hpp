// Mean cross-entropy of each member over its minibatch, with label smoothing: logits [K, B, classes], labels [K, B] in
// [0, classes), targets t = (1 - smoothing) [c = label] + smoothing / classes.
//
// cross_entropy_forward(logits, labels, smoothing): loss_k = mean_b -sum_c t_c log softmax(logits)_c, and
//   softmax(logits). A label that is no class is an Error on the CPU; on a GPU, which would have to be waited for, the
//   member's loss is NaN.
// cross_entropy_backward(probabilities, labels, smoothing, dloss, dlogits): dlogits (+)= dloss_k (softmax - t) / B.
// count_correct(logits, labels): [1], the samples whose largest logit, the first of equals, is that of their label.
#pragma once

#include <lpw/primitives/gradient.hpp>

namespace lpw::inline LPW_ABI {

/// The losses of K minibatches, and the probabilities of their samples, of which backward makes the gradient.
template <class T, class Device>
struct CrossEntropy {
  Tensor<Accumulate<T>, Device> loss;           // [K]: each member's mean over its minibatch
  Tensor<Accumulate<T>, Device> probabilities;  // [K, B, classes]
};

}  // namespace lpw::inline LPW_ABI
