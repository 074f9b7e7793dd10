// Convolution module.
#pragma once

#include <optional>

#include <lpw/autograd/conv2d.hpp>
#include <lpw/nn/forms/dense_weight.hpp>
#include <lpw/nn/initializer.hpp>

namespace lpw::inline LPW_ABI::nn {

/// A convolution: channels, then in pixels along each axis (one number is both) the kernel's size, stride, padding and
/// dilation. Depthwise with as many groups as channels. Without a bias unless asked for: a batch norm follows or
/// precedes it in the networks here.
struct Conv2dShape {
  std::int64_t in_channels, out_channels;
  PerAxis kernel_size = 3;
  PerAxis stride = 1;
  PerAxis padding = 0;
  PerAxis dilation = 1;
  std::int64_t groups = 1;
  bool bias = false;

  [[nodiscard]] Conv2dOptions options() const { return {stride, padding, dilation, groups}; }
};

/// y = conv(x, weight) + bias, x [K, B, H, W, in], weight [O, kh, kw, in / groups], bias [O].
template <class T, class D>
struct Conv2d {
  using value_type = T;
  using device_type = D;
  using W = Accumulate<T>;

  /// He-normal weights, zero bias. Throws OptionError for an impossible shape.
  Conv2d(const Conv2dShape& shape, Initializer& init)
      : options(shape.options()), weight(init.he_normal<W, D>(checked(shape), checked(shape).size_from(2))) {
    if (shape.bias) bias.emplace(zeros<W, D>({1, shape.out_channels}));
  }

  [[nodiscard]] Variable<T, D> forward(const Variable<T, D>& x) { return biased(conv2d(x, weight.on(x), options)); }

  /// conv(x, weight) + residual + bias, perhaps in the residual's memory if that was its last handle.
  [[nodiscard]] Variable<T, D> forward(const Variable<T, D>& x, Variable<T, D> residual) {
    return biased(conv2d_add(x, weight.on(x), std::move(residual), options));
  }

  template <class F>
  void visit(F&& f) {
    f("weight", weight);
    if (bias) f("bias", *bias);
  }

  Conv2dOptions options;
  DenseWeight<W, D> weight;
  std::optional<DenseWeight<W, D>> bias;

 private:
  [[nodiscard]] Variable<T, D> biased(Variable<T, D> y) const { return bias ? add_channels(y, bias->on(y).rows) : y; }

  static Shape checked(const Conv2dShape& s) {
    require<OptionError>(s.in_channels > 0 && s.out_channels > 0 && s.kernel_size.least() > 0 && s.stride.least() > 0 &&
                             s.padding.least() >= 0,
                         "Conv2d: in_channels ", s.in_channels, ", out_channels ", s.out_channels, ", kernel_size ",
                         s.kernel_size, ", stride ", s.stride, ", padding ", s.padding,
                         "; all but padding must be positive");
    require<OptionError>(s.dilation.least() > 0, "Conv2d: dilation ", s.dilation, " must be positive");
    require<OptionError>(s.groups > 0 && s.in_channels % s.groups == 0 && s.out_channels % s.groups == 0,
                         "Conv2d: groups ", s.groups, " must divide in_channels ", s.in_channels, " and out_channels ",
                         s.out_channels);
    return {1, s.out_channels, s.kernel_size.height, s.kernel_size.width, s.in_channels / s.groups};
  }
};

}  // namespace lpw::inline LPW_ABI::nn
