// The numbers of one convolution over a stack of images, as the CPU's implementations take them besides raw pointers.
#pragma once

#include <array>

#include <lpw/tensor/operands.hpp>

namespace lpw {

/// Input [images, height, width, channels], weight [out_channels, kernel_height, kernel_width, channels], all contiguous.
struct Conv2dGeometry {
  std::int64_t images, height, width, channels;
  std::int64_t out_channels, kernel_height, kernel_width;
  std::int64_t stride, padding;

  [[nodiscard]] std::int64_t out_height() const { return window_count(height, kernel_height, stride, padding); }
  [[nodiscard]] std::int64_t out_width() const { return window_count(width, kernel_width, stride, padding); }
  /// Inputs that one output element reads.
  [[nodiscard]] std::int64_t patch() const { return kernel_height * kernel_width * channels; }
  [[nodiscard]] std::int64_t weight_size() const { return out_channels * patch(); }
  /// Elements of one input and one output image.
  [[nodiscard]] std::int64_t in_size() const { return height * width * channels; }
  [[nodiscard]] std::int64_t out_size() const { return out_height() * out_width() * out_channels; }
  /// A 1x1 kernel that reads every pixel once: the convolution is a matrix product of the images as they lie.
  [[nodiscard]] bool pointwise() const { return kernel_height == 1 && kernel_width == 1 && stride == 1 && padding == 0; }

  [[nodiscard]] std::array<std::int64_t, 9> numbers() const {
    return {images, height, width, channels, out_channels, kernel_height, kernel_width, stride, padding};
  }
};

}  // namespace lpw
