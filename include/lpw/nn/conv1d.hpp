// Convolution module of sequences.
#pragma once

#include <optional>

#include <lpw/autograd/conv1d.hpp>
#include <lpw/nn/conv2d.hpp>

namespace lpw::inline LPW_ABI::nn {

/// A convolution along sequences. Without a bias unless asked for, as Conv2d.
struct Conv1dShape {
  std::int64_t in_channels, out_channels;  // of input and output
  std::int64_t kernel_size = 3;            // elements of the kernel
  std::int64_t stride = 1;                 // elements from one window to the next
  std::int64_t padding = 0;                // zeros on either side
  std::int64_t dilation = 1;               // distance between elements that a kernel reads
  std::int64_t groups = 1;                 // into which channels are parted, each convolved with its own
  bool bias = false;                       // whether one is added

  /// For the operation.
  [[nodiscard]] Conv1dOptions options() const { return {stride, padding, dilation, groups}; }
};

/// y = conv(x, weight) + bias, x [K, B, L, in], weight [O, k, in / groups], bias [O].
template <class T, class D>
struct Conv1d {
  using value_type = T;
  using device_type = D;
  using W = Accumulate<T>;

  /// He-normal weights, zero bias. Throws OptionError for an impossible shape.
  Conv1d(const Conv1dShape& shape, Initializer& init)
      : options(shape.options()), weight(init.he_normal<W, D>(checked(shape), checked(shape).size_from(2))) {
    if (shape.bias) bias.emplace(zeros<W, D>({1, shape.out_channels}));
  }

  /// [K, B, L, in] -> [K, B, Lo, out]. Throws ShapeError for other channels or too short a sequence.
  [[nodiscard]] Variable<T, D> forward(const Variable<T, D>& x) {
    const auto y = conv1d(x, weight.on(x), options);
    return bias ? add_channels(y, bias->on(y).rows) : y;
  }

  template <class F>
  void visit(F&& f) {
    f("weight", weight);
    if (bias) f("bias", *bias);
  }

  Conv1dOptions options;                  // stride, padding, dilation and groups
  DenseWeight<W, D> weight;               // [O, k, in / groups]
  std::optional<DenseWeight<W, D>> bias;  // [O], or none

 private:
  static Shape checked(const Conv1dShape& s) {
    detail::check_convolution("Conv1d", s.in_channels, s.out_channels, s.kernel_size,
                              {s.stride, s.padding, s.dilation, s.groups});
    return {1, s.out_channels, s.kernel_size, s.in_channels / s.groups};
  }
};

}  // namespace lpw::inline LPW_ABI::nn
