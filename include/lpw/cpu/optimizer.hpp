// primitives/optimizer.hpp on the CPU: one pass over each flat store reads gradient, state and weight once.
#pragma once

#include <algorithm>
#include <cassert>
#include <vector>

#include <lpw/cpu/base/parallel.hpp>
#include <lpw/primitives/optimizer.hpp>
#include <lpw/tensor/float_bits.hpp>

namespace lpw::inline LPW_ABI {

namespace detail {

/// The number that multiplies a store's gradient; `factor` [1] or empty.
template <class W>
[[nodiscard]] W gradient_scale(double scale, const Tensor<W, Cpu>& factor) {
  return factor.empty() ? static_cast<W>(scale) : static_cast<W>(scale) * factor.data()[0];
}

/// A store's step with the learning rate that is in force.
template <class Store>
[[nodiscard]] auto present_step(const Store& store) {
  auto step = store.step;
  if (!store.learning_rate.empty()) step.learning_rate = store.learning_rate.data()[0];
  return step;
}

template <class W>
void sgd_step(const SgdStore<W, Cpu>& store, const Tensor<W, Cpu>& factor) {
  const SgdStep step = present_step(store);
  const W rate = static_cast<W>(step.learning_rate), momentum = static_cast<W>(step.momentum),
          decay = static_cast<W>(step.weight_decay), target = static_cast<W>(step.decay_target);
  const W scale = gradient_scale(step.gradient_scale, factor);
  const bool nesterov = step.nesterov;
  Tensor<W, Cpu> weight = store.weight, gradient = store.gradient, velocity = store.velocity;
  W *w = weight.data(), *g = gradient.data(), *v = velocity.data();
  parallel_elements(weight.size(), 3, [=](std::int64_t first, std::int64_t last) {
#pragma omp simd
    for (std::int64_t i = first; i < last; ++i) {
      const W d = scale * g[i] + decay * (w[i] - target);
      const W next = momentum * v[i] + d;
      v[i] = next;
      w[i] -= rate * (nesterov ? d + momentum * next : next);
      g[i] = W(0);
    }
  });
}

template <class W>
void adam_step(const AdamStore<W, Cpu>& store, const Tensor<W, Cpu>& factor) {
  const AdamStep step = present_step(store);
  const W rate = static_cast<W>(step.learning_rate), epsilon = static_cast<W>(step.epsilon);
  const W beta1 = static_cast<W>(step.beta1), beta2 = static_cast<W>(step.beta2);
  const W complement1 = static_cast<W>(1 - step.beta1), complement2 = static_cast<W>(1 - step.beta2);
  const W correction1 = static_cast<W>(step.mean_correction()), correction2 = static_cast<W>(step.square_correction());
  const W coupled = static_cast<W>(step.decoupled ? 0 : step.weight_decay);
  const W decoupled = static_cast<W>(step.decoupled ? step.learning_rate * step.weight_decay : 0);
  const W target = static_cast<W>(step.decay_target), scale = gradient_scale(step.gradient_scale, factor);
  Tensor<W, Cpu> weight = store.weight, gradient = store.gradient, mean = store.mean, square = store.square;
  W *w = weight.data(), *g = gradient.data(), *m = mean.data(), *v = square.data();
  parallel_elements(weight.size(), 6, [=](std::int64_t first, std::int64_t last) {
#pragma omp simd
    for (std::int64_t i = first; i < last; ++i) {
      const W beyond = w[i] - target, d = scale * g[i] + coupled * beyond, kept = w[i] - decoupled * beyond;
      m[i] = beta1 * m[i] + complement1 * d;
      v[i] = beta2 * v[i] + complement2 * d * d;
      w[i] = kept - rate * (m[i] * correction1) / (std::sqrt(v[i] * correction2) + epsilon);
      g[i] = W(0);
    }
  });
}

}  // namespace detail

template <class W>
void sgd_step(const SgdStore<W, Cpu>& base, const SgdStore<W, Cpu>& late, const Tensor<W, Cpu>& gradient_factor = {}) {
  detail::sgd_step(base, gradient_factor);
  detail::sgd_step(late, gradient_factor);
}

template <class W>
void adam_step(const AdamStore<W, Cpu>& base, const AdamStore<W, Cpu>& late,
               const Tensor<W, Cpu>& gradient_factor = {}) {
  detail::adam_step(base, gradient_factor);
  detail::adam_step(late, gradient_factor);
}

/// The sum of the squares of a contiguous tensor, in double: of blocks of 4096 elements first, then of the blocks, in
/// order.
template <class W>
[[nodiscard]] double squared_norm(const Tensor<W, Cpu>& tensor) {
  constexpr std::int64_t length = 4096;
  assert(tensor.contiguous());
  const W* x = tensor.data();
  const std::int64_t size = tensor.size(), blocks = (size + length - 1) / length;
  std::vector<double> partial(static_cast<std::size_t>(blocks));
  parallel_for(blocks, 2 * length, [&](std::int64_t block) {
    double sum = 0;
    const std::int64_t last = std::min(size, (block + 1) * length);
#pragma omp simd reduction(+ : sum)
    for (std::int64_t i = block * length; i < last; ++i) sum += static_cast<double>(x[i]) * static_cast<double>(x[i]);
    partial[static_cast<std::size_t>(block)] = sum;
  });
  double total = 0;
  for (const double sum : partial) total += sum;
  return total;
}

template <class W>
[[nodiscard]] Tensor<W, Cpu> clip_factor(const ScaledGradient<W, Cpu>& base, const ScaledGradient<W, Cpu>& late,
                                         double max_norm) {
  const double square =
      base.scale * base.scale * squared_norm(base.gradient) + late.scale * late.scale * squared_norm(late.gradient);
  if (is_nan(square)) return full<W, Cpu>({1}, static_cast<W>(square));  // which std::min may pass over (-ffast-math)
  return full<W, Cpu>({1}, static_cast<W>(std::min(max_norm / (std::sqrt(square) + clip_epsilon), 1.0)));
}

}  // namespace lpw::inline LPW_ABI
