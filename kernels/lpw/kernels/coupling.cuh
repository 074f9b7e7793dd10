// Late-phase weights that pull on each other: to their mean, to a centre, or by exchange. One pass over the
// coordinates; a thread has all members' values of its own.
#pragma once

#include <cmath>

#include <lpw/kernels/elements.cuh>
#include <lpw/tensor/philox.hpp>

namespace lpw::inline LPW_ABI::kernels {

struct PullToMean {
  float* rows;              // (member, element)
  std::int64_t row_stride;  // elements from member to member
  int members;
  std::int64_t length;
  float strength;
};

/// rows_k += strength (mean - rows_k); exact where all rows are equal, and the mean itself with strength 1. The second
/// read of a row is the cache's. N is 4, or 1 if the length or the stride is not a multiple of that or the address not
/// aligned to 16 bytes.
template <int N>
__global__ void __launch_bounds__(element_threads, element_blocks) pull_to_mean(const PullToMean p) {
  const float share = 1.f / static_cast<float>(p.members);
  const Stride at = Stride::of(p.length / N);
  for (int step = 0; step < at.steps; ++step) {
    float* const column = p.rows + at[step] * N;
    const auto load = [&](int k) { return load_vector<N>(column + k * p.row_stride); };
    auto mean = load(0);
    Vector<float, N> difference = {};
    sweep<4>(
        p.members - 1, [&](int i) { return load(i + 1); },
        [&](int, const Vector<float, N>& row) {
          LPW_UNROLL
          for (int j = 0; j < N; ++j) difference[j] += row[j] - mean[j];
        });
    LPW_UNROLL
    for (int j = 0; j < N; ++j) mean[j] = fmaf(difference[j], share, mean[j]);
    sweep<4>(p.members, load, [&](int k, Vector<float, N> row) {
      LPW_UNROLL
      for (int j = 0; j < N; ++j) row[j] = p.strength == 1.f ? mean[j] : fmaf(p.strength, mean[j] - row[j], row[j]);
      store_vector(column + k * p.row_stride, row);
    });
  }
}

struct PullToCentre {
  float* rows;              // (member, element)
  float* centre;            // (element)
  std::int64_t row_stride;  // elements from member to member
  int members;
  std::int64_t length;
  float strength;
};

/// With d_k = rows_k - centre: rows_k -= strength d_k, centre += strength sum_k d_k. N as for pull_to_mean.
template <int N>
__global__ void __launch_bounds__(element_threads, element_blocks) pull_to_centre(const PullToCentre p) {
  const Stride at = Stride::of(p.length / N);
  for (int step = 0; step < at.steps; ++step) {
    float* const column = p.rows + at[step] * N;
    auto centre = load_vector<N>(p.centre + at[step] * N);
    Vector<float, N> sum = {};
    sweep<4>(
        p.members, [&](int k) { return load_vector<N>(column + k * p.row_stride); },
        [&](int k, Vector<float, N> row) {
          LPW_UNROLL
          for (int j = 0; j < N; ++j) {
            const float difference = row[j] - centre[j];
            sum[j] += difference;
            row[j] = fmaf(-p.strength, difference, row[j]);
          }
          store_vector(column + k * p.row_stride, row);
        });
    LPW_UNROLL
    for (int j = 0; j < N; ++j) centre[j] = fmaf(p.strength, sum[j], centre[j]);
    store_vector(p.centre + at[step] * N, centre);
  }
}

template <class W>
struct SwapMembers {
  W* rows;                  // (member, element)
  std::int64_t row_stride;  // elements from member to member
  int members;
  std::int64_t length;
  float share;
  Philox random;
};

/// Permutes the members' values of a share of the coordinates, those and as the CPU's swap_members does.
template <class W>
__global__ void __launch_bounds__(element_threads, element_blocks) swap_members(const SwapMembers<W> p) {
  const Stride at = Stride::of(p.length);
  for (int step = 0; step < at.steps; ++step) {
    PhiloxSequence numbers(p.random, at[step], p.members);
    if (!(Philox::to_uniform(numbers.next()) < p.share)) continue;
    for (int j = p.members - 1; j > 0; --j) {
      W* const one = p.rows + at[step] + j * p.row_stride;
      W* const other = p.rows + at[step] + numbers.below(static_cast<std::uint32_t>(j + 1)) * p.row_stride;
      const W value = *one;
      *one = *other;
      *other = value;
    }
  }
}

}  // namespace lpw::inline LPW_ABI::kernels
