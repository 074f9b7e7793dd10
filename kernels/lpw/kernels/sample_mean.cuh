// The mean of each member's losses, and backward: a warp for each member, since a minibatch has some hundred samples.
#pragma once

#include <lpw/kernels/elements.cuh>

namespace lpw::inline LPW_ABI::kernels {

struct SampleMean {
  const float *losses, *weights;  // (member, sample); weights null: ones
  bool in_losses;                 // the losses have been multiplied by their weights
  float* mean;                    // (member)
  int members, batch;
};

struct SampleMeanBackward {
  const float *dmean, *weights;  // (member); (member, sample), null: ones
  bool in_losses;                // as forward's
  float* dlosses;                // (member, sample)
  bool accumulate;               // add to dlosses
  int members, batch;
};

namespace detail {

/// The sum of f(sample) over a member's samples, to every lane.
template <class F>
[[nodiscard]] __device__ __forceinline__ float sum_samples(int batch, F f) {
  float sum = 0;
  for (int b = lane_index(); b < batch; b += 32) sum += f(b);
  return warp_sum(sum);
}

/// The sum of a member's weights.
[[nodiscard]] __device__ __forceinline__ float sample_weight(const float* weights, int batch) {
  return weights ? sum_samples(batch, [&](int b) { return weights[b]; }) : static_cast<float>(batch);
}

/// Calls body(member) for this warp's members.
template <class Body>
__device__ __forceinline__ void for_each_member(int members, Body body) {
  const int warps = static_cast<int>(gridDim.x) * warp_count();
  for (int member = static_cast<int>(blockIdx.x) * warp_count() + warp_index(); member < members; member += warps)
    body(member);
}

}  // namespace detail

/// mean = the sum of the losses times their weights, 0 where those are, / that of the weights, or 0 where all weights
/// are. V is float.
template <class V>
__global__ void __launch_bounds__(element_threads, element_blocks) sample_mean(const SampleMean p) {
  detail::for_each_member(p.members, [&](int member) {
    const std::int64_t first = static_cast<std::int64_t>(member) * p.batch;
    const V *losses = p.losses + first, *weights = p.weights ? p.weights + first : nullptr;
    const V total = detail::sample_weight(weights, p.batch);
    const bool multiplies = weights && !p.in_losses;
    const V sum = detail::sum_samples(p.batch, [&](int b) {
      const V factor = multiplies ? weights[b] : 1.f;
      return factor == 0.f ? 0.f : factor * losses[b];  // of infinity too
    });
    if (lane_index() == 0) p.mean[member] = total == 0.f ? 0.f : sum / total;
  });
}

/// dlosses = dmean weights / the sum of the weights. V as above.
template <class V>
__global__ void __launch_bounds__(element_threads, element_blocks) sample_mean_backward(const SampleMeanBackward p) {
  detail::for_each_member(p.members, [&](int member) {
    const std::int64_t first = static_cast<std::int64_t>(member) * p.batch;
    const V* weights = p.weights ? p.weights + first : nullptr;
    const V total = detail::sample_weight(weights, p.batch), share = total == 0.f ? 0.f : p.dmean[member] / total;
    const bool multiplies = weights && !p.in_losses;
    V* out = p.dlosses + first;
    for (int b = lane_index(); b < p.batch; b += 32) {
      const V value = multiplies ? share * weights[b] : share;
      out[b] = p.accumulate ? out[b] + value : value;
    }
  });
}

}  // namespace lpw::inline LPW_ABI::kernels
