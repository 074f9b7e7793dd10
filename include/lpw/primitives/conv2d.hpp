// 2-d convolutions (cross-correlations) over members: y[k, b, p, o] is the sum over the window at p of
// x[k, b, stride p - padding + dilation t, c] weight[k or 0, o, t, c], for x [K, B, H, W, C],
// weight [1 or K, O, kh, kw, C] and y [K, B, Ho, Wo, O], Ho and Wo by window_count. With G groups the weight is
// [1 or K, O, kh, kw, C / G], and output channels [g O / G, (g + 1) O / G) read input channels [g C / G, (g + 1) C /
// G). x may be pending: gradients are those of its materialised values.
//
// conv2d_forward(x, weight, options): y.
// conv2d_forward(x, weight, options, residual, moments):
//   y plus residual [K, B, Ho, Wo, O], an empty one being none, whose memory may become y's if nobody else holds it.
//   With `moments` set y comes with its own where the device sums them on the way.
// conv2d_backward_data(dy, weight, options, dx): dx [K, B, H, W, C] (+)= the adjoint applied to dy [K, B, Ho, Wo, O].
// conv2d_backward_data(dy, weight, options, dx, x):
//   the same. Where x, of which dx is the gradient, is a batch norm with ReLU pending on its input, and the device sums
//   on the way: dx's sums for batch_norm_backward, [K, 2, C]; else nothing.
// conv2d_backward_weight(x, dy, options, dweight): dweight [1 or K, O, kh, kw, C / G] (+)= the sum over the images.
#pragma once

#include <array>
#include <cassert>

#include <lpw/primitives/activation.hpp>
#include <lpw/primitives/gradient.hpp>
#include <lpw/primitives/window.hpp>

namespace lpw::inline LPW_ABI {

/// Geometry of a convolution; the kernel's height and width are the weight's.
struct Conv2dOptions {
  PerAxis stride = 1;       // pixels from one window to the next
  PerAxis padding = 0;      // zeros at either end
  PerAxis dilation = 1;     // from one element of the kernel to the next
  std::int64_t groups = 1;  // which divides the channels, in and out: each group of outputs reads a group of inputs
};

/// Input [images, height, width, channels], weight [out_channels, kernel_height, kernel_width, channels / groups], all
/// contiguous.
struct Conv2dGeometry {
  std::int64_t images, height, width, channels;            // of the input
  std::int64_t out_channels, kernel_height, kernel_width;  // of the weight
  PerAxis stride, padding, dilation = 1;                   // in pixels
  std::int64_t groups = 1;                                 // of channels, in and out

  /// Rows of the result.
  [[nodiscard]] std::int64_t out_height() const {
    return window_count(height, kernel_height, stride.height, padding.height, dilation.height);
  }
  /// Columns of the result.
  [[nodiscard]] std::int64_t out_width() const {
    return window_count(width, kernel_width, stride.width, padding.width, dilation.width);
  }
  /// Inputs of a group.
  [[nodiscard]] std::int64_t group_channels() const { return channels / groups; }
  /// Outputs of a group.
  [[nodiscard]] std::int64_t group_outputs() const { return out_channels / groups; }
  /// Inputs that one output element reads.
  [[nodiscard]] std::int64_t patch() const { return kernel_height * kernel_width * group_channels(); }
  /// Elements of the weight.
  [[nodiscard]] std::int64_t weight_size() const { return out_channels * patch(); }
  /// Elements of one input and one output image.
  [[nodiscard]] std::int64_t in_size() const { return height * width * channels; }
  /// Of an output image.
  [[nodiscard]] std::int64_t out_size() const { return out_height() * out_width() * out_channels; }
  /// A 1x1 kernel that reads every pixel once: the convolution is a matrix product of the images as they lie.
  [[nodiscard]] bool pointwise() const {
    return kernel_height == 1 && kernel_width == 1 && stride == 1 && padding == 0 && groups == 1;
  }
  /// No groups, and kernels without gaps.
  [[nodiscard]] bool dense() const { return groups == 1 && dilation == 1; }

  /// As numbers() has them.
  using Numbers = std::array<std::int64_t, 14>;
  /// All of it, as a key of what implementations keep.
  [[nodiscard]] Numbers numbers() const {
    return {images,        height,       width,          channels,      out_channels,    kernel_height,  kernel_width,
            stride.height, stride.width, padding.height, padding.width, dilation.height, dilation.width, groups};
  }
};

/// The geometry of one call to an implementation: of all members' images if `rows` is 1, else of one member's.
[[nodiscard]] inline Conv2dGeometry conv2d_geometry(const Shape& x, const Shape& weight, Conv2dOptions options) {
  assert(x.rank() == 5 && weight.rank() == 5 && x[4] == weight[4] * options.groups &&
         (weight[0] == 1 || weight[0] == x[0]));
  return {.images = weight[0] == 1 ? x[0] * x[1] : x[1],
          .height = x[2],
          .width = x[3],
          .channels = x[4],
          .out_channels = weight[1],
          .kernel_height = weight[2],
          .kernel_width = weight[3],
          .stride = options.stride,
          .padding = options.padding,
          .dilation = options.dilation,
          .groups = options.groups};
}

/// The shape [K, B, Ho, Wo, O] of g's output for an input x [K, B, H, W, C].
[[nodiscard]] inline Shape conv2d_output(const Shape& x, const Conv2dGeometry& g) {
  return {x[0], x[1], g.out_height(), g.out_width(), g.out_channels};
}

}  // namespace lpw::inline LPW_ABI
