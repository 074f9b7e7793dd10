// primitives/optimizer.hpp on the GPU: one launch for both flat stores, and one before it where gradients are clipped.
// Nothing waits for the GPU.
#pragma once

#include <cassert>
#include <cmath>

#include <lpw/cuda/base/graph.hpp>
#include <lpw/cuda/base/rows.hpp>
#include <lpw/kernels/optimizer.cuh>
#include <lpw/primitives/optimizer.hpp>

namespace lpw::inline LPW_ABI {

namespace cuda::detail {

/// A thread for each four weights of both stores.
[[nodiscard]] inline LaunchPlan weight_plan(std::int64_t base, std::int64_t late) {
  return element_plan((base + late) / 4);
}

/// The address of a store's contiguous tensor, which vectors of four can begin at.
[[nodiscard]] inline float* store_data(Tensor<float, Cuda> tensor) {
  assert(tensor.contiguous() && vector_width<float>(0, {tensor.data()}) > 1);
  return tensor.data();
}

[[nodiscard]] inline kernels::SgdStore<float> kernel_store(const SgdStore<float, Cuda>& store) {
  const SgdStep& step = store.step;
  return {.weight = store_data(store.weight),
          .gradient = store_data(store.gradient),
          .velocity = store_data(store.velocity),
          .rounded = nullptr,
          .size = store.weight.size(),
          .learning_rate = static_cast<float>(step.learning_rate),
          .weight_decay = static_cast<float>(step.weight_decay),
          .gradient_scale = static_cast<float>(step.gradient_scale),
          .rate = store.learning_rate.data(),
          .decay_target = static_cast<float>(step.decay_target)};
}

[[nodiscard]] inline kernels::AdamStore<float> kernel_store(const AdamStore<float, Cuda>& store) {
  const AdamStep& step = store.step;
  return {.weight = store_data(store.weight),
          .gradient = store_data(store.gradient),
          .mean = store_data(store.mean),
          .square = store_data(store.square),
          .rounded = nullptr,
          .size = store.weight.size(),
          .learning_rate = static_cast<float>(step.learning_rate),
          .weight_decay = static_cast<float>(step.weight_decay),
          .gradient_scale = static_cast<float>(step.gradient_scale),
          .count = static_cast<std::int32_t>(step.count),
          .rate = store.learning_rate.data(),
          .decay_target = static_cast<float>(step.decay_target)};
}

}  // namespace cuda::detail

/// Both stores have the same momentum and form; throws OptionError otherwise.
inline void sgd_step(const SgdStore<float, Cuda>& base, const SgdStore<float, Cuda>& late,
                     const Tensor<float, Cuda>& gradient_factor = {}) {
  const SgdStep &step = base.step, &other = late.step;
  require<OptionError>(step.momentum == other.momentum && step.nesterov == other.nesterov,
                       "sgd_step: base and late-phase weights must share momentum and nesterov on the GPU");
  const kernels::SgdParameters<float> p{.base = cuda::detail::kernel_store(base),
                                        .late = cuda::detail::kernel_store(late),
                                        .momentum = static_cast<float>(step.momentum),
                                        .nesterov = step.nesterov,
                                        .gradient_factor = gradient_factor.data()};
  cuda::launch(kernels::sgd_step<float>, cuda::detail::weight_plan(p.base.size, p.late.size), p);
}

/// The stores may differ in rate, decay and its target, scale and count; throws OptionError where they do in anything
/// else. In a captured graph the counts go on from those at the capture.
inline void adam_step(const AdamStore<float, Cuda>& base, const AdamStore<float, Cuda>& late,
                      const Tensor<float, Cuda>& gradient_factor = {}) {
  const AdamStep &step = base.step, &other = late.step;
  require<OptionError>(step.beta1 == other.beta1 && step.beta2 == other.beta2 && step.epsilon == other.epsilon &&
                           step.decoupled == other.decoupled,
                       "adam_step: base and late-phase weights must share betas, epsilon and decoupled on the GPU");
  const kernels::AdamParameters<float> p{.base = cuda::detail::kernel_store(base),
                                         .late = cuda::detail::kernel_store(late),
                                         .beta1 = static_cast<float>(step.beta1),
                                         .beta2 = static_cast<float>(step.beta2),
                                         .complement1 = static_cast<float>(1 - step.beta1),
                                         .complement2 = static_cast<float>(1 - step.beta2),
                                         .log_beta1 = static_cast<float>(std::log(step.beta1)),
                                         .log_beta2 = static_cast<float>(std::log(step.beta2)),
                                         .later = cuda::replay_step(),
                                         .epsilon = static_cast<float>(step.epsilon),
                                         .decoupled = step.decoupled,
                                         .gradient_factor = gradient_factor.data()};
  cuda::launch(kernels::adam_step<float>, cuda::detail::weight_plan(p.base.size, p.late.size), p);
}

[[nodiscard]] inline Tensor<float, Cuda> clip_factor(const ScaledGradient<float, Cuda>& base,
                                                     const ScaledGradient<float, Cuda>& late, double max_norm) {
  const auto scaled = [](const ScaledGradient<float, Cuda>& store) {
    return kernels::ScaledGradient<float>{cuda::detail::store_data(store.gradient), store.gradient.size(),
                                          static_cast<float>(store.scale)};
  };
  const std::int64_t chunks = kernels::clip_chunks(base.gradient.size()) + kernels::clip_chunks(late.gradient.size());
  Tensor<double, Cuda> partial({chunks});
  Tensor<float, Cuda> factor({1});
  const kernels::ClipFactor<float> p{.base = scaled(base),
                                     .late = scaled(late),
                                     .max_norm = static_cast<float>(max_norm),
                                     .factor = factor.data(),
                                     .partial = partial.data(),
                                     .arrivals = cuda::counters(1)};
  auto plan = cuda::element_plan(chunks * LaunchPlan::block);  // a block for each chunk
  plan.shared_bytes = kernels::shared_bytes<double>(LaunchPlan::block / 32) + kernels::shared_bytes<unsigned>(1);
  cuda::launch(kernels::clip_factor<float>, plan, p);
  return factor;
}

}  // namespace lpw::inline LPW_ABI
