// The mean over each member's minibatch of what there is one number of for each sample: losses [K, B] -> [K].
//
// sample_mean_forward(losses, weights): mean_k = sum_b w_kb losses_kb / sum_b w_kb with weights w, or sum_b losses_kb /
//   sum_b w_kb where the losses hold them already. A loss of weight 0 counts 0, whatever it is: infinity or NaN behind
//   a mask is nobody's. A member whose weights are all 0 has the mean 0, and leaves no gradient: NaN would spread from
//   the one member without a sample to what all share.
// sample_mean_backward(dmean, weights, dlosses): dlosses (+)= dmean_k w_kb / sum_b w_kb, or dmean_k / sum_b w_kb.
#pragma once

#include <lpw/primitives/gradient.hpp>

namespace lpw::inline LPW_ABI {

/// What samples weigh in their member's mean.
template <class W, class Device>
struct SampleWeights {
  Tensor<W, Device> values = {};  // [K, B], not negative; empty: ones
  bool in_losses = false;         // the losses have been multiplied by them
};

}  // namespace lpw::inline LPW_ABI
