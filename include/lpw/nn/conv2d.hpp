// Convolution module.
#pragma once

#include <optional>

#include <lpw/autograd/conv2d.hpp>
#include <lpw/nn/initializer.hpp>
#include <lpw/nn/rank_one.hpp>

namespace lpw::inline LPW_ABI::nn {

struct Conv2dShape {
  std::int64_t in_channels, out_channels;
  std::int64_t kernel_size = 3;
  std::int64_t stride = 1;
  std::int64_t padding = 0;
};

/// y = conv(x, weight), x [K, B, H, W, in], weight [O, kh, kw, in], without bias: a batch norm follows or precedes it in the networks here.
template <class T, class D>
struct Conv2d {
  using value_type = T;
  using device_type = D;
  using W = Accumulate<T>;

  /// He-normal weights. Throws OptionError for an impossible shape.
  Conv2d(const Conv2dShape& shape, Initializer& init)
      : options{shape.stride, shape.padding},
        weight(init.he_normal<W, D>(checked(shape), shape.in_channels * shape.kernel_size * shape.kernel_size)) {}

  [[nodiscard]] Variable<T, D> forward(const Variable<T, D>& x) {
    return rank_one ? conv2d(x, weight.on(x), rank_one->on(x), options) : conv2d(x, weight.on(x), options);
  }

  /// conv(x, weight) + residual, perhaps in the residual's memory if that was its last handle.
  [[nodiscard]] Variable<T, D> forward(const Variable<T, D>& x, Variable<T, D> residual) {
    if (!rank_one) return conv2d_add(x, weight.on(x), std::move(residual), options);
    return conv2d_add(x, weight.on(x), rank_one->on(x), std::move(residual), options);
  }

  template <class F>
  void visit(F&& f) {
    f("weight", weight);
    if (rank_one) f("rank_one_r", rank_one->output), f("rank_one_s", rank_one->input);
  }

  template <class F>
  void for_each_dense(F&& f) {
    f(weight, rank_one);
  }

  Conv2dOptions options;
  Parameter<W, D> weight;
  std::optional<RankOne<W, D>> rank_one;

 private:
  static Shape checked(const Conv2dShape& s) {
    require<OptionError>(s.in_channels > 0 && s.out_channels > 0 && s.kernel_size > 0 && s.stride > 0 && s.padding >= 0,
                         "Conv2d: in_channels ", s.in_channels, ", out_channels ", s.out_channels, ", kernel_size ", s.kernel_size,
                         ", stride ", s.stride, ", padding ", s.padding, "; all but padding must be positive");
    return {1, s.out_channels, s.kernel_size, s.kernel_size, s.in_channels};
  }
};

}  // namespace lpw::inline LPW_ABI::nn
