// What the primitives of every device take besides tensors: geometry, pending activations, and where a gradient goes.
#pragma once

#include <cstdint>

#include <lpw/tensor/tensor.hpp>

namespace lpw {

/// Geometry of a convolution; the kernel's height and width are the weight's.
struct Conv2dOptions {
  std::int64_t stride = 1;
  std::int64_t padding = 0;
};

/// Geometry of a pooling window; stride 0 means the window's own size.
struct PoolOptions {
  std::int64_t kernel_size = 2;
  std::int64_t stride = 0;
  std::int64_t padding = 0;

  [[nodiscard]] constexpr std::int64_t step() const { return stride ? stride : kernel_size; }
};

/// floor((in + 2 padding - kernel) / stride) + 1, the output extent of a convolution or pooling along one axis.
[[nodiscard]] constexpr std::int64_t window_count(std::int64_t in, std::int64_t kernel, std::int64_t stride, std::int64_t padding) {
  return (in + 2 * padding - kernel) / stride + 1;
}

/// An activation as a convolution reads it: f(raw), where f is the identity, or relu?(scale x + shift) per member and channel.
/// Batch norm hands out its result in this form, so that the normalised tensor need never be stored: a convolution that can apply
/// the map while it reads does so, any other operation asks for materialize().
template <class T, class Device>
struct Activation {
  Tensor<T, Device> raw = {};                            // [K, ..., C]
  Tensor<Accumulate<T>, Device> scale = {}, shift = {};  // [K, C], or empty: nothing pending
  bool relu = false;

  [[nodiscard]] bool pending() const { return !scale.empty(); }
  [[nodiscard]] const Shape& shape() const { return raw.shape(); }
};

/// Where a backward primitive writes: it overwrites `tensor`, or adds to it when `accumulate` is set.
template <class T, class Device>
struct Gradient {
  Tensor<T, Device> tensor;
  bool accumulate = false;
};

}  // namespace lpw
