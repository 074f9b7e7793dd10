// KL(softmax(p) || softmax(q)) of each sample, forward and backward: primitives/kl_divergence.hpp has the formulas. A
// team of threads takes a row, as in softmax cross-entropy.
#pragma once

#include <lpw/kernels/softmax_loss.cuh>

namespace lpw::inline LPW_ABI::kernels {

template <class T>
struct KlDivergence {
  const T *p, *q;     // (member, sample, class): logits
  float* losses;      // (member, sample)
  float* statistics;  // (member, sample, 4): of p, then of q, the largest logit and sum exp(logit - largest)
  SoftmaxTiling tiling;
};

template <class T>
struct KlDivergenceBackward {
  const T *p, *q;                              // (member, sample, class)
  const float *losses, *statistics, *dlosses;  // forward's; (member, sample)
  T *dp, *dq;                                  // (member, sample, class); null: not wanted
  bool add_to_dp, add_to_dq;
  SoftmaxTiling tiling;
};

namespace detail {

/// The largest of a row, and the sum of the exponentials relative to it, to every thread of its team.
template <int N, class T>
[[nodiscard]] __device__ __forceinline__ Coefficients softmax_statistics(const T* row, const TeamPlace<N>& place,
                                                                         bool block_per_row, float* scratch) {
  const float largest = largest_of_row<N>(row, place, block_per_row, scratch);
  float total = 0;
  for (int step = 0; step < place.steps; ++step) {
    const auto value = load_floats<N>(row + place[step]);
    LPW_UNROLL
    for (int j = 0; j < N; ++j) total += expf(value[j] - largest);
  }
  return {largest, team_reduce(total, Sum(), block_per_row, scratch)};
}

}  // namespace detail

/// The losses and what backward needs. N is widest<T>, or 1 if the number of classes is not a multiple of that or an
/// address not aligned to 16 bytes. Shared memory: element_threads / 32 floats.
template <class T, int N>
__global__ void __launch_bounds__(element_threads, element_blocks) kl_divergence(const KlDivergence<T> p) {
  SharedMemory memory;
  float* scratch = memory.take<float>(warp_count());
  const SoftmaxTiling& tiling = p.tiling;
  const detail::TeamPlace<N> place(tiling);
  detail::for_each_row(tiling, [&](std::int64_t row) {
    const T *first = p.p + row * tiling.classes, *second = p.q + row * tiling.classes;
    const Coefficients of_p = detail::softmax_statistics<N>(first, place, tiling.block_per_row, scratch),
                       of_q = detail::softmax_statistics<N>(second, place, tiling.block_per_row, scratch);
    const float offset = logf(of_q.second) - logf(of_p.second), inverse = 1.f / of_p.second;
    float sum = 0;
    for (int step = 0; step < place.steps; ++step) {
      const auto a = load_floats<N>(first + place[step]), b = load_floats<N>(second + place[step]);
      LPW_UNROLL
      for (int j = 0; j < N; ++j) {
        const float distance = a[j] - of_p.first, at = expf(distance) * inverse;
        sum += at != 0.f ? at * (distance - (b[j] - of_q.first) + offset) : 0.f;
      }
    }
    sum = detail::team_reduce(sum, Sum(), tiling.block_per_row, scratch);
    if (place.rank != 0) return;
    p.losses[row] = sum;
    store_vector(p.statistics + 4 * row, Vector<float, 4>{{of_p.first, of_p.second, of_q.first, of_q.second}});
  });
}

/// dp = dlosses P (log P - log Q - KL), dq = dlosses (Q - P), 0 where dlosses is. N as above; no shared memory.
template <class T, int N>
__global__ void __launch_bounds__(element_threads, element_blocks)
    kl_divergence_backward(const KlDivergenceBackward<T> p) {
  const detail::TeamPlace<N> place(p.tiling);
  detail::for_each_row(p.tiling, [&](std::int64_t row) {
    const auto of = load_vector<4>(p.statistics + 4 * row);
    const float inverse_p = 1.f / of[1], inverse_q = 1.f / of[3], offset = logf(of[3]) - logf(of[1]) - p.losses[row],
                share = p.dlosses[row];
    for (int step = 0; step < place.steps; ++step) {
      const std::int64_t at = row * p.tiling.classes + place[step];
      const auto a = load_floats<N>(p.p + at), b = load_floats<N>(p.q + at);
      Vector<float, N> dp = {}, dq = {};
      if (p.dp && p.add_to_dp) dp = load_floats<N>(p.dp + at);
      if (p.dq && p.add_to_dq) dq = load_floats<N>(p.dq + at);
      LPW_UNROLL
      for (int j = 0; j < N; ++j) {
        const float first = expf(a[j] - of[0]) * inverse_p, second = expf(b[j] - of[2]) * inverse_q;
        if (share == 0.f) continue;
        dp[j] += first != 0.f ? share * first * ((a[j] - of[0]) - (b[j] - of[2]) + offset) : 0.f;
        dq[j] += share * (second - first);
      }
      if (p.dp) store_floats(p.dp + at, dp);
      if (p.dq) store_floats(p.dq + at, dq);
    }
  });
}

}  // namespace lpw::inline LPW_ABI::kernels
