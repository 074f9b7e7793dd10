// What the primitives of every device take and give besides tensors: geometry, pending activations, what backward needs of a forward, and
// where a gradient goes.
#pragma once

#include <cstdint>

#include <lpw/tensor/philox.hpp>
#include <lpw/tensor/tensor.hpp>

namespace lpw::inline LPW_ABI {

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

/// Mean and biased variance per member and channel, each [K, C].
template <class W, class Device>
struct Moments {
  Tensor<W, Device> mean, variance;
};

/// An activation as a convolution reads it: f(raw), where f is the identity, or relu?(scale (x - mean) + shift) per member and channel.
/// Batch norm hands out its result in this form, so that the normalised tensor need never be stored: a convolution that can apply
/// the map while it reads does so, any other operation asks for materialize().
template <class T, class Device>
struct Activation {
  Tensor<T, Device> raw = {};                                       // [K, ..., C]
  Tensor<Accumulate<T>, Device> mean = {}, scale = {}, shift = {};  // [K, C], or empty: nothing pending
  bool relu = false;
  Moments<Accumulate<T>, Device> moments = {};  // of raw where nothing is pending and its maker summed them: who changes raw clears them

  [[nodiscard]] bool pending() const { return !scale.empty(); }
  [[nodiscard]] const Shape& shape() const { return raw.shape(); }
};

/// Where a backward primitive writes: it overwrites `tensor`, or adds to it when `accumulate` is set.
template <class T, class Device>
struct Gradient {
  Tensor<T, Device> tensor;
  bool accumulate = false;
};

/// What normalises a minibatch, each [K, C]: mean, 1/sqrt(variance + epsilon), and with gamma and beta the map
/// scale (x - mean) + shift: scale = gamma / sqrt(variance + epsilon), shift = beta.
template <class W, class Device>
struct Normalization {
  Tensor<W, Device> mean, inverse_deviation, scale, shift;
};

/// Running mean and (unbiased) variance [K, C] of the members a pass computes; rows may be strided.
template <class W, class Device>
struct RunningStatistics {
  Tensor<W, Device> mean, variance;
};

/// How batch norm's forward normalises: by the minibatch, which moves the running statistics, or by these, which stay as they are.
struct BatchNormPass {
  double epsilon = 1e-5;
  double momentum = 0.1;  // running <- (1 - momentum) running + momentum batch; 1: a new beginning
  bool relu = false;
  bool batch_statistics = true;
  bool pooled = false;  // instead: running becomes that of all values so far, of which this minibatch's are the share `momentum`
};

/// What batch norm's backward needs of its forward.
template <class T, class Device>
struct BatchNormSaved {
  Tensor<T, Device> x;                         // [K, ..., C]
  Normalization<Accumulate<T>, Device> by;     //
  Tensor<T, Device> residual;                  // with a residual and ReLU: needed for the mask
  bool relu = false, batch_statistics = true;  // false: the moments were constants (evaluation)
};

template <class T, class Device>
struct BatchNormResult {
  Activation<T, Device> y;
  BatchNormSaved<T, Device> saved;
};

/// Result of max pooling, and for each output element the offset (row W + column) of the winner in its input image.
template <class T, class Device>
struct MaxPooled {
  Tensor<T, Device> y;                  // [K, B, Ho, Wo, C]
  Tensor<std::int32_t, Device> winner;  // [K, B, Ho, Wo, C]
};

template <class T, class Device>
struct CrossEntropy {
  Tensor<Accumulate<T>, Device> loss;           // [K]: each member's mean over its minibatch
  Tensor<Accumulate<T>, Device> probabilities;  // [K, B, classes]
};

/// Names a dropout mask: element i of member k keeps its value iff draw(i of k) >= rate.
struct DropoutMask {
  Philox random{0};
  std::uint64_t operation = 0;    // counts the dropout operations of one pass
  std::int64_t first_member = 0;  // the pass' first member: the mask does not depend on how members are chunked
  double rate = 0;
};

}  // namespace lpw::inline LPW_ABI
