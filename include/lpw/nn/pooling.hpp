// Modules of average pooling. That of max pooling is in activation.hpp.
#pragma once

#include <concepts>

#include <lpw/autograd/average_pooling.hpp>
#include <lpw/nn/activation.hpp>

namespace lpw::inline LPW_ABI::nn {

/// Mean over every window, x [K, B, H, W, C].
template <class T, class D>
struct AveragePool2d : Stateless<T, D> {
  AveragePool2d() = default;
  /// Windows of 2 x 2, side by side, unless said otherwise. A template, as Gelu's.
  template <std::same_as<AveragePoolOptions> O = AveragePoolOptions>
  explicit AveragePool2d(O o) : options(o) {}
  /// [K, B, H, W, C] -> [K, B, Ho, Wo, C]. Throws ShapeError for a window larger than the padded image.
  [[nodiscard]] Variable<T, D> forward(const Variable<T, D>& x) { return average_pool2d(x, options); }
  AveragePoolOptions options;  // size, stride, padding of windows in pixels, and what is counted
};

/// Means over windows that cover the image, [K, B, H, W, C] -> [K, B, Ho, Wo, C] for output_size (Ho, Wo).
template <class T, class D>
struct AdaptiveAveragePool2d : Stateless<T, D> {
  /// Rows and columns of the result.
  explicit AdaptiveAveragePool2d(PerAxis size) : output_size(size) {}
  /// [K, B, H, W, C] -> [K, B, Ho, Wo, C]. Throws OptionError for an output size below 1.
  [[nodiscard]] Variable<T, D> forward(const Variable<T, D>& x) { return adaptive_average_pool2d(x, output_size); }
  PerAxis output_size;  // (Ho, Wo)
};

}  // namespace lpw::inline LPW_ABI::nn
