// Poolings over windows and over whole images, x [K, B, H, W, C].
//
// max_pool2d_forward(x, options): the largest element of every window, [K, B, Ho, Wo, C], Ho and Wo by window_count.
//   Padding never wins; of equal elements the first in row-major order wins, and NaN before all others.
// max_pool2d_backward(winner, dy, options, dx): dx (+)= each dy at its window's winner.
// global_average_pool_forward(x): the mean over the image, [K, B, C].
// global_average_pool_backward(dy, dx): dx (+)= dy / (H W) all over the image.
#pragma once

#include <lpw/primitives/gradient.hpp>
#include <lpw/primitives/window.hpp>

namespace lpw::inline LPW_ABI {

/// Geometry of a pooling window; stride 0 means the window's own size.
struct PoolOptions {
  std::int64_t kernel_size = 2;
  std::int64_t stride = 0;
  std::int64_t padding = 0;

  [[nodiscard]] constexpr std::int64_t step() const { return stride ? stride : kernel_size; }
};

/// Result of max pooling, and for each output element the offset (row W + column) of the winner in its input image.
template <class T, class Device>
struct MaxPooled {
  Tensor<T, Device> y;                  // [K, B, Ho, Wo, C]
  Tensor<std::int32_t, Device> winner;  // [K, B, Ho, Wo, C]
};

}  // namespace lpw::inline LPW_ABI
