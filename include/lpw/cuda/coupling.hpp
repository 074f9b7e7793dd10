// primitives/coupling.hpp on the GPU: one launch each.
#pragma once

#include <lpw/cuda/base/rows.hpp>
#include <lpw/kernels/coupling.cuh>
#include <lpw/primitives/coupling.hpp>

namespace lpw::inline LPW_ABI {

/// Throws ShapeError past 2^30 members.
inline void pull_to_mean(Tensor<float, Cuda> rows, double strength) {
  cuda::require_countable("pull_to_mean", "members", rows.dim(0));
  const kernels::PullToMean p{rows.data(), rows.row_stride(), static_cast<int>(rows.dim(0)), rows.shape().size_from(1),
                              static_cast<float>(strength)};
  const int width = vector_width<float>(p.length | p.row_stride, {p.rows});
  cuda::with_width<float>(
      width, [&](auto n) { cuda::launch(kernels::pull_to_mean<n()>, cuda::element_plan(p.length / width), p); });
}

/// Throws ShapeError past 2^30 members.
inline void pull_to_centre(Tensor<float, Cuda> rows, Tensor<float, Cuda> centre, double strength) {
  cuda::require_countable("pull_to_centre", "members", rows.dim(0));
  require<ShapeError>(centre.shape() == rows.shape().with(0, 1), "pull_to_centre: a centre ", centre.shape(),
                      " of members ", rows.shape());
  const kernels::PullToCentre p{rows.data(),       centre.data(),
                                rows.row_stride(), static_cast<int>(rows.dim(0)),
                                centre.size(),     static_cast<float>(strength)};
  const int width = vector_width<float>(p.length | p.row_stride, {p.rows, p.centre});
  cuda::with_width<float>(
      width, [&](auto n) { cuda::launch(kernels::pull_to_centre<n()>, cuda::element_plan(p.length / width), p); });
}

/// Throws ShapeError past 2^30 members.
inline void swap_members(Tensor<float, Cuda> rows, double share, const Philox& random) {
  cuda::require_countable("swap_members", "members", rows.dim(0));
  const kernels::SwapMembers<float> p{rows.data(),
                                      rows.row_stride(),
                                      static_cast<int>(rows.dim(0)),
                                      rows.shape().size_from(1),
                                      static_cast<float>(share),
                                      random};
  cuda::launch(kernels::swap_members<float>, cuda::element_plan(p.length), p);
}

}  // namespace lpw::inline LPW_ABI
