// primitives/sample_mean.hpp on the GPU.
#pragma once

#include <lpw/cuda/base/rows.hpp>
#include <lpw/kernels/sample_mean.cuh>
#include <lpw/primitives/sample_mean.hpp>

namespace lpw::inline LPW_ABI {

namespace cuda::detail {

/// A warp for each member. Throws ShapeError past 2^30 members or samples.
[[nodiscard]] inline LaunchPlan sample_mean_plan(std::int64_t members, std::int64_t batch) {
  require_countable("sample_mean", "members", members);
  require_countable("sample_mean", "samples", batch);
  return element_plan(32 * members);
}

}  // namespace cuda::detail

/// Throws ShapeError past 2^30 members or samples, as both here.
[[nodiscard]] inline Tensor<float, Cuda> sample_mean_forward(const Tensor<float, Cuda>& losses,
                                                             const SampleWeights<float, Cuda>& weights) {
  const auto plan = cuda::detail::sample_mean_plan(losses.dim(0), losses.dim(1));
  Tensor<float, Cuda> mean({losses.dim(0)});
  const kernels::SampleMean p{losses.data(), weights.values.data(),           weights.in_losses,
                              mean.data(),   static_cast<int>(losses.dim(0)), static_cast<int>(losses.dim(1))};
  cuda::launch(kernels::sample_mean<float>, plan, p);
  return mean;
}

inline void sample_mean_backward(const Tensor<float, Cuda>& dmean, const SampleWeights<float, Cuda>& weights,
                                 Gradient<float, Cuda>& dlosses) {
  const Shape& shape = dlosses.tensor.shape();
  const auto plan = cuda::detail::sample_mean_plan(shape[0], shape[1]);
  const kernels::SampleMeanBackward p{
      dmean.data(),       weights.values.data(),      weights.in_losses,         dlosses.tensor.data(),
      dlosses.accumulate, static_cast<int>(shape[0]), static_cast<int>(shape[1])};
  cuda::launch(kernels::sample_mean_backward<float>, plan, p);
}

}  // namespace lpw::inline LPW_ABI
