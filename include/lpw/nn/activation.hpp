// Modules without weights. Those of average pooling are in pooling.hpp.
#pragma once

#include <concepts>

#include <lpw/autograd/dropout.hpp>
#include <lpw/autograd/elementwise.hpp>
#include <lpw/autograd/functions.hpp>
#include <lpw/autograd/pooling.hpp>
#include <lpw/autograd/reshape.hpp>

namespace lpw::inline LPW_ABI::nn {

/// Base of modules without parameters, buffers or children.
template <class T, class D>
struct Stateless {
  using value_type = T;
  using device_type = D;
  template <class F>
  void visit(F&&) {}
};

/// max(x, 0).
template <class T, class D>
struct Relu : Stateless<T, D> {
  /// Any shape, which stays.
  [[nodiscard]] Variable<T, D> forward(const Variable<T, D>& x) { return relu(x); }
};

/// x Phi(x), or with `options.tanh` its approximation by tanh.
template <class T, class D>
struct Gelu : Stateless<T, D> {
  Gelu() = default;
  /// By Phi, or by tanh. A template, so that `({})` is the default and not ambiguous.
  template <std::same_as<GeluOptions> O = GeluOptions>
  explicit Gelu(O o) : options(o) {}
  /// Any shape, which stays.
  [[nodiscard]] Variable<T, D> forward(const Variable<T, D>& x) { return gelu(x, options); }
  GeluOptions options;  // which of both
};

/// x / (1 + e^-x).
template <class T, class D>
struct Silu : Stateless<T, D> {
  /// Any shape, which stays.
  [[nodiscard]] Variable<T, D> forward(const Variable<T, D>& x) { return silu(x); }
};

/// 1 / (1 + e^-x).
template <class T, class D>
struct Sigmoid : Stateless<T, D> {
  /// Any shape, which stays.
  [[nodiscard]] Variable<T, D> forward(const Variable<T, D>& x) { return sigmoid(x); }
};

/// The hyperbolic tangent.
template <class T, class D>
struct Tanh : Stateless<T, D> {
  /// Any shape, which stays.
  [[nodiscard]] Variable<T, D> forward(const Variable<T, D>& x) { return tanh(x); }
};

/// Each sample's elements as one row, as a linear layer takes them: those of an image pixel after pixel, the channels
/// of one together, where PyTorch's nn.Flatten has channel after channel.
template <class T, class D>
struct Flatten : Stateless<T, D> {
  /// [K, B, ...] -> [K, B, F], in x's memory. Throws ShapeError for an x without axes behind those of the samples.
  [[nodiscard]] Variable<T, D> forward(const Variable<T, D>& x) {
    const Shape& in = x.shape();
    lpw::detail::require_axes("Flatten", "[K B ...]", in.rank() >= 3, in);
    return reshape(x, {in[0], in[1], in.size_from(2)});
  }
};

/// In training each element becomes 0 with probability rate, else x / (1 - rate).
template <class T, class D>
struct Dropout : Stateless<T, D> {
  /// Throws OptionError unless 0 <= share < 1.
  explicit Dropout(double share) : rate(share) {
    require<OptionError>(is_finite(rate) && rate >= 0 && rate < 1, "Dropout: rate ", rate, " is outside [0, 1)");
  }
  /// Any shape, which stays.
  [[nodiscard]] Variable<T, D> forward(const Variable<T, D>& x) { return dropout(x, rate); }
  double rate;  // the probability
};

/// Largest element of every window, x [K, B, H, W, C].
template <class T, class D>
struct MaxPool2d : Stateless<T, D> {
  MaxPool2d() = default;
  /// Windows of 2 x 2, side by side, unless said otherwise. A template, as Gelu's.
  template <std::same_as<PoolOptions> O = PoolOptions>
  explicit MaxPool2d(O o) : options(o) {}
  /// [K, B, H, W, C] -> [K, B, Ho, Wo, C]. Throws ShapeError for a window larger than the padded image.
  [[nodiscard]] Variable<T, D> forward(const Variable<T, D>& x) { return max_pool2d(x, options); }
  PoolOptions options;  // size, stride and padding of windows, in pixels
};

/// Mean over the image, [K, B, H, W, C] -> [K, B, C].
template <class T, class D>
struct GlobalAveragePool : Stateless<T, D> {
  /// [K, B, H, W, C] -> [K, B, C].
  [[nodiscard]] Variable<T, D> forward(const Variable<T, D>& x) { return global_average_pool(x); }
};

}  // namespace lpw::inline LPW_ABI::nn
