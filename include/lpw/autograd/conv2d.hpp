// Convolution, channels last. It saves its input in the form it got it: raw, with batch norm's map still pending. Where
// the device can, it adds a residual and sums the moments of its result on the way, and the sums of its input's
// gradient that batch norm's backward needs.
#pragma once

#include <lpw/autograd/elementwise.hpp>
#include <lpw/autograd/rank_one.hpp>
#include <lpw/autograd/window_attributes.hpp>
#include <lpw/primitives/conv2d.hpp>

namespace lpw::inline LPW_ABI {

namespace detail {

/// Throws OptionError for options that no convolution can have, of a weight with `outputs` rows.
inline void check_conv2d_options(const char* operation, const Conv2dOptions& options, std::int64_t outputs) {
  require<OptionError>(options.stride.least() >= 1 && options.padding.least() >= 0, operation, ": stride ",
                       options.stride, " and padding ", options.padding, "; expected stride >= 1 and padding >= 0");
  require<OptionError>(options.dilation.least() >= 1 && options.groups >= 1, operation, ": dilation ", options.dilation,
                       " and groups ", options.groups, "; both are at least 1");
  require<OptionError>(outputs % options.groups == 0, operation, ": groups ", options.groups, " do not divide the ",
                       outputs, " rows of the weight");
}

template <class T, class D>
void check_conv2d(const Variable<T, D>& x, const Variable<Accumulate<T>, D>& weight, Conv2dOptions options) {
  constexpr const char* operation = "conv2d";
  const Shape &in = x.shape(), &kernel = weight.shape();
  require_axes(operation, "[K B H W C]", in.rank() == 5, in);
  require<ShapeError>(kernel.rank() == 5, operation, ": expected weight [1 or K, O kh kw C], got ", kernel);
  require_elements(operation, in);
  require_elements(operation, kernel);
  check_conv2d_options(operation, options, kernel[1]);
  const std::int64_t channels = kernel[4] * options.groups;
  require<ShapeError>(in[4] == channels, operation, ": x has ", in[4], " channels ", describe(in, "KBHWC"),
                      ", weight expects ", channels, " [O=", kernel[1], " ", kernel[2], "x", kernel[3],
                      " C=", kernel[4], "]", options.groups > 1 ? to_text(" in ", options.groups, " groups") : "");
  require_member_rows(operation, "weight", kernel[0], in[0]);
  const auto reaches = [](std::int64_t size, std::int64_t kernel_size, std::int64_t padding, std::int64_t dilation) {
    return size + 2 * padding > dilation * (kernel_size - 1);
  };
  require<ShapeError>(reaches(in[2], kernel[2], options.padding.height, options.dilation.height) &&
                          reaches(in[3], kernel[3], options.padding.width, options.dilation.width),
                      operation, ": the ", kernel[2], "x", kernel[3], " kernel ",
                      options.dilation == 1 ? "" : to_text("with dilation ", options.dilation, " "),
                      "is larger than the padded image ", describe(in, "KBHWC"), " with padding ", options.padding);
}

/// For a trace: dilation and groups where there are any.
[[nodiscard]] inline WindowAttributes conv2d_attributes(const Conv2dOptions& options) {
  WindowAttributes list;
  list.add("stride", "stride_height", "stride_width", options.stride);
  list.add("padding", "padding_height", "padding_width", options.padding);
  if (options.dilation != 1) list.add("dilation", "dilation_height", "dilation_width", options.dilation);
  if (options.groups != 1) list.add("groups", options.groups);
  return list;
}

template <class W, class D>
[[nodiscard]] FormedWeight<W, D> convolution_weight(const Variable<W, D>& weight,
                                                    std::optional<RankOneFactors<W, D>> factors = {}) {
  return FormedWeight<W, D>(MemberWeight<W, D>{weight, std::move(factors)});
}
template <class W, class D>
[[nodiscard]] FormedWeight<W, D> convolution_weight(const Variable<W, D>& weight, const RankOneFactors<W, D>& factors) {
  return convolution_weight(weight, std::optional(factors));
}

/// conv2d(x, weight) + residual, an empty one being none. The residual enters by its value, its edge and, among the
/// inputs to record, by its place, as factors do.
template <class T, class D, class... Inputs>
[[nodiscard]] Variable<T, D> record_conv2d(const char* name, const Variable<T, D>& x,
                                           FormedWeight<Accumulate<T>, D> weight, Conv2dOptions options,
                                           Tensor<T, D> residual, Edge<T, D> dr, const Inputs&... inputs) {
  auto saved = weight.needs_gradient() ? x.activation() : Activation<T, D>();
  auto y = conv2d_forward(x.activation(), weight.value(), options, std::move(residual), x.mode() != Mode::evaluation);
  weight.forget();
  return record(
      {name, conv2d_attributes(options).list()}, std::move(y),
      [saved, options, in = x.shape(), weight = std::move(weight), dx = x.edge(), dr](Tensor<T, D> dy) mutable {
        if (weight.needs_gradient()) {
          weight.add_gradients([&](auto& target) { conv2d_backward_weight(saved, dy, options, target); });
          if (!saved.pending())
            saved = {};  // frees the input before its gradient is allocated; a pending one's raw is held by its batch
                         // norm's step
        }
        if (dx.needed()) {
          auto target = dx.sink(in);
          dx.put_sums(conv2d_backward_data(dy, weight.value(), options, target, saved));
        }
        if (dr.needed()) dr.add(std::move(dy));
      },
      x, inputs...);
}

}  // namespace detail

/// Cross-correlation of x [K, B, H, W, C] with weight [1 or K, O, kh, kw, C / groups] -> [K, B, Ho, Wo, O],
/// Ho = floor((H + 2 padding - dilation (kh - 1) - 1) / stride) + 1. One weight row is shared by all members, K rows
/// are one each. Throws ShapeError if channels or member rows do not fit, or the kernel is larger than the padded
/// image, OptionError for impossible options.
template <class T, class D>
[[nodiscard]] Variable<T, D> conv2d(const Variable<T, D>& x, const Variable<Accumulate<T>, D>& weight,
                                    Conv2dOptions options = {}) {
  detail::check_conv2d(x, weight, options);
  return detail::record_conv2d<T, D>("conv2d", x, detail::convolution_weight(weight), options, {}, {}, weight);
}

/// The same with W o (r_k s_k^T) for member k: with groups each of them has the same s [C / groups]. Throws ShapeError
/// also for factors that do not fit.
template <class T, class D>
[[nodiscard]] Variable<T, D> conv2d(const Variable<T, D>& x, const Variable<Accumulate<T>, D>& weight,
                                    const RankOneFactors<Accumulate<T>, D>& factors, Conv2dOptions options = {}) {
  detail::check_conv2d(x, weight, options);
  detail::check_rank_one("conv2d", x.shape()[0], weight.shape(), factors);
  return detail::record_conv2d<T, D>("conv2d", x, detail::convolution_weight(weight, factors), options, {}, {}, weight,
                                     factors.output, factors.input);
}

/// The same with a weight that has factors or none.
template <class T, class D>
[[nodiscard]] Variable<T, D> conv2d(const Variable<T, D>& x, const MemberWeight<Accumulate<T>, D>& weight,
                                    Conv2dOptions options = {}) {
  if (weight.factors) return conv2d(x, weight.rows, *weight.factors, options);
  detail::check_conv2d(x, weight.rows, options);
  return detail::record_conv2d<T, D>("conv2d", x, detail::FormedWeight(weight), options, {}, {}, weight.rows);
}

/// conv2d(x, weight, options) + bias [1 or K, O], an operation of its own (add_channels).
template <class T, class D>
[[nodiscard]] Variable<T, D> conv2d(const Variable<T, D>& x, const Variable<Accumulate<T>, D>& weight,
                                    const Variable<Accumulate<T>, D>& bias, Conv2dOptions options = {}) {
  return add_channels(conv2d(x, weight, options), bias);
}

namespace detail {

template <class T, class D, class... Inputs>
[[nodiscard]] Variable<T, D> record_conv2d_add(const Variable<T, D>& x, const Variable<Accumulate<T>, D>& weight,
                                               FormedWeight<Accumulate<T>, D> operand, Variable<T, D> residual,
                                               Conv2dOptions options, const Inputs&... factors) {
  const Shape out = conv2d_output(x.shape(), conv2d_geometry(x.shape(), weight.shape(), options));
  require<ShapeError>(residual.shape() == out, "conv2d_add: the convolution is ", out, ", the residual ",
                      residual.shape());
  const Variable<T, D> place = residual.without_value();
  const auto dr = residual.edge();
  return record_conv2d<T, D>("conv2d_add", x, std::move(operand), options, std::move(residual).take(), dr, weight,
                             place, factors...);
}

}  // namespace detail

/// conv2d(x, weight, options) + residual. Throws as conv2d does, and ShapeError if the residual has another shape than
/// the convolution. May overwrite the residual's memory where no other handle or backward step holds it: pass it by
/// std::move.
template <class T, class D>
[[nodiscard]] Variable<T, D> conv2d_add(const Variable<T, D>& x, const Variable<Accumulate<T>, D>& weight,
                                        Variable<T, D> residual, Conv2dOptions options = {}) {
  detail::check_conv2d(x, weight, options);
  return detail::record_conv2d_add(x, weight, detail::convolution_weight(weight), std::move(residual), options);
}

/// conv2d(x, weight, factors, options) + residual, likewise.
template <class T, class D>
[[nodiscard]] Variable<T, D> conv2d_add(const Variable<T, D>& x, const Variable<Accumulate<T>, D>& weight,
                                        const RankOneFactors<Accumulate<T>, D>& factors, Variable<T, D> residual,
                                        Conv2dOptions options = {}) {
  detail::check_conv2d(x, weight, options);
  detail::check_rank_one("conv2d", x.shape()[0], weight.shape(), factors);
  return detail::record_conv2d_add(x, weight, detail::convolution_weight(weight, factors), std::move(residual), options,
                                   factors.output, factors.input);
}

/// The same with a weight that has factors or none.
template <class T, class D>
[[nodiscard]] Variable<T, D> conv2d_add(const Variable<T, D>& x, const MemberWeight<Accumulate<T>, D>& weight,
                                        Variable<T, D> residual, Conv2dOptions options = {}) {
  if (weight.factors) return conv2d_add(x, weight.rows, *weight.factors, std::move(residual), options);
  detail::check_conv2d(x, weight.rows, options);
  return detail::record_conv2d_add(x, weight.rows, detail::FormedWeight(weight), std::move(residual), options);
}

}  // namespace lpw::inline LPW_ABI
