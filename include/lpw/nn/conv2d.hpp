// Convolution module.
#pragma once

#include <lpw/autograd/conv2d.hpp>
#include <lpw/nn/forms/dense_weight.hpp>
#include <lpw/nn/initializer.hpp>

namespace lpw::inline LPW_ABI::nn {

/// A convolution with a square kernel: channels, side, stride and padding in pixels.
struct Conv2dShape {
  std::int64_t in_channels, out_channels;
  std::int64_t kernel_size = 3;
  std::int64_t stride = 1;
  std::int64_t padding = 0;
};

/// y = conv(x, weight), x [K, B, H, W, in], weight [O, kh, kw, in], without bias: a batch norm follows or precedes it
/// in the networks here.
template <class T, class D>
struct Conv2d {
  using value_type = T;
  using device_type = D;
  using W = Accumulate<T>;

  /// He-normal weights. Throws OptionError for an impossible shape.
  Conv2d(const Conv2dShape& shape, Initializer& init)
      : options{shape.stride, shape.padding},
        weight(init.he_normal<W, D>(checked(shape), shape.in_channels * shape.kernel_size * shape.kernel_size)) {}

  [[nodiscard]] Variable<T, D> forward(const Variable<T, D>& x) { return conv2d(x, weight.on(x), options); }

  /// conv(x, weight) + residual, perhaps in the residual's memory if that was its last handle.
  [[nodiscard]] Variable<T, D> forward(const Variable<T, D>& x, Variable<T, D> residual) {
    return conv2d_add(x, weight.on(x), std::move(residual), options);
  }

  template <class F>
  void visit(F&& f) {
    f("weight", weight);
  }

  Conv2dOptions options;
  DenseWeight<W, D> weight;

 private:
  static Shape checked(const Conv2dShape& s) {
    require<OptionError>(s.in_channels > 0 && s.out_channels > 0 && s.kernel_size > 0 && s.stride > 0 && s.padding >= 0,
                         "Conv2d: in_channels ", s.in_channels, ", out_channels ", s.out_channels, ", kernel_size ",
                         s.kernel_size, ", stride ", s.stride, ", padding ", s.padding,
                         "; all but padding must be positive");
    return {1, s.out_channels, s.kernel_size, s.kernel_size, s.in_channels};
  }
};

}  // namespace lpw::inline LPW_ABI::nn
