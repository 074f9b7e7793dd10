// Optimizer steps: one launch and one pass over both flat stores, base [P0] and late-phase [K x P], which reads gradient, state and weight
// once, leaves the gradient zero, and can write the rounded weights that the next forward computes with.
//
// Weights, gradients and state are float for every T: T is only the type of those rounded weights.
#pragma once

#include <cmath>

#include <lpw/kernels/elements.cuh>

namespace lpw::kernels {

/// A flat store and its step; arrays are contiguous and aligned to 16 bytes.
template <class T>
struct SgdStore {
  float *weight, *gradient, *velocity;  // (element)
  T* rounded;                           // (element): the new weights as T; null: not wanted
  std::int64_t size;
  float learning_rate, weight_decay, gradient_scale;
};

template <class T>
struct SgdParameters {
  SgdStore<T> base, late;
  float momentum;
  bool nesterov;
};

template <class T>
struct AdamStore {
  float *weight, *gradient, *mean, *square;  // (element); mean and square are the running moments m and v
  T* rounded;                                // (element): the new weights as T; null: not wanted
  std::int64_t size;
  float learning_rate, weight_decay, gradient_scale;
};

template <class T>
struct AdamParameters {
  AdamStore<T> base, late;
  float beta1, beta2, complement1, complement2;  // complement: 1 - beta, which float cannot form from beta without loss
  float correction1, correction2;                // 1 / (1 - beta^t) for step t = 1, 2, ...
  float epsilon;
  bool decoupled;  // weight decay outside the moments: AdamW
};

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

template <class T>
__device__ __forceinline__ void sgd_step(const SgdStore<T>& store, float momentum, bool nesterov) {
  for_each_weight(store.size, [&](std::int64_t at, auto width) {
    constexpr int N = decltype(width)::value;
    auto w = load_vector<N>(store.weight + at), v = load_vector<N>(store.velocity + at);
    const auto g = load_vector<N>(store.gradient + at);
    LPW_UNROLL
    for (int j = 0; j < N; ++j) {
      const float d = store.gradient_scale * g[j] + store.weight_decay * w[j];
      v[j] = momentum * v[j] + d;
      w[j] -= store.learning_rate * (nesterov ? d + momentum * v[j] : v[j]);
    }
    store_vector(store.weight + at, w);
    store_vector(store.velocity + at, v);
    store_vector(store.gradient + at, Vector<float, N>{});
    if (store.rounded) store_floats(store.rounded + at, w);
  });
}

template <class T>
__device__ __forceinline__ void adam_step(const AdamStore<T>& store, const AdamParameters<T>& p) {
  for_each_weight(store.size, [&](std::int64_t at, auto width) {
    constexpr int N = decltype(width)::value;
    auto w = load_vector<N>(store.weight + at), m = load_vector<N>(store.mean + at), v = load_vector<N>(store.square + at);
    const auto g = load_vector<N>(store.gradient + at);
    LPW_UNROLL
    for (int j = 0; j < N; ++j) {
      float d = store.gradient_scale * g[j];
      if (p.decoupled) {
        w[j] -= store.learning_rate * store.weight_decay * w[j];
      } else {
        d += store.weight_decay * w[j];
      }
      m[j] = p.beta1 * m[j] + p.complement1 * d;
      v[j] = p.beta2 * v[j] + p.complement2 * d * d;
      w[j] -= store.learning_rate * (m[j] * p.correction1) / (sqrtf(v[j] * p.correction2) + p.epsilon);
    }
    store_vector(store.weight + at, w);
    store_vector(store.mean + at, m);
    store_vector(store.square + at, v);
    store_vector(store.gradient + at, Vector<float, N>{});
    if (store.rounded) store_floats(store.rounded + at, w);
  });
}

}  // namespace detail

/// g = gradient_scale gradient + weight_decay w; v = momentum v + g; w -= learning_rate (nesterov ? g + momentum v : v); gradient = 0.
template <class T>
__global__ void __launch_bounds__(element_threads, element_blocks) sgd_step(const SgdParameters<T> p) {
  detail::sgd_step(p.base, p.momentum, p.nesterov);
  detail::sgd_step(p.late, p.momentum, p.nesterov);
}

/// Kingma and Ba 2015; decoupled: Loshchilov and Hutter 2019. With g = gradient_scale gradient (+ weight_decay w unless decoupled):
/// m = beta1 m + (1 - beta1) g; v = beta2 v + (1 - beta2) g^2; w -= learning_rate m^ / (sqrt(v^) + epsilon), where m^ and v^ are m and v
/// times their corrections; if decoupled, w was first multiplied by 1 - learning_rate weight_decay; gradient = 0.
template <class T>
__global__ void __launch_bounds__(element_threads, element_blocks) adam_step(const AdamParameters<T> p) {
  detail::adam_step(p.base, p);
  detail::adam_step(p.late, p);
}

}  // namespace lpw::kernels
