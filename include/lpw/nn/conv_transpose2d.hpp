// Transposed convolution module.
#pragma once

#include <optional>

#include <lpw/autograd/conv_transpose2d.hpp>
#include <lpw/nn/conv2d.hpp>

namespace lpw::inline LPW_ABI::nn {

/// A transposed convolution. Without a bias unless asked for, as Conv2d.
struct ConvTranspose2dShape {
  std::int64_t in_channels, out_channels;  // of input and output
  PerAxis kernel_size = 3;                 // pixels along height and width, one number for both, as what follows
  PerAxis stride = 1;                      // between the places of two input pixels in the result
  PerAxis padding = 0;                     // pixels that are cut off on every side of the result
  PerAxis output_padding = 0;              // pixels that the result is larger by
  PerAxis dilation = 1;                    // distance between pixels that a kernel writes
  std::int64_t groups = 1;                 // into which channels are parted, each convolved with its own
  bool bias = false;                       // whether one is added

  /// For the operation.
  [[nodiscard]] ConvTranspose2dOptions options() const { return {stride, padding, output_padding, dilation, groups}; }
};

/// y = conv_transpose2d(x, weight) + bias, x [K, B, H, W, in], weight [in, kh, kw, O / groups], bias [O].
template <class T, class D>
struct ConvTranspose2d {
  using value_type = T;
  using device_type = D;
  using W = Accumulate<T>;

  /// He-normal weights by the inputs that an output sums on average, zero bias. Throws OptionError for an impossible
  /// shape.
  ConvTranspose2d(const ConvTranspose2dShape& shape, Initializer& init)
      : options(shape.options()), weight(init.he_normal<W, D>(checked(shape), fan_in(shape))) {
    if (shape.bias) bias.emplace(zeros<W, D>({1, shape.out_channels}));
  }

  /// [K, B, H, W, in] -> [K, B, Ho, Wo, out]. Throws ShapeError for other channels, or where nothing is left.
  [[nodiscard]] Variable<T, D> forward(const Variable<T, D>& x) {
    const auto y = conv_transpose2d(x, weight.on(x), options);
    return bias ? add_channels(y, bias->on(y).rows) : y;
  }

  template <class F>
  void visit(F&& f) {
    f("weight", weight);
    if (bias) f("bias", *bias);
  }

  ConvTranspose2dOptions options;         // stride, padding, dilation and groups
  DenseWeight<W, D> weight;               // [in, kh, kw, O / groups]
  std::optional<DenseWeight<W, D>> bias;  // [O], or none

 private:
  static std::int64_t fan_in(const ConvTranspose2dShape& s) {
    const Shape weight = checked(s);
    return weight[1] / s.groups * weight[2] * weight[3] / (s.stride.height * s.stride.width);
  }

  static Shape checked(const ConvTranspose2dShape& s) {
    detail::check_convolution("ConvTranspose2d", s.in_channels, s.out_channels, s.kernel_size,
                              s.options().convolution());
    require<OptionError>(s.output_padding.least() >= 0 && s.output_padding.height < s.stride.height &&
                             s.output_padding.width < s.stride.width,
                         "ConvTranspose2d: output_padding ", s.output_padding, " with stride ", s.stride,
                         "; it is 0 or more, and less than the stride");
    return {1, s.in_channels, s.kernel_size.height, s.kernel_size.width, s.out_channels / s.groups};
  }
};

}  // namespace lpw::inline LPW_ABI::nn
