// Losses that are a sum over a sample's elements, forward and backward: a team of threads, a warp or for many elements
// the block, takes a sample, as in softmax cross-entropy. primitives/elementwise_loss.hpp has the formulas.
#pragma once

#include <lpw/kernels/softmax_cross_entropy.cuh>

namespace lpw::inline LPW_ABI::kernels {

/// As the primitive's.
enum class ElementLoss { squared, absolute, logistic };

template <class T>
struct ElementwiseLoss {
  const T *x, *target;           // (member, sample, element)
  const float* positive_weight;  // (column), with columns that divide a sample's elements; null: ones
  int columns;
  ElementLoss kind;
  float* losses;  // (member, sample)
  SoftmaxTiling tiling;
};

template <class T>
struct ElementwiseLossBackward {
  const T *x, *target;           // (member, sample, element)
  const float* positive_weight;  // as forward's
  int columns;
  ElementLoss kind;
  const float* dlosses;  // (member, sample)
  T* dx;                 // (member, sample, element)
  bool accumulate;       // add to dx
  SoftmaxTiling tiling;
};

namespace detail {

/// Calls body(row) for this thread's team's rows.
template <class Body>
__device__ __forceinline__ void for_each_row(const SoftmaxTiling& tiling, Body body) {
  const std::int64_t stride = static_cast<std::int64_t>(gridDim.x) * tiling.teams();
  for (std::int64_t row =
           static_cast<std::int64_t>(blockIdx.x) * tiling.teams() + static_cast<int>(threadIdx.x) / tiling.team();
       row < tiling.rows(); row += stride)
    body(row);
}

[[nodiscard]] __device__ __forceinline__ float element_loss(ElementLoss kind, float x, float target, float positive) {
  const float difference = x - target;
  if (kind != ElementLoss::logistic) return kind == ElementLoss::squared ? difference * difference : fabsf(difference);
  const float rest = log1pf(expf(-fabsf(x)));
  return (1.f - target) * (fmaxf(x, 0.f) + rest) + positive * target * (fmaxf(-x, 0.f) + rest);
}

[[nodiscard]] __device__ __forceinline__ float element_loss_derivative(ElementLoss kind, float x, float target,
                                                                       float positive) {
  const float difference = x - target;
  if (kind != ElementLoss::logistic) {
    const float sign = difference > 0.f ? 1.f : difference < 0.f ? -1.f : 0.f * difference;  // NaN stays NaN
    return kind == ElementLoss::squared ? 2.f * difference : sign;
  }
  const float small = expf(-fabsf(x)), less = small / (1.f + small), more = 1.f / (1.f + small);
  const float up = x < 0.f ? less : more, down = x < 0.f ? more : less;  // sigmoid(x), sigmoid(-x)
  return (1.f - target) * up - positive * target * down;
}

/// The positive weights of N elements from `first` on.
template <int N>
[[nodiscard]] __device__ __forceinline__ Vector<float, N> positive_weights(const float* weight, int columns,
                                                                           int first) {
  Vector<float, N> result;
  LPW_UNROLL
  for (int j = 0; j < N; ++j) result[j] = 1.f;
  if (!weight) return result;
  int column = first % columns;
  LPW_UNROLL
  for (int j = 0; j < N; ++j) {
    result[j] = weight[column];
    if (++column == columns) column = 0;
  }
  return result;
}

/// N elements of two arrays.
template <class T, int N>
struct ElementPair {
  Vector<T, N> x, target;
};

}  // namespace detail

/// losses = the mean over a sample's elements. N is widest<T>, or 1 if the number of elements is not a multiple of that
/// or an address not aligned to 16 bytes. Shared memory: element_threads / 32 floats.
template <class T, int N>
__global__ void __launch_bounds__(element_threads, element_blocks) elementwise_loss(const ElementwiseLoss<T> p) {
  SharedMemory memory;
  float* scratch = memory.take<float>(warp_count());
  const detail::TeamPlace<N> place(p.tiling);
  detail::for_each_row(p.tiling, [&](std::int64_t row) {
    const std::int64_t first = row * p.tiling.classes;
    float sum = 0;
    sweep<2>(
        place.steps,
        [&](int step) {
          return detail::ElementPair<T, N>{load_vector<N>(p.x + first + place[step]),
                                           load_vector<N>(p.target + first + place[step])};
        },
        [&](int step, const detail::ElementPair<T, N>& in) {
          const auto positive = detail::positive_weights<N>(p.positive_weight, p.columns, place[step]);
          LPW_UNROLL
          for (int j = 0; j < N; ++j)
            sum += detail::element_loss(p.kind, float(in.x[j]), float(in.target[j]), positive[j]);
        });
    sum = detail::team_reduce(sum, Sum(), p.tiling.block_per_row, scratch);
    if (place.rank == 0) p.losses[row] = sum / static_cast<float>(p.tiling.classes);
  });
}

/// dx = dlosses / elements times the derivative, 0 where dlosses is. N as above; no shared memory.
template <class T, int N>
__global__ void __launch_bounds__(element_threads, element_blocks)
    elementwise_loss_backward(const ElementwiseLossBackward<T> p) {
  const detail::TeamPlace<N> place(p.tiling);
  detail::for_each_row(p.tiling, [&](std::int64_t row) {
    const std::int64_t first = row * p.tiling.classes;
    const float share = p.dlosses[row] / static_cast<float>(p.tiling.classes);
    for (int step = 0; step < place.steps; ++step) {
      const std::int64_t at = first + place[step];
      const auto x = load_floats<N>(p.x + at), target = load_floats<N>(p.target + at);
      const auto positive = detail::positive_weights<N>(p.positive_weight, p.columns, place[step]);
      Vector<float, N> dx = {};
      if (p.accumulate) dx = load_floats<N>(p.dx + at);
      LPW_UNROLL
      for (int j = 0; j < N; ++j)
        if (share != 0.f) dx[j] += share * detail::element_loss_derivative(p.kind, x[j], target[j], positive[j]);
      store_floats(p.dx + at, dx);
    }
  });
}

}  // namespace lpw::inline LPW_ABI::kernels
