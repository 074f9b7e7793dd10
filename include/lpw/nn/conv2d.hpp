// Convolution module.
#pragma once

#include <optional>

#include <lpw/autograd/conv2d.hpp>
#include <lpw/nn/forms/dense_weight.hpp>
#include <lpw/nn/initializer.hpp>

namespace lpw::inline LPW_ABI::nn {

namespace detail {

/// Throws OptionError for extents or groups that no convolution has, of the module called `name`; all along each axis.
inline void check_convolution(const char* name, std::int64_t in_channels, std::int64_t out_channels,
                              PerAxis kernel_size, const Conv2dOptions& options) {
  require<OptionError>(in_channels > 0 && out_channels > 0 && kernel_size.least() > 0 && options.stride.least() > 0 &&
                           options.padding.least() >= 0,
                       name, ": in_channels ", in_channels, ", out_channels ", out_channels, ", kernel_size ",
                       kernel_size, ", stride ", options.stride, ", padding ", options.padding,
                       "; all but padding must be positive");
  require<OptionError>(options.dilation.least() > 0, name, ": dilation ", options.dilation, " must be positive");
  require<OptionError>(options.groups > 0 && in_channels % options.groups == 0 && out_channels % options.groups == 0,
                       name, ": groups ", options.groups, " must divide in_channels ", in_channels,
                       " and out_channels ", out_channels);
}

}  // namespace detail

/// A convolution; depthwise with as many groups as channels. Without a bias unless asked for: a batch norm follows or
/// precedes it in the networks here.
struct Conv2dShape {
  std::int64_t in_channels, out_channels;  // of input and output
  PerAxis kernel_size = 3;                 // pixels along height and width, one number for both, as what follows
  PerAxis stride = 1;                      // from one window to the next
  PerAxis padding = 0;                     // zeros on every side
  PerAxis dilation = 1;                    // distance between pixels that a kernel reads
  std::int64_t groups = 1;                 // into which channels are parted, each convolved with its own
  bool bias = false;                       // whether one is added

  /// For the operation.
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

  /// [K, B, H, W, in] -> [K, B, Ho, Wo, out]. Throws ShapeError for other channels or too small an image.
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

  Conv2dOptions options;                  // stride, padding, dilation and groups
  DenseWeight<W, D> weight;               // [O, kh, kw, in / groups]
  std::optional<DenseWeight<W, D>> bias;  // [O], or none

 private:
  [[nodiscard]] Variable<T, D> biased(Variable<T, D> y) const { return bias ? add_channels(y, bias->on(y).rows) : y; }

  static Shape checked(const Conv2dShape& s) {
    detail::check_convolution("Conv2d", s.in_channels, s.out_channels, s.kernel_size, s.options());
    return {1, s.out_channels, s.kernel_size.height, s.kernel_size.width, s.in_channels / s.groups};
  }
};

}  // namespace lpw::inline LPW_ABI::nn
