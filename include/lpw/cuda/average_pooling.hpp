// primitives/average_pooling.hpp on the GPU, channels last.
#pragma once

#include <lpw/cuda/base/narrow.hpp>
#include <lpw/cuda/base/rows.hpp>
#include <lpw/kernels/average_pooling.cuh>
#include <lpw/primitives/average_pooling.hpp>

namespace lpw::inline LPW_ABI {

namespace cuda::detail {

[[nodiscard]] inline kernels::PoolAxis pool_axis(const WindowAxis& axis) {
  const auto extent = [](const char* field, std::int64_t value) { return narrow("average_pool2d", field, value); };
  return {extent("in", axis.in),         extent("out", axis.out),         extent("kernel_size", axis.kernel),
          extent("stride", axis.stride), extent("padding", axis.padding), axis.count_padding};
}

}  // namespace cuda::detail

/// Throws ShapeError past 2^30 elements of an image, in or out, as its gradient does.
template <class T>
[[nodiscard]] Tensor<T, Cuda> average_pool2d_forward(const Tensor<T, Cuda>& x, const AverageWindows& windows) {
  const Shape out = windows.output(x.shape());
  cuda::require_countable("average_pool2d", "elements of an image", x.shape().size_from(2));
  cuda::require_countable("average_pool2d", "elements of a result", out.size_from(2));
  Tensor<T, Cuda> y(out);
  const kernels::AveragePool2dForward<T> p{x.data(),
                                           y.data(),
                                           out[0] * out[1],
                                           cuda::detail::pool_axis(windows.height),
                                           cuda::detail::pool_axis(windows.width),
                                           static_cast<int>(out[4])};
  const int width = vector_width<T>(out[4], {p.x, p.y});
  const auto plan = cuda::element_plan(out.size_from(2) / width, p.images);
  cuda::with_width<T>(width, [&](auto n) { cuda::launch(kernels::average_pool2d_forward<T, n()>, plan, p); });
  return y;
}

template <class T>
void average_pool2d_backward(const Tensor<T, Cuda>& dy, const AverageWindows& windows, Gradient<T, Cuda>& dx) {
  const Shape& in = dx.tensor.shape();
  cuda::require_countable("average_pool2d", "elements of an image", in.size_from(2));
  const kernels::AveragePool2dBackward<T> p{dy.data(),
                                            dx.tensor.data(),
                                            dx.accumulate,
                                            in[0] * in[1],
                                            cuda::detail::pool_axis(windows.height),
                                            cuda::detail::pool_axis(windows.width),
                                            static_cast<int>(in[4])};
  const int width = vector_width<T>(in[4], {p.dy, p.dx});
  const auto plan = cuda::element_plan(in.size_from(2) / width, p.images);
  cuda::with_width<T>(width, [&](auto n) { cuda::launch(kernels::average_pool2d_backward<T, n()>, plan, p); });
}

}  // namespace lpw::inline LPW_ABI
