// Convolution, channels last. It saves its input in the form it got it: raw, with batch norm's map still pending.
#pragma once

#include <lpw/autograd/elementwise.hpp>

namespace lpw {

/// Cross-correlation of x [K, B, H, W, C] with weight [1 or K, O, kh, kw, C] -> [K, B, Ho, Wo, O],
/// Ho = floor((H + 2 padding - kh) / stride) + 1. One weight row is shared by all members, K rows are one each.
/// Throws ShapeError if channels or member rows do not fit, or the kernel is larger than the padded image.
template <class T, class D>
[[nodiscard]] Variable<T, D> conv2d(const Variable<T, D>& x, const Variable<Accumulate<T>, D>& weight, Conv2dOptions options = {}) {
  const Shape &in = x.shape(), &kernel = weight.shape();
  require<ShapeError>(in.rank() == 5 && kernel.rank() == 5, "conv2d: expected x [K B H W C] and weight [K O kh kw C], got ", in, " and ",
                      kernel);
  require<ShapeError>(in[4] == kernel[4], "conv2d: x has ", in[4], " channels ", describe(in, "KBHWC"), ", weight expects ", kernel[4],
                      " [O=", kernel[1], " ", kernel[2], "x", kernel[3], " C=", kernel[4], "]");
  detail::require_elements("conv2d", in);
  detail::require_elements("conv2d", kernel);
  detail::require_member_rows("conv2d", "weight", kernel[0], in[0]);
  require<OptionError>(options.stride >= 1 && options.padding >= 0, "conv2d: stride ", options.stride, " and padding ", options.padding,
                       "; expected stride >= 1 and padding >= 0");
  require<ShapeError>(in[2] + 2 * options.padding >= kernel[2] && in[3] + 2 * options.padding >= kernel[3], "conv2d: the ", kernel[2], "x",
                      kernel[3], " kernel is larger than the padded image ", describe(in, "KBHWC"), " with padding ", options.padding);
  auto saved = weight.needs_gradient() ? x.activation() : Activation<T, D>();
  return record(
      conv2d_forward(x.activation(), weight.rows(), options),
      [saved, options, in, w = weight.rows(), dx = x.edge(), dw = weight.row_edge()](Tensor<T, D> dy) mutable {
        if (dw.needed()) {
          auto target = dw.sink(w.shape());
          conv2d_backward_weight(saved, dy, options, target);
          saved = {};  // frees the input before the input's gradient is allocated
        }
        if (dx.needed()) {
          auto target = dx.sink(in);
          conv2d_backward_data(dy, w, options, target);
        }
      },
      x, weight);
}

}  // namespace lpw
