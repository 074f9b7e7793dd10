// Tensors with a map that is applied when they are read: what a convolution takes and gives.
//
// materialize(x): the values f(raw), of raw's shape; raw's own memory where nothing is pending. NaN stays NaN.
#pragma once

#include <lpw/tensor/tensor.hpp>

namespace lpw::inline LPW_ABI {

/// Mean and biased variance per member and channel, each [K, C].
template <class W, class Device>
struct Moments {
  Tensor<W, Device> mean, variance;  // [K, C] each
};

/// An activation as a convolution reads it: f(raw), where f is the identity, or relu?(scale (x - mean) + shift) per
/// member and channel. Batch norm may hand out its result in this form, so that the normalised tensor need never be
/// stored: a convolution that can apply the map while it reads does so, any other operation asks for materialize().
template <class T, class Device>
struct Activation {
  Tensor<T, Device> raw = {};                                       // [K, ..., C]
  Tensor<Accumulate<T>, Device> mean = {}, scale = {}, shift = {};  // [K, C], or empty: nothing pending
  bool relu = false;                                                // whether negative values become 0 at last
  /// Of raw, where nothing is pending and its maker summed them: who changes raw clears them.
  Moments<Accumulate<T>, Device> moments = {};

  /// Whether f is not the identity.
  [[nodiscard]] bool pending() const { return !scale.empty(); }
  /// Of the values, [K, B, ..., C].
  [[nodiscard]] const Shape& shape() const { return raw.shape(); }
};

}  // namespace lpw::inline LPW_ABI
