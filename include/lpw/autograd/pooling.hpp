// Pooling operations.
#pragma once

#include <lpw/autograd/elementwise.hpp>

namespace lpw::inline LPW_ABI {

/// Largest element of every window of x [K, B, H, W, C] -> [K, B, Ho, Wo, C]; padding never wins, of equal elements the
/// first does.
template <class T, class D>
[[nodiscard]] Variable<T, D> max_pool2d(const Variable<T, D>& x, PoolOptions options = {}) {
  const Shape& in = x.shape();
  detail::require_axes("max_pool2d", "[K B H W C]", in.rank() == 5, in);
  detail::require_elements("max_pool2d", in);
  require<OptionError>(options.kernel_size >= 1 && options.stride >= 0 && options.padding >= 0 &&
                           2 * options.padding <= options.kernel_size,
                       "max_pool2d: kernel_size ", options.kernel_size, ", stride ", options.stride, ", padding ",
                       options.padding, "; padding is at most half the kernel");
  require<ShapeError>(
      in[2] + 2 * options.padding >= options.kernel_size && in[3] + 2 * options.padding >= options.kernel_size,
      "max_pool2d: the window of ", options.kernel_size, " is larger than the padded image ", describe(in, "KBHWC"));
  auto pooled = max_pool2d_forward(x.value(), options);
  return record(
      {"max_pool2d", {{"kernel_size", options.kernel_size}, {"stride", options.step()}, {"padding", options.padding}}},
      pooled.y,
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
