// primitives/gru.hpp on the CPU: everything but the products in one pass over the rows.
#pragma once

#include <algorithm>
#include <type_traits>
#include <vector>

#include <lpw/cpu/lstm.hpp>
#include <lpw/primitives/gru.hpp>

namespace lpw::inline LPW_ABI {

template <class T>
[[nodiscard]] Tensor<Accumulate<T>, Cpu> carried_state(const Tensor<T, Cpu>& hidden) {
  using W = Accumulate<T>;
  if constexpr (std::is_same_v<T, W>) {
    return hidden;
  } else {
    Tensor<W, Cpu> result(hidden.shape());
    std::copy_n(hidden.data(), hidden.size(), result.data());
    return result;
  }
}

template <class T>
void carried_state_backward(const Tensor<Accumulate<T>, Cpu>& dcarried, Gradient<T, Cpu>& dhidden) {
  using W = Accumulate<T>;
  const W* from = dcarried.data();
  T* to = dhidden.tensor.data();
  for (std::int64_t i = 0; i < dcarried.size(); ++i) store(to[i], dhidden.accumulate ? W(to[i]) + from[i] : from[i]);
}

namespace detail {

/// a and u of one row, from its products: product r + b.
template <class T, class W>
void gru_preactivations(const T* product, const Tensor<W, Cpu>& factor, const Tensor<W, Cpu>& bias, std::int64_t k,
                        std::int64_t columns, W* a) {
  const W *b = member_row(bias, k), *r = factor.empty() ? nullptr : member_row(factor, k);
#pragma omp simd
  for (std::int64_t j = 0; j < columns; ++j) a[j] = (r ? W(product[j]) * r[j] : W(product[j])) + b[j];
}

/// From a and u [3H] of one row to the activated gates, u of n, and h_t.
template <class T, class W>
void gru_row_forward(W* a, const W* u, const W* before, std::int64_t hidden, T* gates, T* inner, W* carried, T* out) {
#pragma omp simd
  for (std::int64_t j = 0; j < 2 * hidden; ++j) a[j] = sigmoid(a[j] + u[j]);
#pragma omp simd
  for (std::int64_t j = 0; j < hidden; ++j) {
    const W n = hyperbolic_tangent(a[2 * hidden + j] + a[j] * u[2 * hidden + j]);
    a[2 * hidden + j] = n;
    carried[j] = n + a[hidden + j] * (before[j] - n);
    store(out[j], carried[j]);
    store(inner[j], u[2 * hidden + j]);
  }
#pragma omp simd
  for (std::int64_t j = 0; j < 3 * hidden; ++j) store(gates[j], a[j]);
}

/// From dh of one row to the gradients of a, over `gates`, of n's u, over `inner`, and of h of the step before.
template <class T, class W>
void gru_row_backward(const W* dh, const W* before, std::int64_t hidden, T* gates, T* inner, W* dcarried) {
#pragma omp simd
  for (std::int64_t j = 0; j < hidden; ++j) {
    const W r = W(gates[j]), z = W(gates[hidden + j]), n = W(gates[2 * hidden + j]), u = W(inner[j]);
    const W dn = dh[j] * (1 - z) * (1 - n * n);
    store(gates[j], dn * u * r * (1 - r));
    store(gates[hidden + j], dh[j] * (before[j] - n) * z * (1 - z));
    store(gates[2 * hidden + j], dn);
    store(inner[j], dn * r);
    dcarried[j] = dh[j] * z;
  }
}

/// The gradients of u of one row, those of a but for n's, times r_hh.
template <class T, class W>
void gru_row_before(const T* gates, const T* inner, const Tensor<W, Cpu>& factor, std::int64_t k, std::int64_t hidden,
                    T* before) {
  scale_row(gates, factor, k, 2 * hidden, before);
  if (factor.empty()) {
    std::copy_n(inner, hidden, before + 2 * hidden);
    return;
  }
  const W* r = member_row(factor, k) + 2 * hidden;
#pragma omp simd
  for (std::int64_t j = 0; j < hidden; ++j) store(before[2 * hidden + j], W(inner[j]) * r[j]);
}

}  // namespace detail

template <class T>
void gru_cell_forward(const GruCell<Accumulate<T>, Cpu>& parameters, const Tensor<T, Cpu>& product,
                      GruStep<T, Cpu>& step, Tensor<T, Cpu>& hidden, Tensor<T, Cpu>& next) {
  using W = Accumulate<T>;
  using detail::step_row;
  const std::int64_t columns = product.dim(2), size = columns / 3;
  detail::for_each_step_row(product.dim(0), product.dim(1), size, [&](std::int64_t k, std::int64_t b) {
    thread_local std::vector<W> a, u;
    a.resize(to_size(columns));
    u.resize(to_size(columns));
    T *gates = step_row(step.gates, k, b), *h = step_row(hidden, k, b);
    detail::gru_preactivations(gates, parameters.output_ih, parameters.bias_ih, k, columns, a.data());
    detail::gru_preactivations(step_row(product, k, b), parameters.output_hh, parameters.bias_hh, k, columns, u.data());
    detail::gru_row_forward(a.data(), u.data(), step_row(step.carried_before, k, b), size, gates,
                            step_row(step.inner, k, b), step_row(step.carried, k, b), h);
    detail::scale_row(h, parameters.input_hh, k, size, step_row(next, k, b));
  });
}

template <class T>
void gru_cell_backward(const GruCell<Accumulate<T>, Cpu>& parameters, const Tensor<T, Cpu>& dy,
                       const Tensor<T, Cpu>& product, GruStep<T, Cpu>& step, Tensor<Accumulate<T>, Cpu>& dcarried,
                       Tensor<T, Cpu>& before) {
  using W = Accumulate<T>;
  using detail::step_row;
  const std::int64_t size = product.dim(2);
  detail::for_each_step_row(product.dim(0), product.dim(1), size, [&](std::int64_t k, std::int64_t b) {
    thread_local std::vector<W> dh;
    dh.resize(to_size(size));
    W* carried = step_row(dcarried, k, b);
    detail::lstm_hidden_gradient(step_row(dy, k, b), step_row(product, k, b), parameters.input_hh, k, size, dh.data());
    for (std::int64_t j = 0; j < size; ++j) dh[to_size(j)] += carried[j];
    T *gates = step_row(step.gates, k, b), *inner = step_row(step.inner, k, b);
    detail::gru_row_backward(dh.data(), step_row(step.carried_before, k, b), size, gates, inner, carried);
    detail::gru_row_before(gates, inner, parameters.output_hh, k, size, step_row(before, k, b));
  });
}

}  // namespace lpw::inline LPW_ABI
