// Poolings over windows and over whole images, x [K, B, H, W, C].
//
// max_pool2d_forward(x, options): the largest element of every window, [K, B, Ho, Wo, C], Ho and Wo by pool_count.
//   Padding never wins; of equal elements the first in row-major order wins, and NaN before all others.
// max_pool2d_backward(winner, dy, options, dx): dx (+)= each dy at its window's winner.
// global_average_pool_forward(x): the mean over the image, [K, B, C].
// global_average_pool_backward(dy, dx): dx (+)= dy / (H W) all over the image.
#pragma once

#include <lpw/primitives/gradient.hpp>
#include <lpw/primitives/window.hpp>

namespace lpw::inline LPW_ABI {

/// Geometry of a pooling window. With ceil_mode a window may begin where it does not fit any more, and ends with the
/// image.
struct PoolOptions {
  PerAxis kernel_size = 2;  // in pixels
  PerAxis stride = 0;       // between windows; 0: the kernel's size
  PerAxis padding = 0;      // on every side, never the largest
  bool ceil_mode = false;   // also windows that reach past the padded image

  /// The stride, in pixels.
  [[nodiscard]] constexpr PerAxis step() const {
    return {stride.height ? stride.height : kernel_size.height, stride.width ? stride.width : kernel_size.width};
  }
  /// Windows over an image.
  [[nodiscard]] constexpr PerAxis count(PerAxis image) const {
    return {pool_count(image.height, kernel_size.height, step().height, padding.height, ceil_mode),
            pool_count(image.width, kernel_size.width, step().width, padding.width, ceil_mode)};
  }
};

/// The shape [K, B, Ho, Wo, C] of what windows over x [K, B, H, W, C] give.
[[nodiscard]] inline Shape pool_output(const Shape& x, const PoolOptions& options) {
  const PerAxis count = options.count({x[2], x[3]});
  return {x[0], x[1], count.height, count.width, x[4]};
}

/// Result of max pooling, and for each output element the offset (row W + column) of the winner in its input image.
template <class T, class Device>
struct MaxPooled {
  Tensor<T, Device> y;                  // [K, B, Ho, Wo, C]
  Tensor<std::int32_t, Device> winner;  // [K, B, Ho, Wo, C]
};

}  // namespace lpw::inline LPW_ABI
