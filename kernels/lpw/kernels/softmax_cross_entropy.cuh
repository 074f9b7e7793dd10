// Softmax cross-entropy with label smoothing. One read of the logits gives every member's mean loss and, as wanted, the
// probabilities and the gradient: a team of threads, a warp or for many classes the block, holds a row's exponentials
// in shared memory between the steps. What does not fit there is read again. Rows leave their losses, and the last
// block adds them up in fixed order.
#pragma once

#include <cmath>
#include <limits>

#include <lpw/kernels/elements.cuh>

namespace lpw::inline LPW_ABI::kernels {

/// How rows are shared out: by plan_softmax.
struct SoftmaxTiling {
  int members, batch, classes;
  int resident;        // classes of a row kept in shared memory: a multiple of the vector
  bool block_per_row;  // else a warp

  [[nodiscard]] LPW_HOST_DEVICE constexpr int team() const { return block_per_row ? element_threads : 32; }
  [[nodiscard]] LPW_HOST_DEVICE constexpr int teams() const { return element_threads / team(); }
  [[nodiscard]] LPW_HOST_DEVICE constexpr std::int64_t rows() const {
    return static_cast<std::int64_t>(members) * batch;
  }
};

/// t_c = peak [c = label] + floor: peak is 1 - smoothing, floor is smoothing / classes.
struct SmoothedTarget {
  float peak, floor;
};

template <class T>
struct SoftmaxCrossEntropy {
  const T* logits;             // (member, sample, class)
  const std::int32_t* labels;  // (member, sample)
  float* loss;                 // (member): the mean over the minibatch
  float* probabilities;        // (member, sample, class); null: not wanted
  T* dlogits;  // (member, sample, class): the gradient of the sum of all members' losses; null: not wanted
  SmoothedTarget target;
  float* row_loss;     // (member, sample): workspace
  unsigned* arrivals;  // one word: zero at the start, zero again at the end
  int* bad_label;  // one word, zero at the start; then 1 + the last row (member, sample) whose label is no class, if
                   // any; null: not wanted
  SoftmaxTiling tiling;
};

namespace detail {

template <class Combine>
[[nodiscard]] __device__ __forceinline__ float team_reduce(float value, Combine combine, bool block_per_row,
                                                           float* scratch) {
  return block_per_row ? block_reduce(value, combine, scratch) : warp_reduce(value, combine);
}

/// This thread's vectors of a row: rank, rank + team, ...
template <int N>
struct TeamPlace {
  int rank, team, steps;

  __device__ __forceinline__ explicit TeamPlace(const SoftmaxTiling& tiling)
      : rank(static_cast<int>(threadIdx.x) % tiling.team()),
        team(tiling.team()),
        steps((tiling.classes / N - rank + team - 1) / team) {}
  [[nodiscard]] __device__ __forceinline__ int operator[](int step) const { return (rank + step * team) * N; }
};

/// (p - t) share for N classes from `first` on; `label` is none of them if it is no class.
template <int N>
[[nodiscard]] __device__ __forceinline__ Vector<float, N> logit_gradient(const Vector<float, N>& p, int first,
                                                                         int label, const SmoothedTarget& target,
                                                                         float share) {
  Vector<float, N> result;
  LPW_UNROLL
  for (int j = 0; j < N; ++j) result[j] = (p[j] - (target.floor + (first + j == label ? target.peak : 0.f))) * share;
  return result;
}

/// The largest logit of a row, whose first classes are in `kept` afterwards.
template <int N, class T>
[[nodiscard]] __device__ __forceinline__ float largest_logit(const T* logits, float* kept, const TeamPlace<N>& place,
                                                             const SoftmaxTiling& tiling, float* scratch) {
  float largest = -std::numeric_limits<float>::infinity();
  sweep<4>(
      place.steps, [&](int step) { return load_vector<N>(logits + place[step]); },
      [&](int step, const Vector<T, N>& row) {
        Vector<float, N> wide;
        LPW_UNROLL
        for (int j = 0; j < N; ++j) largest = Maximum()(largest, wide[j] = float(row[j]));
        if (place[step] < tiling.resident) store_floats(kept + place[step], wide);
      });
  return team_reduce(largest, Maximum(), tiling.block_per_row, scratch);
}

/// One row: its loss, returned to every thread, and its probabilities and gradient.
template <int N, class T>
[[nodiscard]] __device__ __forceinline__ float softmax_row(const SoftmaxCrossEntropy<T>& p, std::int64_t row,
                                                           float* kept, float* scratch) {
  const SoftmaxTiling& tiling = p.tiling;
  const TeamPlace<N> place(tiling);
  const T* logits = p.logits + row * tiling.classes;
  const float largest = largest_logit<N>(logits, kept, place, tiling, scratch);

  float total = 0, shifted = 0;
  for (int step = 0; step < place.steps; ++step) {
    const bool resident = place[step] < tiling.resident;
    auto value = resident ? load_floats<N>(kept + place[step]) : load_floats<N>(logits + place[step]);
    LPW_UNROLL
    for (int j = 0; j < N; ++j) {
      shifted += value[j] - largest;
      total += value[j] = expf(value[j] - largest);
    }
    if (resident) store_floats(kept + place[step], value);
  }
  total = team_reduce(total, Sum(), tiling.block_per_row, scratch);
  shifted = team_reduce(shifted, Sum(), tiling.block_per_row, scratch);

  const int label = p.labels[row];
  const bool known = label >= 0 && label < tiling.classes;
  if (p.probabilities || p.dlogits) {
    const float inverse = 1.f / total, share = 1.f / static_cast<float>(tiling.batch);
    for (int step = 0; step < place.steps; ++step) {
      const bool resident = place[step] < tiling.resident;
      auto value = resident ? load_floats<N>(kept + place[step]) : load_floats<N>(logits + place[step]);
      LPW_UNROLL
      for (int j = 0; j < N; ++j) value[j] = (resident ? value[j] : expf(value[j] - largest)) * inverse;
      const std::int64_t at = row * tiling.classes + place[step];
      if (p.probabilities) store_floats(p.probabilities + at, value);
      if (p.dlogits) store_floats(p.dlogits + at, logit_gradient<N>(value, place[step], label, p.target, share));
    }
  }
  if (!known && p.bad_label && place.rank == 0) atomicMax(p.bad_label, static_cast<int>(row) + 1);
  const float at_label = known ? float(logits[label]) - largest : std::numeric_limits<float>::quiet_NaN();
  // Without smoothing a class of logit -infinity must not turn 0 times infinity into NaN.
  return logf(total) - p.target.peak * at_label - (p.target.floor > 0.f ? p.target.floor * shifted : 0.f);
}

/// loss_k = the mean of member k's row losses.
template <class T>
__device__ __forceinline__ void mean_losses(const SoftmaxCrossEntropy<T>& p) {
  for (int member = warp_index(); member < p.tiling.members; member += warp_count()) {
    const float* losses = p.row_loss + static_cast<std::int64_t>(member) * p.tiling.batch;
    float sum = 0;
    for (int i = lane_index(); i < p.tiling.batch; i += 32) sum += load_fresh(losses + i);
    sum = warp_sum(sum);
    if (lane_index() == 0) p.loss[member] = sum / static_cast<float>(p.tiling.batch);
  }
}

}  // namespace detail

/// loss_k = mean_b -sum_c t_c log softmax(logits)_c; a label that is no class makes its member's loss NaN and can be
/// reported. N is widest<T>, or 1 if the number of classes is not a multiple of that or an address not aligned to 16
/// bytes. Shared memory: teams() resident + element_threads / 32 floats and one word.
template <class T, int N>
__global__ void __launch_bounds__(element_threads, element_blocks)
    softmax_cross_entropy(const SoftmaxCrossEntropy<T> p) {
  SharedMemory memory;
  float* kept = memory.take<float>(p.tiling.teams() * p.tiling.resident);
  float* scratch = memory.take<float>(warp_count());
  unsigned* flag = memory.take<unsigned>(1);
  const int team = static_cast<int>(threadIdx.x) / p.tiling.team();
  kept += team * p.tiling.resident;
  const std::int64_t stride = static_cast<std::int64_t>(gridDim.x) * p.tiling.teams();
  for (std::int64_t row = static_cast<std::int64_t>(blockIdx.x) * p.tiling.teams() + team; row < p.tiling.rows();
       row += stride) {
    const float loss = detail::softmax_row<N>(p, row, kept, scratch);
    if (static_cast<int>(threadIdx.x) % p.tiling.team() == 0) store_fresh(p.row_loss + row, loss);
  }
  if (arrives_last(p.arrivals, gridDim.x, flag)) detail::mean_losses(p);
}

template <class T>
struct SoftmaxCrossEntropyBackward {
  const float* probabilities;  // (member, sample, class)
  const std::int32_t* labels;  // (member, sample)
  const float* dloss;          // (member)
  T* dlogits;                  // (member, sample, class)
  SmoothedTarget target;
  bool accumulate;  // add to dlogits
  SoftmaxTiling tiling;
};

/// dlogits = dloss_k (softmax - t) / B, from probabilities that were kept. N as above; no shared memory.
template <class T, int N>
__global__ void __launch_bounds__(element_threads, element_blocks)
    softmax_cross_entropy_backward(const SoftmaxCrossEntropyBackward<T> p) {
  const detail::TeamPlace<N> place(p.tiling);
  const int team = static_cast<int>(threadIdx.x) / p.tiling.team();
  const std::int64_t stride = static_cast<std::int64_t>(gridDim.x) * p.tiling.teams();
  for (std::int64_t row = static_cast<std::int64_t>(blockIdx.x) * p.tiling.teams() + team; row < p.tiling.rows();
       row += stride) {
    const int label = p.labels[row];
    const float share = p.dloss[row / p.tiling.batch] / static_cast<float>(p.tiling.batch);
    for (int step = 0; step < place.steps; ++step) {
      const std::int64_t at = row * p.tiling.classes + place[step];
      auto gradient =
          detail::logit_gradient<N>(load_floats<N>(p.probabilities + at), place[step], label, p.target, share);
      if (p.accumulate) {
        const auto before = load_floats<N>(p.dlogits + at);
        LPW_UNROLL
        for (int j = 0; j < N; ++j) gradient[j] += before[j];
      }
      store_floats(p.dlogits + at, gradient);
    }
  }
}

template <class T>
struct CountCorrect {
  const T* logits;             // (row, class)
  const std::int32_t* labels;  // (row)
  std::int32_t* correct;       // one word, zero at the start
  std::int64_t rows;
  int classes;
};

namespace detail {

/// The class of a row's largest logit, the first of equals, to every lane of the warp. Like std::max_element it passes
/// over NaN, except in the first class, which then is the largest.
template <class T>
[[nodiscard]] __device__ __forceinline__ int first_largest(const T* logits, int classes) {
  float largest = -std::numeric_limits<float>::infinity();
  int at = classes;
  const auto take = [&](float value, int c) {
    if (value > largest || (value == largest && c < at)) {
      largest = value;
      at = c;
    }
  };
  for (int c = lane_index(); c < classes; c += 32) take(float(logits[c]), c);
  LPW_UNROLL
  for (int mask = 16; mask > 0; mask /= 2) {
    const float other = shuffle_xor(largest, mask);
    take(other, shuffle_xor(at, mask));
  }
  const float first = float(logits[0]);
  return first != first ? 0 : at;
}

}  // namespace detail

/// correct += the rows whose largest logit, the first of equals, is their label's. A warp for each row.
template <class T>
__global__ void __launch_bounds__(element_threads, element_blocks) count_correct(const CountCorrect<T> p) {
  const std::int64_t stride = static_cast<std::int64_t>(gridDim.x) * warp_count();
  int count = 0;
  for (std::int64_t row = static_cast<std::int64_t>(blockIdx.x) * warp_count() + warp_index(); row < p.rows;
       row += stride)
    count += detail::first_largest(p.logits + row * p.classes, p.classes) == p.labels[row];
  if (lane_index() == 0 && count > 0) atomicAdd(p.correct, count);
}

}  // namespace lpw::inline LPW_ABI::kernels
