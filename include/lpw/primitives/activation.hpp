// Tensors with a map that is applied when they are read: what a convolution takes and gives.
//
// materialize(x): the values f(raw), of raw's shape; raw's own memory where nothing is pending. NaN stays NaN.
#pragma once

#include <lpw/tensor/tensor.hpp>

namespace lpw::inline LPW_ABI {

/// Mean and biased variance per member and channel, each [K, C].
template <class W, class Device>
struct Moments {
  Tensor<W, Device> mean, variance;
};

/// An activation as a convolution reads it: f(raw), where f is the identity, or relu?(scale (x - mean) + shift) per
/// member and channel. Batch norm may hand out its result in this form, so that the normalised tensor need never be
/// stored: a convolution that can apply the map while it reads does so, any other operation asks for materialize().
template <class T, class Device>
struct Activation {
  Tensor<T, Device> raw = {};                                       // [K, ..., C]
  Tensor<Accumulate<T>, Device> mean = {}, scale = {}, shift = {};  // [K, C], or empty: nothing pending
  bool relu = false;
  // Of raw, where nothing is pending and its maker summed them: who changes raw clears them.
  Moments<Accumulate<T>, Device> moments = {};

  [[nodiscard]] bool pending() const { return !scale.empty(); }
  [[nodiscard]] const Shape& shape() const { return raw.shape(); }
};

}  // namespace lpw::inline LPW_ABI
