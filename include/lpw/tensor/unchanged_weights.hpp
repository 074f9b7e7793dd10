// Weights that nobody writes for a while. A device that computes with copies of them in another type makes each of
// these once then, and not in every pass over some of the members, forward and back.
#pragma once

#include <lpw/tensor/tensor.hpp>

namespace lpw::inline LPW_ABI {

/// Says, while it lives, that the weights in the stores [1, N] and [K, P] keep their values. A device that computes
/// with the weights as they are needs no such word; others specialise this.
template <class W, class Device>
class UnchangedWeights {
 public:
  /// Of both stores.
  UnchangedWeights(const Tensor<W, Device>& /*base*/, const Tensor<W, Device>& /*late*/) {}
  UnchangedWeights(const UnchangedWeights&) = delete;
  UnchangedWeights& operator=(const UnchangedWeights&) = delete;
  ~UnchangedWeights() {}
};

}  // namespace lpw::inline LPW_ABI
