// primitives/ascent.hpp on the GPU: a launch for the factors, and one for each store. Nothing waits for the GPU.
#pragma once

#include <lpw/cuda/optimizer.hpp>
#include <lpw/kernels/ascent.cuh>
#include <lpw/primitives/ascent.hpp>

namespace lpw::inline LPW_ABI {

namespace cuda::detail {

[[nodiscard]] inline kernels::AscentRows ascent_rows(const AscentStore<float, Cuda>& store) {
  if (store.weight.empty()) return {};
  return {store_data(store.weight), store_data(store.gradient), store.weight.dim(0), store.weight.shape().size_from(1)};
}

/// Factors, or the norms that they are made of.
[[nodiscard]] inline Tensor<float, Cuda> ascent_values(const AscentStore<float, Cuda>& base,
                                                       const AscentStore<float, Cuda>& late, const Ascent& ascent,
                                                       bool norms) {
  const auto base_rows = ascent_rows(base), late_rows = ascent_rows(late);
  const std::int64_t chunks = kernels::ascent_chunks(base_rows) + kernels::ascent_chunks(late_rows);
  Tensor<double, Cuda> partial({chunks});
  Tensor<float, Cuda> scale({1 + late_rows.rows});
  const kernels::AscentScale p{.base = base_rows,
                               .late = late_rows,
                               .rho = static_cast<float>(ascent.rho),
                               .eta = static_cast<float>(ascent.eta),
                               .adaptive = ascent.adaptive,
                               .norms = norms,
                               .scale = scale.data(),
                               .partial = partial.data(),
                               .arrivals = counters(1)};
  auto plan = element_plan(chunks * LaunchPlan::block);  // a block for each chunk
  plan.shared_bytes = kernels::shared_bytes<double>(LaunchPlan::block / 32) + kernels::shared_bytes<unsigned>(1);
  const int width = vector_width<float>(late_rows.length, {});
  with_width<float>(width, [&](auto n) { launch(kernels::ascent_scale<n()>, plan, p); });
  return scale;
}

}  // namespace cuda::detail

[[nodiscard]] inline Tensor<float, Cuda> ascent_scale(const AscentStore<float, Cuda>& base,
                                                      const AscentStore<float, Cuda>& late, const Ascent& ascent) {
  return cuda::detail::ascent_values(base, late, ascent, false);
}

[[nodiscard]] inline Tensor<float, Cuda> ascent_norms(const AscentStore<float, Cuda>& base,
                                                      const AscentStore<float, Cuda>& late, const Ascent& ascent) {
  return cuda::detail::ascent_values(base, late, ascent, true);
}

inline void ascend_weights(const AscentStore<float, Cuda>& store, const Tensor<float, Cuda>& scale,
                           const Ascent& ascent) {
  if (store.weight.size() == 0) return;
  const std::int64_t rows = store.weight.dim(0), length = store.weight.shape().size_from(1);
  const kernels::Ascend p{.weight = cuda::detail::store_data(store.weight),
                          .gradient = cuda::detail::store_data(store.gradient),
                          .kept = cuda::detail::store_data(store.kept),
                          .scale = scale.data(),
                          .rows = rows,
                          .length = length,
                          .eta = static_cast<float>(ascent.eta),
                          .adaptive = ascent.adaptive};
  const int width = vector_width<float>(rows == 1 ? 0 : length, {p.weight, p.gradient, p.kept});
  cuda::with_width<float>(
      width, [&](auto n) { cuda::launch(kernels::ascend_weights<n()>, cuda::element_plan(length / width, rows), p); });
}

}  // namespace lpw::inline LPW_ABI
