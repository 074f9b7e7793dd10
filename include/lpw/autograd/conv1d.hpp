// Convolutions of sequences [K, B, L, C], plain and transposed: those of images of height 1, of which they are views.
#pragma once

#include <utility>

#include <lpw/autograd/conv_transpose2d.hpp>
#include <lpw/autograd/reshape.hpp>

namespace lpw::inline LPW_ABI {

/// Geometry of a convolution along a sequence; the kernel's length is the weight's.
struct Conv1dOptions {
  std::int64_t stride = 1;
  std::int64_t padding = 0;
  std::int64_t dilation = 1;
  std::int64_t groups = 1;

  [[nodiscard]] Conv2dOptions images() const { return {{1, stride}, {0, padding}, {1, dilation}, groups}; }
};

/// The same of a transposed one.
struct ConvTranspose1dOptions {
  std::int64_t stride = 1;
  std::int64_t padding = 0;
  std::int64_t output_padding = 0;
  std::int64_t dilation = 1;
  std::int64_t groups = 1;

  [[nodiscard]] ConvTranspose2dOptions images() const {
    return {{1, stride}, {0, padding}, {0, output_padding}, {1, dilation}, groups};
  }
};

namespace detail {

/// A kernel [1 or K, O, k, C] as [1 or K, O, 1, k, C].
[[nodiscard]] inline Shape image_kernel(const char* operation, const Shape& kernel) {
  require<ShapeError>(kernel.rank() == 4, operation, ": expected weight [1 or K, O k C], got ", kernel);
  return {kernel[0], kernel[1], 1, kernel[2], kernel[3]};
}

/// The same of a weight, whose rows may be strided: a view of them.
template <class W, class D>
[[nodiscard]] MemberWeight<W, D> image_weight(const char* operation, MemberWeight<W, D> weight) {
  const Shape in = weight.rows.shape(), shape = image_kernel(operation, in);
  const auto rows = record(
      "reshape", weight.rows.rows().reshaped(shape),
      [in, dw = weight.rows.edge()](Tensor<W, D> dy) { dw.add(dy.reshaped(in)); }, weight.rows);
  if (weight.remake) weight.remake = [remake = std::move(weight.remake), shape] { return remake().reshaped(shape); };
  return {rows, std::move(weight.factors), std::move(weight.remake)};
}

/// Sequences as images of height 1, and back.
template <class T, class D>
[[nodiscard]] Variable<T, D> as_images(const char* operation, const Variable<T, D>& x) {
  const Shape& in = x.shape();
  require_axes(operation, "[K B L C]", in.rank() == 4, in);
  return reshape(x, {in[0], in[1], 1, in[2], in[3]});
}
template <class T, class D>
[[nodiscard]] Variable<T, D> as_sequences(const Variable<T, D>& y) {
  const Shape& out = y.shape();
  return reshape(y, {out[0], out[1], out[3], out[4]});
}

}  // namespace detail

/// Cross-correlation of x [K, B, L, C] with weight [1 or K, O, k, C / groups], which has rank-1 factors or none ->
/// [K, B, Lo, O], Lo = floor((L + 2 padding - dilation (k - 1) - 1) / stride) + 1. Throws as conv2d does.
template <class T, class D>
[[nodiscard]] Variable<T, D> conv1d(const Variable<T, D>& x, const MemberWeight<Accumulate<T>, D>& weight,
                                    Conv1dOptions options = {}) {
  const auto images = detail::as_images("conv1d", x);
  const auto kernel = detail::image_weight("conv1d", weight);
  detail::check_conv2d(images, kernel.rows, options.images(), "conv1d");
  return detail::as_sequences(conv2d(images, kernel, options.images()));
}
template <class T, class D>
[[nodiscard]] Variable<T, D> conv1d(const Variable<T, D>& x, const Variable<Accumulate<T>, D>& weight,
                                    Conv1dOptions options = {}) {
  return conv1d(x, MemberWeight<Accumulate<T>, D>{weight}, options);
}

/// conv1d(x, weight, options) + bias [1 or K, O].
template <class T, class D>
[[nodiscard]] Variable<T, D> conv1d(const Variable<T, D>& x, const Variable<Accumulate<T>, D>& weight,
                                    const Variable<Accumulate<T>, D>& bias, Conv1dOptions options = {}) {
  return add_channels(conv1d(x, weight, options), bias);
}

/// Transposed convolution of x [K, B, L, C] with weight [1 or K, C, k, O / groups], which has rank-1 factors or none ->
/// [K, B, Lo, O], Lo = (L - 1) stride - 2 padding + dilation (k - 1) + output_padding + 1. Throws as conv_transpose2d
/// does.
template <class T, class D>
[[nodiscard]] Variable<T, D> conv_transpose1d(const Variable<T, D>& x, const MemberWeight<Accumulate<T>, D>& weight,
                                              ConvTranspose1dOptions options = {}) {
  const auto images = detail::as_images("conv_transpose1d", x);
  const auto kernel = detail::image_weight("conv_transpose1d", weight);
  detail::check_conv_transpose2d(images, kernel.rows, options.images(), "conv_transpose1d");
  return detail::as_sequences(conv_transpose2d(images, kernel, options.images()));
}
template <class T, class D>
[[nodiscard]] Variable<T, D> conv_transpose1d(const Variable<T, D>& x, const Variable<Accumulate<T>, D>& weight,
                                              ConvTranspose1dOptions options = {}) {
  return conv_transpose1d(x, MemberWeight<Accumulate<T>, D>{weight}, options);
}

/// conv_transpose1d(x, weight, options) + bias [1 or K, O].
template <class T, class D>
[[nodiscard]] Variable<T, D> conv_transpose1d(const Variable<T, D>& x, const Variable<Accumulate<T>, D>& weight,
                                              const Variable<Accumulate<T>, D>& bias,
                                              ConvTranspose1dOptions options = {}) {
  return add_channels(conv_transpose1d(x, weight, options), bias);
}

}  // namespace lpw::inline LPW_ABI
