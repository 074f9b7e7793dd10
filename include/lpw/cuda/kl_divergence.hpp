// primitives/kl_divergence.hpp on the GPU: a warp, or a block, for each sample.
#pragma once

#include <lpw/cuda/elementwise_loss.hpp>
#include <lpw/kernels/kl_divergence.cuh>
#include <lpw/primitives/kl_divergence.hpp>

namespace lpw::inline LPW_ABI {

/// Throws ShapeError past 2^30 samples or classes, as both here.
template <class T>
[[nodiscard]] KlDivergence<float, Cuda> kl_divergence_forward(const Tensor<T, Cuda>& p, const Tensor<T, Cuda>& q) {
  const cuda::detail::SampleRows rows("kl_divergence", p.shape());
  KlDivergence<float, Cuda> result{Tensor<float, Cuda>({p.dim(0), p.dim(1)}),
                                   Tensor<float, Cuda>({p.dim(0), p.dim(1), 4})};
  const kernels::KlDivergence<T> launched{p.data(), q.data(), result.losses.data(), result.statistics.data(),
                                          rows.tiling};
  cuda::with_width<T>(vector_width<T>(rows.tiling.classes, {p.data(), q.data()}),
                      [&](auto n) { cuda::launch(kernels::kl_divergence<T, n()>, rows.plan, launched); });
  return result;
}

template <class T>
void kl_divergence_backward(const Tensor<T, Cuda>& p, const Tensor<T, Cuda>& q,
                            const KlDivergence<float, Cuda>& forward, const Tensor<float, Cuda>& dlosses,
                            Gradient<T, Cuda>* dp, Gradient<T, Cuda>* dq) {
  cuda::detail::SampleRows rows("kl_divergence", p.shape());
  rows.plan.shared_bytes = 0;
  const kernels::KlDivergenceBackward<T> launched{.p = p.data(),
                                                  .q = q.data(),
                                                  .losses = forward.losses.data(),
                                                  .statistics = forward.statistics.data(),
                                                  .dlosses = dlosses.data(),
                                                  .dp = dp ? dp->tensor.data() : nullptr,
                                                  .dq = dq ? dq->tensor.data() : nullptr,
                                                  .add_to_dp = dp && dp->accumulate,
                                                  .add_to_dq = dq && dq->accumulate,
                                                  .tiling = rows.tiling};
  cuda::with_width<T>(vector_width<T>(rows.tiling.classes, {launched.p, launched.q, launched.dp, launched.dq}),
                      [&](auto n) { cuda::launch(kernels::kl_divergence_backward<T, n()>, rows.plan, launched); });
}

}  // namespace lpw::inline LPW_ABI
