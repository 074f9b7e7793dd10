// primitives/softmax_loss.hpp on the GPU: a warp, or a block, for each sample.
#pragma once

#include <lpw/cuda/elementwise_loss.hpp>
#include <lpw/kernels/softmax_loss.cuh>
#include <lpw/primitives/softmax_loss.hpp>

namespace lpw::inline LPW_ABI {

namespace cuda::detail {

template <class T>
[[nodiscard]] kernels::SoftmaxTargets<T> softmax_targets(const SoftmaxTargets<T, Cuda>& targets, std::int64_t classes) {
  return {.labels = targets.labels.data(),
          .probabilities = targets.probabilities.data(),
          .class_weights = targets.class_weights.data(),
          .peak = static_cast<float>(1 - targets.smoothing),
          .floor = static_cast<float>(targets.smoothing / static_cast<double>(classes)),
          .ignores = targets.ignored.has_value(),
          .ignored = targets.ignored.value_or(0)};
}

}  // namespace cuda::detail

/// Throws ShapeError past 2^30 samples or classes, as both here.
template <class T>
[[nodiscard]] SoftmaxLoss<float, Cuda> softmax_loss_forward(const Tensor<T, Cuda>& logits,
                                                            const SoftmaxTargets<T, Cuda>& targets) {
  const cuda::detail::SampleRows rows("cross_entropy", logits.shape());
  const Shape samples = logits.shape().slice(0, 2);
  SoftmaxLoss<float, Cuda> result{Tensor<float, Cuda>(samples), {}, Tensor<float, Cuda>({samples[0], samples[1], 3})};
  if (targets.probabilities.empty() && (targets.ignored || !targets.class_weights.empty()))
    result.weights = Tensor<float, Cuda>(samples);
  const kernels::SoftmaxLoss<T> p{.logits = logits.data(),
                                  .targets = cuda::detail::softmax_targets(targets, logits.dim(2)),
                                  .losses = result.losses.data(),
                                  .weights = result.weights.data(),
                                  .statistics = result.statistics.data(),
                                  .tiling = rows.tiling};
  const int width = vector_width<T>(rows.tiling.classes, {p.logits, p.targets.probabilities, p.targets.class_weights});
  cuda::with_width<T>(width, [&](auto n) { cuda::launch(kernels::softmax_loss<T, n()>, rows.plan, p); });
  return result;
}

template <class T>
void softmax_loss_backward(const Tensor<T, Cuda>& logits, const SoftmaxTargets<T, Cuda>& targets,
                           const Tensor<float, Cuda>& statistics, const Tensor<float, Cuda>& dlosses,
                           Gradient<T, Cuda>& dlogits) {
  cuda::detail::SampleRows rows("cross_entropy", logits.shape());
  rows.plan.shared_bytes = 0;
  const kernels::SoftmaxLossBackward<T> p{.logits = logits.data(),
                                          .targets = cuda::detail::softmax_targets(targets, logits.dim(2)),
                                          .statistics = statistics.data(),
                                          .dlosses = dlosses.data(),
                                          .dlogits = dlogits.tensor.data(),
                                          .accumulate = dlogits.accumulate,
                                          .tiling = rows.tiling};
  const int width =
      vector_width<T>(rows.tiling.classes, {p.logits, p.targets.probabilities, p.targets.class_weights, p.dlogits});
  cuda::with_width<T>(width, [&](auto n) { cuda::launch(kernels::softmax_loss_backward<T, n()>, rows.plan, p); });
}

}  // namespace lpw::inline LPW_ABI
