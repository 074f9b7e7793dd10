// Windows that convolutions and poolings move over images.
#pragma once

#include <ostream>

#include <lpw/tensor/tensor.hpp>

namespace lpw::inline LPW_ABI {

/// A number of pixels along each axis of an image: {2, 1} is 2 along the height and 1 along the width; 2 alone is both.
struct PerAxis {
  /// One number along both.
  constexpr PerAxis(std::int64_t both) : height(both), width(both) {}
  /// Of either axis.
  constexpr PerAxis(std::int64_t along_height, std::int64_t along_width) : height(along_height), width(along_width) {}

  std::int64_t height, width;  // in pixels

  /// Whether both are the same.
  [[nodiscard]] constexpr bool square() const { return height == width; }
  /// The smaller one.
  [[nodiscard]] constexpr std::int64_t least() const { return height < width ? height : width; }
  [[nodiscard]] friend constexpr bool operator==(const PerAxis&, const PerAxis&) = default;
};

/// "2", or "2x1" where the axes differ.
inline std::ostream& operator<<(std::ostream& out, const PerAxis& extent) {
  out << extent.height;
  return extent.square() ? out : out << 'x' << extent.width;
}

/// floor((in + 2 padding - dilation (kernel - 1) - 1) / stride) + 1, the output extent of a convolution or pooling
/// along one axis.
[[nodiscard]] constexpr std::int64_t window_count(std::int64_t in, std::int64_t kernel, std::int64_t stride,
                                                  std::int64_t padding, std::int64_t dilation = 1) {
  return (in + 2 * padding - dilation * (kernel - 1) - 1) / stride + 1;
}

/// The output extent of a pooling: with `ceil_mode` the quotient is rounded up, so that a last window may reach past
/// the padded image, unless that window would begin in the padding behind it, as PyTorch has it. 0 where not even the
/// first reaches past it by less than a stride.
[[nodiscard]] constexpr std::int64_t pool_count(std::int64_t in, std::int64_t kernel, std::int64_t stride,
                                                std::int64_t padding, bool ceil_mode) {
  if (!ceil_mode) return window_count(in, kernel, stride, padding);
  const std::int64_t past_first = in + 2 * padding - kernel + stride - 1;
  if (past_first < 0) return 0;
  const std::int64_t count = past_first / stride + 1;
  return (count - 1) * stride >= in + padding ? count - 1 : count;
}

}  // namespace lpw::inline LPW_ABI
