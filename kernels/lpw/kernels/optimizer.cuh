// Optimizer steps: one launch and one pass over both flat stores, base [P0] and late-phase [K x P], which reads
// gradient, state and weight once, leaves the gradient zero, and can write the rounded weights that the next forward
// computes with. Where gradients are clipped, a launch before it forms the factor that shortens them; it stays in
// memory, and the step reads it there.
//
// Weights, gradients and state are float for every T: T is only the type of those rounded weights.
#pragma once

#include <cmath>

#include <lpw/kernels/elements.cuh>

namespace lpw::inline LPW_ABI::kernels {

/// A flat store and its step; arrays are contiguous and aligned to 16 bytes.
template <class T>
struct SgdStore {
  float *weight, *gradient, *velocity;  // (element)
  T* rounded;                           // (element): the new weights as T; null: not wanted
  std::int64_t size;
  float learning_rate, weight_decay, gradient_scale;
  const double* rate = nullptr;  // one number on the device in place of learning_rate, which may change from replay to
                                 // replay; null: that
  float decay_target = 0;        // what weight decay pulls weights to
};

template <class T>
struct SgdParameters {
  SgdStore<T> base, late;
  float momentum;
  bool nesterov;
  const float* gradient_factor;  // one number beside both gradient_scale; null: 1
};

template <class T>
struct AdamStore {
  float *weight, *gradient, *mean, *square;  // (element); mean and square are the running moments m and v
  T* rounded;                                // (element): the new weights as T; null: not wanted
  std::int64_t size;
  float learning_rate, weight_decay, gradient_scale;
  std::int32_t count;            // this step's number since the moments were zero, from 1 on
  const double* rate = nullptr;  // as for SGD
  float decay_target = 0;        // as for SGD
};

template <class T>
struct AdamParameters {
  AdamStore<T> base, late;
  float beta1, beta2, complement1, complement2;  // complement: 1 - beta, which float cannot form from beta without loss
  float log_beta1, log_beta2;  // the corrections 1 / (1 - beta^count) come from them: -infinity for a beta of 0
  const std::uint32_t* later;  // a number on the device to add to both counts; null: none
  float epsilon;
  bool decoupled;                // weight decay outside the moments: AdamW
  const float* gradient_factor;  // as for SGD
};

/// A flat store's gradient and what the step is going to multiply it by.
template <class W>
struct ScaledGradient {
  const W* gradient;  // (element), aligned to 16 bytes
  std::int64_t size;
  float scale;
};

template <class W>
struct ClipFactor {
  ScaledGradient<W> base, late;
  float max_norm;
  float* factor;       // one number: min(1, max_norm / (norm + 1e-6))
  double* partial;     // (chunk): workspace of clip_chunks(base.size) + clip_chunks(late.size)
  unsigned* arrivals;  // one word: zero at the start, zero again at the end
};

/// Elements whose squares one block adds up, and how many such chunks a store has. The cut does not depend on the grid,
/// so neither does the sum.
inline constexpr std::int64_t clip_chunk = 4 * 4 * element_threads;
[[nodiscard]] LPW_HOST_DEVICE constexpr std::int64_t clip_chunks(std::int64_t size) {
  return (size + clip_chunk - 1) / clip_chunk;
}

namespace detail {

/// Calls update(element, width as std::integral_constant) for all of [0, size): vectors of 4, then single elements.
template <int N>
struct Width {
  static constexpr int value = N;
};

template <class Update>
__device__ __forceinline__ void for_each_weight(std::int64_t size, Update update) {
  const std::int64_t vectors = size / 4;
  const Stride at = Stride::of(vectors);
  for (int step = 0; step < at.steps; ++step) update(at[step] * 4, Width<4>());
  const std::int64_t i = vectors * 4 + threadIdx.x;
  if (blockIdx.x == 0 && i < size) update(i, Width<1>());
}

[[nodiscard]] __device__ __forceinline__ float gradient_scale(float scale, const float* factor) {
  return factor ? scale * *factor : scale;
}

template <class Store>
[[nodiscard]] __device__ __forceinline__ float learning_rate(const Store& store) {
  return store.rate ? static_cast<float>(*store.rate) : store.learning_rate;
}

template <class T>
__device__ __forceinline__ void sgd_step(const SgdStore<T>& store, const SgdParameters<T>& p) {
  const float scale = gradient_scale(store.gradient_scale, p.gradient_factor), rate = learning_rate(store);
  for_each_weight(store.size, [&](std::int64_t at, auto width) {
    constexpr int N = decltype(width)::value;
    auto w = load_vector<N>(store.weight + at), v = load_vector<N>(store.velocity + at);
    const auto g = load_vector<N>(store.gradient + at);
    LPW_UNROLL
    for (int j = 0; j < N; ++j) {
      const float d = scale * g[j] + store.weight_decay * (w[j] - store.decay_target);
      v[j] = p.momentum * v[j] + d;
      w[j] -= rate * (p.nesterov ? d + p.momentum * v[j] : v[j]);
    }
    store_vector(store.weight + at, w);
    store_vector(store.velocity + at, v);
    store_vector(store.gradient + at, Vector<float, N>{});
    if (store.rounded) store_floats(store.rounded + at, w);
  });
}

/// 1 / (1 - beta^count), without loss where beta^count is near 1.
[[nodiscard]] __device__ __forceinline__ float moment_correction(float log_beta, float count) {
  return -1.f / expm1f(log_beta * count);
}

template <class T>
__device__ __forceinline__ void adam_step(const AdamStore<T>& store, const AdamParameters<T>& p) {
  const float scale = gradient_scale(store.gradient_scale, p.gradient_factor), rate = learning_rate(store);
  const auto count = static_cast<float>(store.count + static_cast<std::int32_t>(p.later ? *p.later : 0u));
  const float correction1 = moment_correction(p.log_beta1, count), correction2 = moment_correction(p.log_beta2, count);
  for_each_weight(store.size, [&](std::int64_t at, auto width) {
    constexpr int N = decltype(width)::value;
    auto w = load_vector<N>(store.weight + at), m = load_vector<N>(store.mean + at),
         v = load_vector<N>(store.square + at);
    const auto g = load_vector<N>(store.gradient + at);
    LPW_UNROLL
    for (int j = 0; j < N; ++j) {
      float d = scale * g[j];
      if (p.decoupled) {
        w[j] -= rate * store.weight_decay * (w[j] - store.decay_target);
      } else {
        d += store.weight_decay * (w[j] - store.decay_target);
      }
      m[j] = p.beta1 * m[j] + p.complement1 * d;
      v[j] = p.beta2 * v[j] + p.complement2 * d * d;
      w[j] -= rate * (m[j] * correction1) / (sqrtf(v[j] * correction2) + p.epsilon);
    }
    store_vector(store.weight + at, w);
    store_vector(store.mean + at, m);
    store_vector(store.square + at, v);
    store_vector(store.gradient + at, Vector<float, N>{});
    if (store.rounded) store_floats(store.rounded + at, w);
  });
}

/// The sum of the squares of `count` elements, the same in every thread.
template <class W>
[[nodiscard]] __device__ __forceinline__ double sum_of_squares(const W* gradient, int count, double* scratch) {
  const int vectors = count / 4, thread = static_cast<int>(threadIdx.x);
  double sum = 0;
  sweep<4>(
      thread < vectors ? (vectors - thread + element_threads - 1) / element_threads : 0,
      [&](int step) { return load_vector<4>(gradient + 4 * (thread + step * element_threads)); },
      [&](int, const Vector<W, 4>& g) {
        LPW_UNROLL
        for (int j = 0; j < 4; ++j) sum += double(g[j]) * double(g[j]);
      });
  if (vectors * 4 + thread < count) {
    const double g = gradient[vectors * 4 + thread];
    sum += g * g;
  }
  return block_sum(sum, scratch);
}

/// The sum of what the blocks left for the chunks [first, last).
[[nodiscard]] __device__ __forceinline__ double sum_of_chunks(const double* partial, std::int64_t first,
                                                              std::int64_t last, double* scratch) {
  double sum = 0;
  for (std::int64_t i = first + threadIdx.x; i < last; i += element_threads) sum += load_fresh(partial + i);
  return block_sum(sum, scratch);
}

}  // namespace detail

/// The factor by which clipping shortens the gradients of both stores: their norm together, in double. The last block
/// to arrive adds up the chunks in fixed order. Launched with element_threads threads. Shared memory: element_threads /
/// 32 doubles and one word.
template <class W>
__global__ void __launch_bounds__(element_threads, element_blocks) clip_factor(const ClipFactor<W> p) {
  SharedMemory memory;
  double* scratch = memory.take<double>(warp_count());
  unsigned* flag = memory.take<unsigned>(1);
  const std::int64_t base_chunks = clip_chunks(p.base.size), chunks = base_chunks + clip_chunks(p.late.size);
  for (std::int64_t chunk = blockIdx.x; chunk < chunks; chunk += gridDim.x) {
    const bool base = chunk < base_chunks;
    const std::int64_t first = (base ? chunk : chunk - base_chunks) * clip_chunk,
                       left = (base ? p.base.size : p.late.size) - first;
    const W* gradient = (base ? p.base.gradient : p.late.gradient) + first;
    const double square =
        detail::sum_of_squares(gradient, static_cast<int>(left < clip_chunk ? left : clip_chunk), scratch);
    if (threadIdx.x == 0) store_fresh(p.partial + chunk, square);
  }
  if (!arrives_last(p.arrivals, gridDim.x, flag)) return;
  const double base = detail::sum_of_chunks(p.partial, 0, base_chunks, scratch);
  const double late = detail::sum_of_chunks(p.partial, base_chunks, chunks, scratch);
  const double norm = std::sqrt(double(p.base.scale) * double(p.base.scale) * base +
                                double(p.late.scale) * double(p.late.scale) * late);
  const double factor = double(p.max_norm) / (norm + 1e-6);
  if (threadIdx.x == 0) *p.factor = factor > 1 ? 1.f : static_cast<float>(factor);  // NaN stays NaN
}

/// g = gradient_scale gradient_factor gradient + weight_decay (w - decay_target); v = momentum v + g; w -=
/// learning_rate (nesterov ? g + momentum v : v); gradient = 0.
template <class T>
__global__ void __launch_bounds__(element_threads, element_blocks) sgd_step(const SgdParameters<T> p) {
  detail::sgd_step(p.base, p);
  detail::sgd_step(p.late, p);
}

/// Kingma and Ba 2015; decoupled: Loshchilov and Hutter 2019. With g = gradient_scale gradient_factor gradient (+
/// weight_decay (w - decay_target) unless decoupled): m = beta1 m + (1 - beta1) g; v = beta2 v + (1 - beta2) g^2; w -=
/// learning_rate m^ / (sqrt(v^) + epsilon), where m^ and v^ are m and v times their corrections; if decoupled, w -=
/// learning_rate weight_decay (w - decay_target) was first; gradient = 0.
template <class T>
__global__ void __launch_bounds__(element_threads, element_blocks) adam_step(const AdamParameters<T> p) {
  detail::adam_step(p.base, p);
  detail::adam_step(p.late, p);
}

}  // namespace lpw::inline LPW_ABI::kernels
