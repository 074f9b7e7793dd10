// Convolutions of sequences [K, B, L, C], plain and transposed: those of images of height 1, of which they are views.
#pragma once

#include <utility>

#include <lpw/autograd/conv_transpose2d.hpp>
#include <lpw/autograd/reshape.hpp>

namespace lpw::inline LPW_ABI {

/// Geometry of a convolution along a sequence; the kernel's length is the weight's.
struct Conv1dOptions {
  std::int64_t stride = 1;    // elements from one window to the next
  std::int64_t padding = 0;   // zeros at either end
  std::int64_t dilation = 1;  // from one element of the kernel to the next
  std::int64_t groups = 1;    // into which channels are parted, each convolved with its own

  /// Of images of height 1.
  [[nodiscard]] Conv2dOptions images() const { return {{1, stride}, {0, padding}, {1, dilation}, groups}; }
};

/// The same of a transposed one.
struct ConvTranspose1dOptions {
  std::int64_t stride = 1;          // elements of the result from one element of x to the next
  std::int64_t padding = 0;         // elements that are cut off at either end of the result
  std::int64_t output_padding = 0;  // elements that the result is longer by, less than the stride
  std::int64_t dilation = 1;        // from one element of the kernel to the next
  std::int64_t groups = 1;          // into which channels are parted, each convolved with its own

  /// Of images of height 1.
  [[nodiscard]] ConvTranspose2dOptions images() const {
    return {{1, stride}, {0, padding}, {0, output_padding}, {1, dilation}, groups};
  }
};

namespace detail {

/// What both directions ask of x [K, B, L, C] and of a weight [1 or K, ..., k, ...], whose axes are called `axes`.
template <class T, class D>
void check_sequence(const char* operation, const char* axes, const Variable<T, D>& x,
                    const MemberWeight<Accumulate<T>, D>& weight, const Conv2dOptions& options) {
  const Shape &in = x.shape(), &kernel = weight.rows.shape();
  require_axes(operation, "[K B L C]", in.rank() == 4, in);
  require<ShapeError>(kernel.rank() == 4, operation, ": expected weight [1 or K, ", axes, "], got ", kernel);
  require_elements(operation, in);
  require_elements(operation, kernel);
  check_conv2d_options(operation, options, kernel[1]);
  require_member_rows(operation, "weight", kernel[0], in[0]);
  if (weight.factors) check_rank_one(operation, in[0], kernel, *weight.factors);
}

template <class T, class D>
void check_conv1d(const Variable<T, D>& x, const MemberWeight<Accumulate<T>, D>& weight, const Conv1dOptions& o) {
  check_sequence("conv1d", "O k C", x, weight, {o.stride, o.padding, o.dilation, o.groups});
  const Shape &in = x.shape(), &kernel = weight.rows.shape();
  const std::int64_t channels = kernel[3] * o.groups;
  require<ShapeError>(in[3] == channels, "conv1d: x has ", in[3], " channels ", describe(in, "KBLC"),
                      ", weight expects ", channels, " [O=", kernel[1], " k=", kernel[2], " C=", kernel[3], "]",
                      o.groups > 1 ? to_text(" in ", o.groups, " groups") : "");
  require<ShapeError>(in[2] + 2 * o.padding > o.dilation * (kernel[2] - 1), "conv1d: the kernel of ", kernel[2],
                      o.dilation == 1 ? "" : to_text(" with dilation ", o.dilation),
                      " is longer than the padded sequence ", describe(in, "KBLC"), " with padding ", o.padding);
}

template <class T, class D>
void check_conv_transpose1d(const Variable<T, D>& x, const MemberWeight<Accumulate<T>, D>& weight,
                            const ConvTranspose1dOptions& o) {
  constexpr const char* operation = "conv_transpose1d";
  check_sequence(operation, "C k O", x, weight, {o.stride, o.padding, o.dilation, o.groups});
  require<OptionError>(o.output_padding >= 0 && o.output_padding < o.stride, operation, ": output_padding ",
                       o.output_padding, " with stride ", o.stride, "; it is 0 or more, and less than the stride");
  const Shape &in = x.shape(), &kernel = weight.rows.shape();
  require<ShapeError>(in[3] == kernel[1], operation, ": x has ", in[3], " channels ", describe(in, "KBLC"),
                      ", weight expects ", kernel[1], " [C=", kernel[1], " k=", kernel[2], " O=", kernel[3], "]");
  const std::int64_t length =
      (in[2] - 1) * o.stride - 2 * o.padding + o.dilation * (kernel[2] - 1) + o.output_padding + 1;
  require<ShapeError>(length > 0, operation, ": nothing is left of the result of ", describe(in, "KBLC"),
                      " with padding ", o.padding);
}

/// A weight [1 or K, O, k, C], whose rows may be strided, as a view [1 or K, O, 1, k, C] of them.
template <class W, class D>
[[nodiscard]] MemberWeight<W, D> image_weight(MemberWeight<W, D> weight) {
  const Shape in = weight.rows.shape(), shape{in[0], in[1], 1, in[2], in[3]};
  const auto rows = record(
      "reshape", weight.rows.rows().reshaped(shape),
      [in, dw = weight.rows.edge()](Tensor<W, D> dy) { dw.add(dy.reshaped(in)); }, weight.rows);
  if (weight.remake) weight.remake = [remake = std::move(weight.remake), shape] { return remake().reshaped(shape); };
  return {rows, std::move(weight.factors), std::move(weight.remake)};
}

/// Sequences as images of height 1, and back.
template <class T, class D>
[[nodiscard]] Variable<T, D> as_images(const Variable<T, D>& x) {
  const Shape& in = x.shape();
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
  detail::check_conv1d(x, weight, options);
  return detail::as_sequences(conv2d(detail::as_images(x), detail::image_weight(weight), options.images()));
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
  detail::check_conv_transpose1d(x, weight, options);
  return detail::as_sequences(conv_transpose2d(detail::as_images(x), detail::image_weight(weight), options.images()));
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
