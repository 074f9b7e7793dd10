// Transposed convolution module of sequences.
#pragma once

#include <optional>

#include <lpw/autograd/conv1d.hpp>
#include <lpw/nn/conv2d.hpp>

namespace lpw::inline LPW_ABI::nn {

/// A transposed convolution along sequences. Without a bias unless asked for, as Conv2d.
struct ConvTranspose1dShape {
  std::int64_t in_channels, out_channels;  // of input and output
  std::int64_t kernel_size = 3;            // elements of the kernel
  std::int64_t stride = 1;                 // between the places of two input elements in the result
  std::int64_t padding = 0;                // elements that are cut off on either side of the result
  std::int64_t output_padding = 0;         // elements that the result is longer by
  std::int64_t dilation = 1;               // distance between elements that a kernel writes
  std::int64_t groups = 1;                 // into which channels are parted, each convolved with its own
  bool bias = false;                       // whether one is added

  /// For the operation.
  [[nodiscard]] ConvTranspose1dOptions options() const { return {stride, padding, output_padding, dilation, groups}; }
};

/// y = conv_transpose1d(x, weight) + bias, x [K, B, L, in], weight [in, k, O / groups], bias [O].
template <class T, class D>
struct ConvTranspose1d {
  using value_type = T;
  using device_type = D;
  using W = Accumulate<T>;

  /// He-normal weights by the inputs that an output sums on average, zero bias. Throws OptionError for an impossible
  /// shape.
  ConvTranspose1d(const ConvTranspose1dShape& shape, Initializer& init)
      : options(shape.options()), weight(init.he_normal<W, D>(checked(shape), fan_in(shape))) {
    if (shape.bias) bias.emplace(zeros<W, D>({1, shape.out_channels}));
  }

  /// [K, B, L, in] -> [K, B, Lo, out]. Throws ShapeError for other channels, or where nothing is left.
  [[nodiscard]] Variable<T, D> forward(const Variable<T, D>& x) {
    const auto y = conv_transpose1d(x, weight.on(x), options);
    return bias ? add_channels(y, bias->on(y).rows) : y;
  }

  template <class F>
  void visit(F&& f) {
    f("weight", weight);
    if (bias) f("bias", *bias);
  }

  ConvTranspose1dOptions options;         // stride, padding, dilation and groups
  DenseWeight<W, D> weight;               // [in, k, O / groups]
  std::optional<DenseWeight<W, D>> bias;  // [O], or none

 private:
  static std::int64_t fan_in(const ConvTranspose1dShape& s) {
    const Shape weight = checked(s);
    return weight[1] / s.groups * weight[2] / s.stride;
  }

  static Shape checked(const ConvTranspose1dShape& s) {
    detail::check_convolution("ConvTranspose1d", s.in_channels, s.out_channels, s.kernel_size,
                              {s.stride, s.padding, s.dilation, s.groups});
    require<OptionError>(s.output_padding >= 0 && s.output_padding < s.stride, "ConvTranspose1d: output_padding ",
                         s.output_padding, " with stride ", s.stride, "; it is 0 or more, and less than the stride");
    return {1, s.in_channels, s.kernel_size, s.out_channels / s.groups};
  }
};

}  // namespace lpw::inline LPW_ABI::nn
