// primitives/members.hpp on the GPU.
#pragma once

#include <lpw/cuda/elementwise.hpp>
#include <lpw/kernels/members.cuh>
#include <lpw/primitives/members.hpp>

namespace lpw::inline LPW_ABI {

/// Throws ShapeError past 2^30 rows.
template <class T>
[[nodiscard]] Tensor<T, Cuda> mean_rows(const Tensor<T, Cuda>& rows) {
  cuda::require_countable("mean_rows", "rows", rows.dim(0));
  Tensor<T, Cuda> mean(rows.shape().with(0, 1));
  const kernels::MeanRows<T> p{rows.data(), mean.data(), rows.row_stride(), static_cast<int>(rows.dim(0)), mean.size()};
  const int width = vector_width<T>(p.length | p.row_stride, {p.rows, p.mean});
  cuda::with_width<T>(
      width, [&](auto n) { cuda::launch(kernels::mean_rows<T, n()>, cuda::element_plan(p.length / width), p); });
  return mean;
}

/// Copies `of`, which may be among what is written.
template <class W>
void add_member_noise(Tensor<W, Cuda> rows, const Tensor<W, Cuda>& of, double deviation, const Philox& random) {
  const auto before = clone(of);
  const kernels::ReleaseRows<W> p{
      before.data(), rows.data(), rows.row_stride(), rows.dim(0), before.size(), static_cast<float>(deviation), random};
  auto plan = cuda::element_plan(p.length, p.members);
  plan.shared_bytes = kernels::shared_bytes<float>(LaunchPlan::block / 32);
  cuda::launch(kernels::release_rows<W>, plan, p);
}

template <class W>
void add_member_noise(Tensor<W, Cuda> rows, double deviation, const Philox& random) {
  add_member_noise(rows, rows.rows(0, 1), deviation, random);
}

[[nodiscard]] inline Tensor<float, Cuda> add_row_forward(const Tensor<float, Cuda>& rows,
                                                         const Tensor<float, Cuda>& row) {
  Tensor<float, Cuda> sum(rows.shape());
  cuda::detail::add_rows(rows, row, sum);
  return sum;
}

/// Throws ShapeError past 2^30 members.
inline void add_row_backward(const Tensor<float, Cuda>& dy, Gradient<float, Cuda>& drows, Gradient<float, Cuda>& drow) {
  cuda::require_countable("add_row", "members", dy.dim(0));
  const kernels::AddRowBackward p{.dy = dy.data(),
                                  .drows = drows.tensor.data(),
                                  .drow = drow.tensor.data(),
                                  .drows_stride = drows.tensor.empty() ? 0 : drows.tensor.row_stride(),
                                  .length = dy.shape().size_from(1),
                                  .members = static_cast<int>(dy.dim(0)),
                                  .add_to_drows = drows.accumulate,
                                  .add_to_drow = drow.accumulate};
  const int width = vector_width<float>(p.length | p.drows_stride, {p.dy, p.drows, p.drow});
  cuda::with_width<float>(
      width, [&](auto n) { cuda::launch(kernels::add_row_backward<n()>, cuda::element_plan(p.length / width), p); });
}

inline void move_average(Tensor<float, Cuda>& average, const Tensor<float, Cuda>& value, double weight) {
  require<ShapeError>(average.shape() == value.shape(), "average: ", average.shape(), " of values ", value.shape());
  const kernels::MoveAverage p{{average.data(), value.data(), value.size()}, {}, static_cast<float>(weight)};
  const int width =
      vector_width<float>(0, {p.base.average, p.base.value});  // of one row; the kernel takes what is left at its end
  cuda::with_width<float>(
      width, [&](auto n) { cuda::launch(kernels::move_average<n()>, cuda::element_plan(value.size() / width), p); });
}

}  // namespace lpw::inline LPW_ABI
