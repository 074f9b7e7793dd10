// Means over windows of images x [K, B, H, W, C].
//
// average_pool2d_forward(x, windows): each window's sum divided by its count, [K, B, Ho, Wo, C].
// average_pool2d_backward(dy, windows, dx): dx (+)= each dy, divided so, all over its window.
#pragma once

#include <algorithm>

#include <lpw/primitives/gradient.hpp>
#include <lpw/primitives/pooling.hpp>

namespace lpw::inline LPW_ABI {

/// Geometry of average pooling, as PoolOptions. A window's sum is divided by its size, padding included (zeros that are
/// counted, as PyTorch does by default), or without count_include_pad by the number of its pixels that lie in the
/// image; what ceil_mode lets reach past the padded image is never counted.
struct AveragePoolOptions {
  PerAxis kernel_size = 2;        // in pixels
  PerAxis stride = 0;             // between windows; 0: the kernel's size
  PerAxis padding = 0;            // zeros on every side
  bool ceil_mode = false;         // also windows that reach past the padded image
  bool count_include_pad = true;  // zeros of the padding count in the mean's divisor

  /// Their geometry.
  [[nodiscard]] constexpr PoolOptions windows() const { return {kernel_size, stride, padding, ceil_mode}; }
};

/// Windows along one axis.
struct WindowAxis {
  /// Positions [first, last).
  struct Range {
    std::int64_t first, last;  // positions
  };
  std::int64_t in, out;                              // extents of the image and of the result
  std::int64_t kernel = 0, stride = 0, padding = 0;  // kernel 0: as many windows as outputs, of about equal size,
                                                     // [floor(o in / out), ceil((o + 1) in / out))
  bool count_padding = false;                        // zeros of the padding count

  /// What output o reads of the image.
  [[nodiscard]] Range window(std::int64_t o) const {
    if (kernel == 0) return {o * in / out, ((o + 1) * in + out - 1) / out};
    const std::int64_t begin = o * stride - padding;
    return {std::max<std::int64_t>(begin, 0), std::min(begin + kernel, in)};
  }
  /// What its sum is divided by, along this axis.
  [[nodiscard]] std::int64_t count(std::int64_t o) const {
    const std::int64_t begin = o * stride - padding;
    if (count_padding) return std::min(begin + kernel, in + padding) - begin;
    return window(o).last - window(o).first;
  }
  /// The outputs that read position i.
  [[nodiscard]] Range readers(std::int64_t i) const {
    if (kernel == 0) return {i * out / in, ((i + 1) * out + in - 1) / in};
    const std::int64_t end = i + padding, begin = end - kernel;  // windows start in (begin, end]
    return {begin < 0 ? 0 : begin / stride + 1, std::min(out, end / stride + 1)};
  }
};

/// Windows over images.
struct AverageWindows {
  WindowAxis height, width;  // along each axis

  /// The shape [K, B, Ho, Wo, C] of their means for x [K, B, H, W, C].
  [[nodiscard]] Shape output(const Shape& x) const { return {x[0], x[1], height.out, width.out, x[4]}; }
};

/// Windows over images x [K, B, H, W, C].
[[nodiscard]] inline AverageWindows average_windows(const Shape& x, const AveragePoolOptions& options) {
  const PoolOptions windows = options.windows();
  const PerAxis out = windows.count({x[2], x[3]}), stride = windows.step();
  const bool counted = options.count_include_pad;
  return {{x[2], out.height, options.kernel_size.height, stride.height, options.padding.height, counted},
          {x[3], out.width, options.kernel_size.width, stride.width, options.padding.width, counted}};
}

/// The windows that give images of any size, as PyTorch's adaptive pooling has them: they overlap by a pixel where the
/// sizes do not divide.
[[nodiscard]] inline AverageWindows adaptive_windows(const Shape& x, PerAxis output) {
  return {{.in = x[2], .out = output.height}, {.in = x[3], .out = output.width}};
}

}  // namespace lpw::inline LPW_ABI
