// The ascent of sharpness-aware minimisation over a flat store: a launch that forms each row's factor from the norms of
// the gradients, which stay on the GPU, and one for each store that keeps the weights and moves them.
#pragma once

#include <cmath>

#include <lpw/kernels/optimizer.cuh>

namespace lpw::inline LPW_ABI::kernels {

/// A store whose norms are wanted: contiguous rows, the first aligned to 16 bytes.
struct AscentRows {
  const float* weight;    // (row, element), read where T is adaptive
  const float* gradient;  // (row, element)
  std::int64_t rows, length;
};

struct AscentScale {
  AscentRows base, late;  // base: one row, or none
  float rho, eta;
  bool adaptive;
  bool norms;          // these are wanted in place of factors
  float* scale;        // (1 + late.rows): of the base weights, and of each late-phase row
  double* partial;     // (chunk): workspace of ascent_chunks(base) + ascent_chunks(late)
  unsigned* arrivals;  // one word: zero at the start, zero again at the end
};

struct Ascend {
  float *weight, *gradient, *kept;  // (row, element), contiguous
  const float* scale;               // (row)
  std::int64_t rows, length;
  float eta;
  bool adaptive;
};

/// Chunks of clip_chunk elements that a store's rows are cut into, each row by itself.
[[nodiscard]] LPW_HOST_DEVICE constexpr std::int64_t ascent_chunks(const AscentRows& store) {
  return store.rows * clip_chunks(store.length);
}

namespace detail {

/// T.
[[nodiscard]] __device__ __forceinline__ float ascent_metric(bool adaptive, float weight, float eta) {
  return adaptive ? fabsf(weight) + eta : 1.f;
}

/// |T g|^2 of `count` elements, the same in every thread.
template <int N>
[[nodiscard]] __device__ __forceinline__ double metric_square(const float* weight, const float* gradient, int count,
                                                              const AscentScale& p, double* scratch) {
  const int vectors = count / N, thread = static_cast<int>(threadIdx.x);
  double sum = 0;
  const auto add = [&](float w, float g) {
    const double scaled = double(ascent_metric(p.adaptive, w, p.eta)) * double(g);
    sum += scaled * scaled;
  };
  sweep<2>(
      thread < vectors ? (vectors - thread + element_threads - 1) / element_threads : 0,
      [&](int step) {
        const int i = N * (thread + step * element_threads);
        Loaded<float, N, 2> loaded = {};
        if (p.adaptive) loaded.of[0] = load_vector<N>(weight + i);
        loaded.of[1] = load_vector<N>(gradient + i);
        return loaded;
      },
      [&](int, const Loaded<float, N, 2>& loaded) {
        LPW_UNROLL
        for (int j = 0; j < N; ++j) add(loaded.of[0][j], loaded.of[1][j]);
      });
  const int last = vectors * N + thread;
  if (N > 1 && last < count) add(weight[last], gradient[last]);
  return block_sum(sum, scratch);
}

/// rho over a norm; 0 where the norm is 0, or so small that a float cannot hold it. NaN stays NaN.
[[nodiscard]] __device__ __forceinline__ float ascent_factor(double rho, double norm) {
  constexpr double largest = 0x1.fffffep127;  // of floats
  const double factor = rho / norm;
  return norm == 0 || factor > largest ? 0.f : static_cast<float>(factor);
}

}  // namespace detail

/// The factors of primitives/ascent.hpp, or its norms; a row of zeros has the factor 0. The last block to arrive adds
/// up the chunks in fixed order. N is 4, or 1 if late-phase rows are not whole vectors of 4. Launched with
/// element_threads threads. Shared memory: element_threads / 32 doubles and one word.
template <int N>
__global__ void __launch_bounds__(element_threads, element_blocks) ascent_scale(const AscentScale p) {
  SharedMemory memory;
  double* scratch = memory.take<double>(warp_count());
  unsigned* flag = memory.take<unsigned>(1);
  const std::int64_t base_chunks = ascent_chunks(p.base), late_chunks = clip_chunks(p.late.length),
                     chunks = base_chunks + ascent_chunks(p.late);
  for (std::int64_t chunk = blockIdx.x; chunk < chunks; chunk += gridDim.x) {
    const bool base = chunk < base_chunks;
    const std::int64_t row = base ? 0 : (chunk - base_chunks) / late_chunks,
                       first = (base ? chunk : chunk - base_chunks - row * late_chunks) * clip_chunk,
                       left = (base ? p.base.length : p.late.length) - first, at = row * p.late.length + first;
    const int count = static_cast<int>(left < clip_chunk ? left : clip_chunk);
    const double square = base ? detail::metric_square<4>(p.base.weight + at, p.base.gradient + at, count, p, scratch)
                               : detail::metric_square<N>(p.late.weight + at, p.late.gradient + at, count, p, scratch);
    if (threadIdx.x == 0) store_fresh(p.partial + chunk, square);
  }
  if (!arrives_last(p.arrivals, gridDim.x, flag)) return;
  const double base_square = detail::sum_of_chunks(p.partial, 0, base_chunks, scratch);
  double sum = 0;
  for (std::int64_t row = 0; row < p.late.rows; ++row) {
    const std::int64_t first = base_chunks + row * late_chunks;
    const double own = std::sqrt(detail::sum_of_chunks(p.partial, first, first + late_chunks, scratch));
    sum += own;
    if (threadIdx.x == 0) p.scale[1 + row] = static_cast<float>(own);
  }
  if (threadIdx.x != 0) return;
  if (p.norms) {
    p.scale[0] = static_cast<float>(std::sqrt(base_square));
    return;
  }
  const double norm = std::sqrt(base_square + sum * sum);
  p.scale[0] = detail::ascent_factor(double(p.rho), norm);
  for (std::int64_t row = 0; row < p.late.rows; ++row) {
    const double own = p.scale[1 + row];
    p.scale[1 + row] = detail::ascent_factor(double(p.rho) * (sum / norm), own);
  }
}

/// kept = weight; weight += scale T^2 gradient; gradient = 0. N is 4, or 1 if an address is not aligned to 16 bytes or
/// there are several rows that are not whole vectors.
template <int N>
__global__ void __launch_bounds__(element_threads, element_blocks) ascend_weights(const Ascend p) {
  const std::int64_t vectors = p.length / N;
  const Stride at = Stride::of(vectors);
  for (std::int64_t row = blockIdx.y; row < p.rows; row += gridDim.y) {
    const float scale = p.scale[row];
    const auto move = [&](std::int64_t i, auto width) {
      constexpr int n = decltype(width)::value;
      i += row * p.length;
      auto w = load_vector<n>(p.weight + i);
      const auto g = load_vector<n>(p.gradient + i);
      store_vector(p.kept + i, w);
      LPW_UNROLL
      for (int j = 0; j < n; ++j) {
        const float t = detail::ascent_metric(p.adaptive, w[j], p.eta);
        w[j] += scale * (t * t * g[j]);
      }
      store_vector(p.weight + i, w);
      store_vector(p.gradient + i, Vector<float, n>{});
    };
    for (int step = 0; step < at.steps; ++step) move(at[step] * N, detail::Width<N>());
    const std::int64_t last = vectors * N + threadIdx.x;
    if (N > 1 && blockIdx.x == 0 && last < p.length) move(last, detail::Width<1>());
  }
}

}  // namespace lpw::inline LPW_ABI::kernels
