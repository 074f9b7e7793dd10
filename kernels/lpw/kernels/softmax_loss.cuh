// Cross-entropy of each sample with any targets: primitives/softmax_loss.hpp has the formulas. A team of threads takes
// a row, as in softmax cross-entropy; a row is read three times, of which the caches serve the last two, and backward
// takes the exponentials again, so that no probabilities are kept.
#pragma once

#include <lpw/kernels/elementwise_loss.cuh>

namespace lpw::inline LPW_ABI::kernels {

/// Labels, or probabilities where they are not null.
template <class T>
struct SoftmaxTargets {
  const std::int32_t* labels;  // (member, sample)
  const T* probabilities;      // (member, sample, class)
  const float* class_weights;  // (class); null: ones
  float peak, floor;           // 1 - smoothing, smoothing / classes
  bool ignores;                // samples of the label `ignored` are left out
  std::int32_t ignored;
};

template <class T>
struct SoftmaxLoss {
  const T* logits;  // (member, sample, class)
  SoftmaxTargets<T> targets;
  float *losses, *weights;  // (member, sample); weights null: not wanted
  float* statistics;        // (member, sample, 3): the largest logit, 1 / sum exp(logit - largest), the targets' sum
  SoftmaxTiling tiling;
};

template <class T>
struct SoftmaxLossBackward {
  const T* logits;  // (member, sample, class)
  SoftmaxTargets<T> targets;
  const float *statistics, *dlosses;  // forward's; (member, sample)
  T* dlogits;                         // (member, sample, class)
  bool accumulate;                    // add to dlogits
  SoftmaxTiling tiling;
};

namespace detail {

/// The largest of a row of T, to every thread of its team.
template <int N, class T>
[[nodiscard]] __device__ __forceinline__ float largest_of_row(const T* row, const TeamPlace<N>& place,
                                                              bool block_per_row, float* scratch) {
  float largest = -std::numeric_limits<float>::infinity();
  sweep<4>(
      place.steps, [&](int step) { return load_vector<N>(row + place[step]); },
      [&](int, const Vector<T, N>& in) {
        LPW_UNROLL
        for (int j = 0; j < N; ++j) largest = Maximum()(largest, float(in[j]));
      });
  return team_reduce(largest, Maximum(), block_per_row, scratch);
}

/// The targets of one row, times class weights.
template <int N, class T>
struct TargetRow {
  const SoftmaxTargets<T>& targets;
  const T* probabilities;
  int label;
  bool ignored;

  __device__ __forceinline__ TargetRow(const SoftmaxTargets<T>& of, std::int64_t row, int classes)
      : targets(of),
        probabilities(of.probabilities ? of.probabilities + row * classes : nullptr),
        label(of.probabilities ? -1 : of.labels[row]),
        ignored(!of.probabilities && of.ignores && label == of.ignored) {}

  /// Of N classes from `first` on.
  [[nodiscard]] __device__ __forceinline__ Vector<float, N> operator[](int first) const {
    Vector<float, N> result = {};
    if (probabilities) result = load_floats<N>(probabilities + first);
    LPW_UNROLL
    for (int j = 0; j < N; ++j) {
      if (!probabilities && first + j == label) result[j] = 1.f;
      result[j] = fmaf(targets.peak, result[j], targets.floor);
    }
    if (!targets.class_weights) return result;
    const auto weights = load_floats<N>(targets.class_weights + first);
    LPW_UNROLL
    for (int j = 0; j < N; ++j) result[j] *= weights[j];
    return result;
  }
  /// What the row weighs in its member's mean.
  [[nodiscard]] __device__ __forceinline__ float weight(bool known) const {
    if (ignored) return 0.f;
    return targets.class_weights && known ? targets.class_weights[label] : 1.f;
  }
};

}  // namespace detail

/// The losses and what backward needs. A label that is no class makes its sample's loss NaN. N is widest<T>, or 1 if
/// the number of classes is not a multiple of that or an address not aligned to 16 bytes. Shared memory:
/// element_threads / 32 floats.
template <class T, int N>
__global__ void __launch_bounds__(element_threads, element_blocks) softmax_loss(const SoftmaxLoss<T> p) {
  SharedMemory memory;
  float* scratch = memory.take<float>(warp_count());
  const SoftmaxTiling& tiling = p.tiling;
  const detail::TeamPlace<N> place(tiling);
  detail::for_each_row(tiling, [&](std::int64_t row) {
    const T* logits = p.logits + row * tiling.classes;
    const detail::TargetRow<N, T> target(p.targets, row, tiling.classes);
    const float largest = detail::largest_of_row<N>(logits, place, tiling.block_per_row, scratch);
    float total = 0, mass = 0, sum = 0;
    for (int step = 0; step < place.steps; ++step) {
      const auto value = load_floats<N>(logits + place[step]), a = target[place[step]];
      LPW_UNROLL
      for (int j = 0; j < N; ++j) {
        total += expf(value[j] - largest);
        mass += a[j];
        sum += a[j] != 0.f ? a[j] * (value[j] - largest) : 0.f;  // 0 times -infinity would be NaN
      }
    }
    total = detail::team_reduce(total, Sum(), tiling.block_per_row, scratch);
    mass = detail::team_reduce(mass, Sum(), tiling.block_per_row, scratch);
    sum = detail::team_reduce(sum, Sum(), tiling.block_per_row, scratch);
    if (place.rank != 0) return;
    const bool known = p.targets.probabilities || (target.label >= 0 && target.label < tiling.classes);
    const float loss = known ? fmaf(mass, logf(total), -sum) : std::numeric_limits<float>::quiet_NaN();
    p.losses[row] = target.ignored ? 0.f : loss;
    if (p.weights) p.weights[row] = target.weight(known);
    p.statistics[3 * row] = largest;
    p.statistics[3 * row + 1] = 1.f / total;
    p.statistics[3 * row + 2] = mass;
  });
}

/// dlogits = dlosses (mass softmax - target), 0 where dlosses is. N as above; no shared memory.
template <class T, int N>
__global__ void __launch_bounds__(element_threads, element_blocks)
    softmax_loss_backward(const SoftmaxLossBackward<T> p) {
  const detail::TeamPlace<N> place(p.tiling);
  detail::for_each_row(p.tiling, [&](std::int64_t row) {
    const detail::TargetRow<N, T> target(p.targets, row, p.tiling.classes);
    const float largest = p.statistics[3 * row], factor = p.statistics[3 * row + 1] * p.statistics[3 * row + 2];
    const float share = target.ignored ? 0.f : p.dlosses[row];
    for (int step = 0; step < place.steps; ++step) {
      const std::int64_t at = row * p.tiling.classes + place[step];
      const auto value = load_floats<N>(p.logits + at), a = target[place[step]];
      Vector<float, N> dlogits = {};
      if (p.accumulate) dlogits = load_floats<N>(p.dlogits + at);
      LPW_UNROLL
      for (int j = 0; j < N; ++j)
        if (share != 0.f) dlogits[j] += share * fmaf(expf(value[j] - largest), factor, -a[j]);
      store_floats(p.dlogits + at, dlogits);
    }
  });
}

}  // namespace lpw::inline LPW_ABI::kernels
