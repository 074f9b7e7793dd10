// Pooling operations.
#pragma once

#include <lpw/autograd/elementwise.hpp>
#include <lpw/autograd/window_attributes.hpp>

namespace lpw::inline LPW_ABI {

namespace detail {

/// Throws for windows that cannot be, or are larger than the padded image, in ceil mode by a stride: OptionError,
/// ShapeError.
template <class T, class D>
void check_pool(const char* operation, const Variable<T, D>& x, const PoolOptions& options) {
  const Shape& in = x.shape();
  require_axes(operation, "[K B H W C]", in.rank() == 5, in);
  require_elements(operation, in);
  const auto fits = [](std::int64_t kernel, std::int64_t padding) { return padding >= 0 && 2 * padding <= kernel; };
  require<OptionError>(options.kernel_size.least() >= 1 && options.stride.least() >= 0 &&
                           fits(options.kernel_size.height, options.padding.height) &&
                           fits(options.kernel_size.width, options.padding.width),
                       operation, ": kernel_size ", options.kernel_size, ", stride ", options.stride, ", padding ",
                       options.padding, "; padding is at most half the kernel");
  const PerAxis kernel = options.kernel_size, padding = options.padding;
  const bool inside = in[2] + 2 * padding.height >= kernel.height && in[3] + 2 * padding.width >= kernel.width;
  require<ShapeError>(options.ceil_mode ? options.count({in[2], in[3]}).least() >= 1 : inside, operation,
                      ": the window of ", kernel, " is larger than the padded image ", describe(in, "KBHWC"),
                      options.ceil_mode ? to_text(" by its stride of ", options.step(), " or more") : "");
}

/// For a trace.
[[nodiscard]] inline WindowAttributes pool_attributes(const PoolOptions& options) {
  WindowAttributes list;
  list.add("kernel_size", "kernel_height", "kernel_width", options.kernel_size);
  list.add("stride", "stride_height", "stride_width", options.step());
  list.add("padding", "padding_height", "padding_width", options.padding);
  if (options.ceil_mode) list.add("ceil_mode", 1);
  return list;
}

}  // namespace detail

/// Largest element of every window of x [K, B, H, W, C] -> [K, B, Ho, Wo, C]; padding never wins, of equal elements the
/// first does. Throws OptionError for impossible options, ShapeError for a window that is larger than the padded image,
/// in ceil mode by its stride.
template <class T, class D>
[[nodiscard]] Variable<T, D> max_pool2d(const Variable<T, D>& x, PoolOptions options = {}) {
  const Shape& in = x.shape();
  detail::check_pool("max_pool2d", x, options);
  auto pooled = max_pool2d_forward(x.value(), options);
  return record(
      {"max_pool2d", detail::pool_attributes(options).list()}, pooled.y,
      [winner = pooled.winner, in, options, dx = x.edge()](Tensor<T, D> dy) {
        auto target = dx.sink(in);
        max_pool2d_backward(winner, dy, options, target);
      },
      x);
}

/// Mean over the image: x [K, B, H, W, C] -> [K, B, C].
template <class T, class D>
[[nodiscard]] Variable<T, D> global_average_pool(const Variable<T, D>& x) {
  const Shape in = x.shape();
  detail::require_axes("global_average_pool", "[K B H W C]", in.rank() == 5, in);
  detail::require_elements("global_average_pool", in);
  return record(
      "global_average_pool", global_average_pool_forward(x.value()),
      [in, dx = x.edge()](Tensor<T, D> dy) {
        auto target = dx.sink(in);
        global_average_pool_backward(dy, target);
      },
      x);
}

}  // namespace lpw::inline LPW_ABI
