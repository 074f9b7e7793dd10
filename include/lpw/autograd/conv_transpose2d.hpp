// Transposed convolution, channels last: the data gradient of a convolution, as an operation of its own. Its own
// gradients are that convolution's forward and weight gradient.
#pragma once

#include <lpw/autograd/conv2d.hpp>

namespace lpw::inline LPW_ABI {

/// Geometry of a transposed convolution: that of the convolution whose data gradient it is, which would make x of y.
/// `output_padding`, less than the stride, says which of the sizes that give x y has: so many more pixels.
struct ConvTranspose2dOptions {
  PerAxis stride = 1;          // pixels of the result from one pixel of x to the next
  PerAxis padding = 0;         // pixels that are cut off on every side of the result
  PerAxis output_padding = 0;  // pixels that the result is larger by, less than the stride
  PerAxis dilation = 1;        // from one pixel of the kernel to the next
  std::int64_t groups = 1;     // into which channels are parted, each convolved with its own

  /// The convolution whose data gradient it is.
  [[nodiscard]] Conv2dOptions convolution() const { return {stride, padding, dilation, groups}; }
};

namespace detail {

/// (in - 1) stride - 2 padding + dilation (kernel - 1) + output_padding + 1 along each axis; may be below 1.
[[nodiscard]] inline PerAxis conv_transpose2d_extent(const Shape& x, const Shape& weight,
                                                     const ConvTranspose2dOptions& o) {
  const auto extent = [](std::int64_t in, std::int64_t kernel, std::int64_t stride, std::int64_t padding,
                         std::int64_t more, std::int64_t dilation) {
    return (in - 1) * stride - 2 * padding + dilation * (kernel - 1) + more + 1;
  };
  return {extent(x[2], weight[2], o.stride.height, o.padding.height, o.output_padding.height, o.dilation.height),
          extent(x[3], weight[3], o.stride.width, o.padding.width, o.output_padding.width, o.dilation.width)};
}

template <class T, class D>
void check_conv_transpose2d(const Variable<T, D>& x, const Variable<Accumulate<T>, D>& weight,
                            const ConvTranspose2dOptions& options) {
  constexpr const char* operation = "conv_transpose2d";
  const Shape &in = x.shape(), &kernel = weight.shape();
  require_axes(operation, "[K B H W C]", in.rank() == 5, in);
  require<ShapeError>(kernel.rank() == 5, operation, ": expected weight [1 or K, C kh kw O], got ", kernel);
  require_elements(operation, in);
  require_elements(operation, kernel);
  check_conv2d_options(operation, options.convolution(), kernel[1]);
  const PerAxis more = options.output_padding;
  require<OptionError>(more.least() >= 0 && more.height < options.stride.height && more.width < options.stride.width,
                       operation, ": output_padding ", more, " with stride ", options.stride,
                       "; it is 0 or more, and less than the stride");
  require<ShapeError>(in[4] == kernel[1], operation, ": x has ", in[4], " channels ", describe(in, "KBHWC"),
                      ", weight expects ", kernel[1], " [C=", kernel[1], " ", kernel[2], "x", kernel[3],
                      " O=", kernel[4], "]");
  require_member_rows(operation, "weight", kernel[0], in[0]);
  require<ShapeError>(conv_transpose2d_extent(in, kernel, options).least() > 0, operation,
                      ": nothing is left of the result of ", describe(in, "KBHWC"), " with padding ", options.padding);
}

/// For a trace.
[[nodiscard]] inline WindowAttributes conv_transpose2d_attributes(const ConvTranspose2dOptions& options) {
  WindowAttributes list = conv2d_attributes(options.convolution());
  if (options.output_padding != 0)
    list.add("output_padding", "output_padding_height", "output_padding_width", options.output_padding);
  return list;
}

template <class T, class D, class... Inputs>
[[nodiscard]] Variable<T, D> record_conv_transpose2d(const Variable<T, D>& x, FormedWeight<Accumulate<T>, D> weight,
                                                     const ConvTranspose2dOptions& options, const Inputs&... inputs) {
  const Tensor<T, D> value = x.value();
  auto saved = weight.needs_gradient() ? value : Tensor<T, D>();
  const Conv2dOptions convolution = options.convolution();
  const PerAxis extent = conv_transpose2d_extent(x.shape(), weight.shape(), options);
  const Shape out{x.shape()[0], x.shape()[1], extent.height, extent.width, weight.shape()[4] * options.groups};
  Gradient<T, D> y{Tensor<T, D>(out), false};
  conv2d_backward_data(value, weight.value(), convolution, y);
  weight.forget();
  return record(
      {"conv_transpose2d", conv_transpose2d_attributes(options).list()}, std::move(y.tensor),
      [saved, convolution, weight = std::move(weight), dx = x.edge()](Tensor<T, D> dy) mutable {
        const Activation<T, D> in{std::move(dy)};
        if (weight.needs_gradient()) {
          weight.add_gradients([&](auto& target) { conv2d_backward_weight(in, saved, convolution, target); });
          saved = {};  // frees the input before its gradient is allocated
        }
        if (dx.needed()) dx.add(conv2d_forward(in, weight.value(), convolution));
      },
      x, inputs...);
}

}  // namespace detail

/// Transposed convolution of x [K, B, H, W, C] with weight [1 or K, C, kh, kw, O / groups] -> [K, B, Ho, Wo, O],
/// Ho = (H - 1) stride - 2 padding + dilation (kh - 1) + output_padding + 1, as PyTorch's (whose output_padding may
/// also be less than the dilation only). One weight row is shared by all members, K rows are one each. Throws
/// ShapeError if channels or member rows do not fit, or nothing is left, OptionError for impossible options.
template <class T, class D>
[[nodiscard]] Variable<T, D> conv_transpose2d(const Variable<T, D>& x, const Variable<Accumulate<T>, D>& weight,
                                              ConvTranspose2dOptions options = {}) {
  detail::check_conv_transpose2d(x, weight, options);
  return detail::record_conv_transpose2d(x, detail::convolution_weight(weight), options, weight);
}

/// conv_transpose2d(x, weight, options) + bias [1 or K, O], an operation of its own (add_channels).
template <class T, class D>
[[nodiscard]] Variable<T, D> conv_transpose2d(const Variable<T, D>& x, const Variable<Accumulate<T>, D>& weight,
                                              const Variable<Accumulate<T>, D>& bias,
                                              ConvTranspose2dOptions options = {}) {
  return add_channels(conv_transpose2d(x, weight, options), bias);
}

/// The same with a weight that has factors or none: r [1 or K, C] and s [1 or K, O / groups] of W o (r_k s_k^T). Throws
/// ShapeError also for factors that do not fit.
template <class T, class D>
[[nodiscard]] Variable<T, D> conv_transpose2d(const Variable<T, D>& x, const MemberWeight<Accumulate<T>, D>& weight,
                                              ConvTranspose2dOptions options = {}) {
  detail::check_conv_transpose2d(x, weight.rows, options);
  if (!weight.factors) return detail::record_conv_transpose2d(x, detail::FormedWeight(weight), options, weight.rows);
  detail::check_rank_one("conv_transpose2d", x.shape()[0], weight.rows.shape(), *weight.factors);
  return detail::record_conv_transpose2d(x, detail::FormedWeight(weight), options, weight.rows, weight.factors->output,
                                         weight.factors->input);
}

}  // namespace lpw::inline LPW_ABI
