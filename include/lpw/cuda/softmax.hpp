// primitives/softmax.hpp on the GPU.
#pragma once

#include <lpw/cuda/base/rows.hpp>
#include <lpw/kernels/softmax.cuh>
#include <lpw/primitives/softmax.hpp>

namespace lpw::inline LPW_ABI {

namespace cuda::detail {

/// A warp for each of `rows`, and no more blocks than are resident.
[[nodiscard]] inline LaunchPlan plan_warps(std::int64_t rows) { return element_plan(32 * rows); }

}  // namespace cuda::detail

/// Throws ShapeError past 2^30 columns.
template <class T>
[[nodiscard]] Tensor<T, Cuda> softmax_forward(const Tensor<T, Cuda>& x, bool causal) {
  const std::int64_t columns = x.dim(-1), queries = causal ? x.dim(-2) : 0;
  cuda::require_countable("softmax", "columns", columns);
  cuda::require_countable("softmax", "rows of a matrix", queries);
  Tensor<T, Cuda> y(x.shape());
  const kernels::SoftmaxForward<T> p{x.data(), y.data(), x.size() / columns, static_cast<int>(columns),
                                     static_cast<int>(queries)};
  const int width = vector_width<T>(columns, {p.x, p.y});
  cuda::with_width<T>(
      width, [&](auto n) { cuda::launch(kernels::softmax_forward<T, n()>, cuda::detail::plan_warps(p.rows), p); });
  return y;
}

template <class T>
void softmax_backward(const Tensor<T, Cuda>& y, const Tensor<T, Cuda>& dy, Gradient<T, Cuda>& dx) {
  const std::int64_t columns = y.dim(-1);
  const kernels::SoftmaxBackward<T> p{
      y.data(), dy.data(), dx.tensor.data(), y.size() / columns, static_cast<int>(columns), dx.accumulate};
  const int width = vector_width<T>(columns, {p.y, p.dy, p.dx});
  cuda::with_width<T>(
      width, [&](auto n) { cuda::launch(kernels::softmax_backward<T, n()>, cuda::detail::plan_warps(p.rows), p); });
}

}  // namespace lpw::inline LPW_ABI
