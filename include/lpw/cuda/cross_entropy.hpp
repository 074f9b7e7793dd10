// primitives/cross_entropy.hpp on the GPU.
#pragma once

#include <lpw/cuda/base/rows.hpp>
#include <lpw/cuda/plans/softmax_cross_entropy.hpp>
#include <lpw/kernels/softmax_cross_entropy.cuh>
#include <lpw/primitives/cross_entropy.hpp>

namespace lpw::inline LPW_ABI {

namespace cuda::detail {

/// The launch for logits [K, B, classes], and what the kernels know of it.
struct SoftmaxLaunch {
  SoftmaxPlan plan;
  kernels::SoftmaxTiling tiling;
  kernels::SmoothedTarget target;

  SoftmaxLaunch(const Shape& logits, double smoothing)
      : plan(plan_softmax(limits().multiprocessors, logits[0] * logits[1], logits[2])),
        tiling{static_cast<int>(logits[0]), static_cast<int>(logits[1]), static_cast<int>(logits[2]), plan.resident,
               plan.block_per_row},
        target{static_cast<float>(1 - smoothing), static_cast<float>(smoothing / static_cast<double>(logits[2]))} {
    require_countable("cross_entropy", "samples of all members", logits[0] * logits[1]);
    require_countable("cross_entropy", "classes", logits[2]);
  }
};

}  // namespace cuda::detail

/// One launch: rows, and the means by the last block. Throws ShapeError past 2^30 samples or classes, as all here.
template <class T>
[[nodiscard]] CrossEntropy<T, Cuda> cross_entropy_forward(const Tensor<T, Cuda>& logits,
                                                          const Tensor<std::int32_t, Cuda>& labels, double smoothing) {
  const cuda::detail::SoftmaxLaunch launch(logits.shape(), smoothing);
  CrossEntropy<T, Cuda> result{Tensor<float, Cuda>({logits.dim(0)}), Tensor<float, Cuda>(logits.shape())};
  Tensor<float, Cuda> row_loss(labels.shape());
  const kernels::SoftmaxCrossEntropy<T> p{.logits = logits.data(),
                                          .labels = labels.data(),
                                          .loss = result.loss.data(),
                                          .probabilities = result.probabilities.data(),
                                          .dlogits = nullptr,
                                          .target = launch.target,
                                          .row_loss = row_loss.data(),
                                          .arrivals = cuda::counters(1),
                                          .bad_label = nullptr,
                                          .tiling = launch.tiling};
  const int width = vector_width<T>(logits.dim(2), {p.logits, p.probabilities});
  cuda::with_width<T>(width,
                      [&](auto n) { cuda::launch(kernels::softmax_cross_entropy<T, n()>, launch.plan.launch, p); });
  return result;
}

template <class T>
void cross_entropy_backward(const Tensor<float, Cuda>& probabilities, const Tensor<std::int32_t, Cuda>& labels,
                            double smoothing, const Tensor<float, Cuda>& dloss, Gradient<T, Cuda>& dlogits) {
  const cuda::detail::SoftmaxLaunch launch(probabilities.shape(), smoothing);
  LaunchPlan plan = launch.plan.launch;
  plan.shared_bytes = 0;
  const kernels::SoftmaxCrossEntropyBackward<T> p{probabilities.data(),  labels.data(), dloss.data(),
                                                  dlogits.tensor.data(), launch.target, dlogits.accumulate,
                                                  launch.tiling};
  const int width = vector_width<T>(probabilities.dim(2), {p.probabilities, p.dlogits});
  cuda::with_width<T>(width, [&](auto n) { cuda::launch(kernels::softmax_cross_entropy_backward<T, n()>, plan, p); });
}

template <class T>
[[nodiscard]] Tensor<std::int32_t, Cuda> count_correct(const Tensor<T, Cuda>& logits,
                                                       const Tensor<std::int32_t, Cuda>& labels) {
  cuda::require_countable("count_correct", "samples", labels.size());
  cuda::require_countable("count_correct", "classes", logits.dim(2));
  auto correct = zeros<std::int32_t, Cuda>({1});
  const auto rows = packed(logits);
  const auto classes = packed(labels);
  const kernels::CountCorrect<T> p{rows.data(), classes.data(), correct.data(), labels.size(),
                                   static_cast<int>(logits.dim(2))};
  cuda::launch(kernels::count_correct<T>, cuda::element_plan(32 * labels.size()), p);  // a warp for each sample
  return correct;
}

}  // namespace lpw::inline LPW_ABI
