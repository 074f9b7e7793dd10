// primitives/elementwise_loss.hpp on the GPU: a warp, or a block, for each sample.
#pragma once

#include <lpw/cuda/base/rows.hpp>
#include <lpw/cuda/plans/softmax_cross_entropy.hpp>
#include <lpw/kernels/elementwise_loss.cuh>
#include <lpw/primitives/elementwise_loss.hpp>

namespace lpw::inline LPW_ABI {

namespace cuda::detail {

/// A launch over the rows of samples [K, B, ...], of which nothing is kept in shared memory.
struct SampleRows {
  LaunchPlan plan;
  kernels::SoftmaxTiling tiling;

  SampleRows(const char* primitive, const Shape& shape) {
    const std::int64_t samples = shape[0] * shape[1], elements = shape.size_from(2);
    require_countable(primitive, "samples of all members", samples);
    require_countable(primitive, "elements of a sample", elements);
    const auto rows = plan_softmax(limits().multiprocessors, samples, elements, 0);
    plan = rows.launch;
    tiling = {static_cast<int>(shape[0]), static_cast<int>(shape[1]), static_cast<int>(elements), 0,
              rows.block_per_row};
  }
};

[[nodiscard]] inline kernels::ElementLoss element_loss(ElementLoss kind) {
  return kind == ElementLoss::squared    ? kernels::ElementLoss::squared
         : kind == ElementLoss::absolute ? kernels::ElementLoss::absolute
                                         : kernels::ElementLoss::logistic;
}

}  // namespace cuda::detail

/// Throws ShapeError past 2^30 samples or elements, as both here.
template <class T>
[[nodiscard]] Tensor<float, Cuda> elementwise_loss_forward(const Tensor<T, Cuda>& x, const Tensor<T, Cuda>& target,
                                                           const ElementwiseLoss<float, Cuda>& of) {
  const cuda::detail::SampleRows rows("elementwise_loss", x.shape());
  Tensor<float, Cuda> losses({x.dim(0), x.dim(1)});
  const kernels::ElementwiseLoss<T> p{.x = x.data(),
                                      .target = target.data(),
                                      .positive_weight = of.positive_weight.data(),
                                      .columns = static_cast<int>(of.positive_weight.size()),
                                      .kind = cuda::detail::element_loss(of.kind),
                                      .losses = losses.data(),
                                      .tiling = rows.tiling};
  cuda::with_width<T>(vector_width<T>(rows.tiling.classes, {p.x, p.target}),
                      [&](auto n) { cuda::launch(kernels::elementwise_loss<T, n()>, rows.plan, p); });
  return losses;
}

template <class T>
void elementwise_loss_backward(const Tensor<T, Cuda>& x, const Tensor<T, Cuda>& target,
                               const ElementwiseLoss<float, Cuda>& of, const Tensor<float, Cuda>& dlosses,
                               Gradient<T, Cuda>& dx) {
  cuda::detail::SampleRows rows("elementwise_loss", x.shape());
  rows.plan.shared_bytes = 0;
  const kernels::ElementwiseLossBackward<T> p{.x = x.data(),
                                              .target = target.data(),
                                              .positive_weight = of.positive_weight.data(),
                                              .columns = static_cast<int>(of.positive_weight.size()),
                                              .kind = cuda::detail::element_loss(of.kind),
                                              .dlosses = dlosses.data(),
                                              .dx = dx.tensor.data(),
                                              .accumulate = dx.accumulate,
                                              .tiling = rows.tiling};
  cuda::with_width<T>(vector_width<T>(rows.tiling.classes, {p.x, p.target, p.dx}),
                      [&](auto n) { cuda::launch(kernels::elementwise_loss_backward<T, n()>, rows.plan, p); });
}

}  // namespace lpw::inline LPW_ABI
