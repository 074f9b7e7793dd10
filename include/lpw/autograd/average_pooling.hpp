// Average pooling over windows, and to images of a given size.
#pragma once

#include <lpw/autograd/elementwise.hpp>
#include <lpw/autograd/pooling.hpp>

namespace lpw::inline LPW_ABI {

namespace detail {

template <class T, class D>
[[nodiscard]] Variable<T, D> record_average_pool(const Operation& operation, const Variable<T, D>& x,
                                                 const AverageWindows& windows) {
  return record(
      operation, average_pool2d_forward(x.value(), windows),
      [in = x.shape(), windows, dx = x.edge()](Tensor<T, D> dy) {
        auto target = dx.sink(in);
        average_pool2d_backward(dy, windows, target);
      },
      x);
}

}  // namespace detail

/// Mean over every window of x [K, B, H, W, C] -> [K, B, Ho, Wo, C]. Zeros of the padding are counted unless
/// count_include_pad is false, as PyTorch's are. Throws OptionError for impossible options, ShapeError for a window
/// that is larger than the padded image, in ceil mode by its stride.
template <class T, class D>
[[nodiscard]] Variable<T, D> average_pool2d(const Variable<T, D>& x, AveragePoolOptions options = {}) {
  detail::check_pool("average_pool2d", x, options.windows());
  auto attributes = detail::pool_attributes(options.windows());
  attributes.add("count_include_pad", options.count_include_pad);
  return detail::record_average_pool({"average_pool2d", attributes.list()}, x, average_windows(x.shape(), options));
}

/// Means over windows of about equal size that cover x [K, B, H, W, C] -> [K, B, Ho, Wo, C] for output_size (Ho, Wo):
/// output o is the mean of [floor(o H / Ho), ceil((o + 1) H / Ho)), as PyTorch's. {1, 1} is the mean of the image.
/// Throws OptionError unless both are at least 1.
template <class T, class D>
[[nodiscard]] Variable<T, D> adaptive_average_pool2d(const Variable<T, D>& x, PerAxis output_size) {
  const Shape& in = x.shape();
  detail::require_axes("adaptive_average_pool2d", "[K B H W C]", in.rank() == 5, in);
  detail::require_elements("adaptive_average_pool2d", in);
  require<OptionError>(output_size.least() >= 1, "adaptive_average_pool2d: output_size ", output_size,
                       "; expected 1 or more along each axis");
  detail::WindowAttributes attributes;
  attributes.add("output_size", "output_height", "output_width", output_size);
  return detail::record_average_pool({"adaptive_average_pool2d", attributes.list()}, x,
                                     adaptive_windows(in, output_size));
}

}  // namespace lpw::inline LPW_ABI
