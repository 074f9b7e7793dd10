// Convolution, channels last. It saves its input in the form it got it: raw, with batch norm's map still pending. Where
// the device can, it adds a residual and sums the moments of its result on the way, and the sums of its input's
// gradient that batch norm's backward needs.
#pragma once

#include <lpw/autograd/elementwise.hpp>
#include <lpw/autograd/rank_one.hpp>
#include <lpw/primitives/conv2d.hpp>

namespace lpw::inline LPW_ABI {

namespace detail {

template <class T, class D>
void check_conv2d(const Variable<T, D>& x, const Variable<Accumulate<T>, D>& weight, Conv2dOptions options) {
  const Shape &in = x.shape(), &kernel = weight.shape();
  require_axes("conv2d", "[K B H W C]", in.rank() == 5, in);
  require<ShapeError>(kernel.rank() == 5, "conv2d: expected weight [1 or K, O kh kw C], got ", kernel);
  require<ShapeError>(in[4] == kernel[4], "conv2d: x has ", in[4], " channels ", describe(in, "KBHWC"),
                      ", weight expects ", kernel[4], " [O=", kernel[1], " ", kernel[2], "x", kernel[3],
                      " C=", kernel[4], "]");
  require_elements("conv2d", in);
  require_elements("conv2d", kernel);
  require_member_rows("conv2d", "weight", kernel[0], in[0]);
  require<OptionError>(options.stride >= 1 && options.padding >= 0, "conv2d: stride ", options.stride, " and padding ",
                       options.padding, "; expected stride >= 1 and padding >= 0");
  require<ShapeError>(in[2] + 2 * options.padding >= kernel[2] && in[3] + 2 * options.padding >= kernel[3],
                      "conv2d: the ", kernel[2], "x", kernel[3], " kernel is larger than the padded image ",
                      describe(in, "KBHWC"), " with padding ", options.padding);
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
      {name, {{"stride", options.stride}, {"padding", options.padding}}}, std::move(y),
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

/// Cross-correlation of x [K, B, H, W, C] with weight [1 or K, O, kh, kw, C] -> [K, B, Ho, Wo, O],
/// Ho = floor((H + 2 padding - kh) / stride) + 1. One weight row is shared by all members, K rows are one each.
/// Throws ShapeError if channels or member rows do not fit, or the kernel is larger than the padded image.
template <class T, class D>
[[nodiscard]] Variable<T, D> conv2d(const Variable<T, D>& x, const Variable<Accumulate<T>, D>& weight,
                                    Conv2dOptions options = {}) {
  detail::check_conv2d(x, weight, options);
  return detail::record_conv2d<T, D>("conv2d", x, detail::convolution_weight(weight), options, {}, {}, weight);
}

/// The same with W o (r_k s_k^T) for member k. Throws ShapeError also for factors that do not fit.
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
