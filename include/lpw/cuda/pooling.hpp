// primitives/pooling.hpp on the GPU, channels last.
#pragma once

#include <lpw/cuda/base/rows.hpp>
#include <lpw/kernels/pooling.cuh>
#include <lpw/primitives/pooling.hpp>

namespace lpw::inline LPW_ABI {

namespace cuda::detail {

/// Geometry of a window over images [K, B, H, W, C] with results [K, B, Ho, Wo, C].
[[nodiscard]] inline kernels::PoolGeometry pool_geometry(const Shape& in, const Shape& out,
                                                         const PoolOptions& options) {
  require_countable("max_pool2d", "elements of an image", in.size_from(2));
  const auto extent = [](std::int64_t value) { return static_cast<int>(value); };
  return {in[0] * in[1],
          extent(in[2]),
          extent(in[3]),
          extent(in[4]),
          extent(out[2]),
          extent(out[3]),
          extent(options.kernel_size.height),
          extent(options.kernel_size.width),
          extent(options.step().height),
          extent(options.step().width),
          extent(options.padding.height),
          extent(options.padding.width)};
}

}  // namespace cuda::detail

/// Throws ShapeError past 2^30 elements of an image, as all here.
template <class T>
[[nodiscard]] MaxPooled<T, Cuda> max_pool2d_forward(const Tensor<T, Cuda>& x, PoolOptions options) {
  const Shape& in = x.shape();
  const Shape out = pool_output(in, options);
  MaxPooled<T, Cuda> result{Tensor<T, Cuda>(out), Tensor<std::int32_t, Cuda>(out)};
  const kernels::MaxPoolForward<T> p{x.data(), result.y.data(), result.winner.data(),
                                     cuda::detail::pool_geometry(in, out, options)};
  const int width = vector_width<T>(in[4], {p.x, p.y, p.winner});
  const auto plan = cuda::element_plan(out.size_from(2) / width, p.geometry.images);
  cuda::with_width<T>(width, [&](auto n) { cuda::launch(kernels::max_pool2d_forward<T, n()>, plan, p); });
  return result;
}

/// Gathers, so that no atomics are needed.
template <class T>
void max_pool2d_backward(const Tensor<std::int32_t, Cuda>& winner, const Tensor<T, Cuda>& dy, PoolOptions options,
                         Gradient<T, Cuda>& dx) {
  const Shape& in = dx.tensor.shape();
  const kernels::MaxPoolBackward<T> p{winner.data(), dy.data(), dx.tensor.data(), dx.accumulate,
                                      cuda::detail::pool_geometry(in, dy.shape(), options)};
  const int width = vector_width<T>(in[4], {p.winner, p.dy, p.dx});
  const auto plan = cuda::element_plan(in.size_from(2) / width, p.geometry.images);
  cuda::with_width<T>(width, [&](auto n) { cuda::launch(kernels::max_pool2d_backward<T, n()>, plan, p); });
}

/// A block for each image.
template <class T>
[[nodiscard]] Tensor<T, Cuda> global_average_pool_forward(const Tensor<T, Cuda>& x) {
  const Shape& in = x.shape();
  Tensor<T, Cuda> y({in[0], in[1], in[4]});
  const auto view = cuda::member_rows("global_average_pool", {in[0] * in[1], in[2] * in[3], in[4]});
  const int width = vector_width<T>(in[4], {x.data(), y.data()});
  const auto plan =
      plan_member_rows(view.members, view.rows, view.channels, width, true, 1);  // one block for each image
  const kernels::AveragePoolForward<T> p{x.data(), y.data(), plan.tiling};
  cuda::with_width<T>(width,
                      [&](auto n) { cuda::launch(kernels::global_average_pool_forward<T, n()>, plan.launch, p); });
  return y;
}

template <class T>
void global_average_pool_backward(const Tensor<T, Cuda>& dy, Gradient<T, Cuda>& dx) {
  const Shape& in = dx.tensor.shape();
  cuda::require_countable("global_average_pool", "elements of an image", in.size_from(2));
  const kernels::AveragePoolBackward<T> p{dy.data(),
                                          dx.tensor.data(),
                                          dx.accumulate,
                                          in[0] * in[1],
                                          static_cast<int>(in[2] * in[3]),
                                          static_cast<int>(in[4])};
  const int width = vector_width<T>(in[4], {p.dy, p.dx});
  const auto plan = cuda::element_plan(in.size_from(2) / width, p.images);
  cuda::with_width<T>(width, [&](auto n) { cuda::launch(kernels::global_average_pool_backward<T, n()>, plan, p); });
}

}  // namespace lpw::inline LPW_ABI
