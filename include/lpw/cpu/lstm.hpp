// primitives/lstm.hpp on the CPU: the product with the recurrent matrix, and everything else in one pass over the rows.
#pragma once

#include <cassert>
#include <utility>
#include <vector>

#include <lpw/cpu/base/sigmoid.hpp>
#include <lpw/cpu/linear.hpp>
#include <lpw/primitives/lstm.hpp>

namespace lpw::inline LPW_ABI {

/// The recurrent matrix, prepared by the first product with it, if there are enough of them for preparing to pay.
template <class T>
struct RecurrentWeight {
  Tensor<Accumulate<T>, Cpu> values;          // [1 or K, rows, columns]
  bool prepare;                               // whether enough products follow
  std::vector<RightMatrix<T>> prepared = {};  // a member each, as far as products were made

  /// c = a b, where b is row k of the weight or its transpose.
  void multiply(std::int64_t k, MatrixView<const T> a, MatrixView<const Accumulate<T>> b, MatrixView<T> c) {
    if (!prepare) return gemm(a, b, c);
    if (std::ssize(prepared) == k) prepared.emplace_back(b, a.rows);
    prepared[to_size(k)].multiply(a, c);
  }
};
template <class T>
[[nodiscard]] RecurrentWeight<T> recurrent_weight(const Tensor<Accumulate<T>, Cpu>& weight, std::int64_t steps) {
  return {weight, steps >= 4};
}

template <class T>
[[nodiscard]] Tensor<T, Cpu> recurrent_state(const Tensor<T, Cpu>& x, const RecurrentWeight<T>& /*weight*/) {
  return x;
}

template <class T>
[[nodiscard]] Tensor<T, Cpu> recurrent_forward(const Tensor<T, Cpu>& x, RecurrentWeight<T>& weight) {
  const std::int64_t in = x.dim(2), out = weight.values.dim(1);
  const detail::LinearRows rows(x.shape(), weight.values.dim(0));
  Tensor<T, Cpu> y({x.dim(0), x.dim(1), out});
  for (std::int64_t k = 0; k < rows.products; ++k)
    weight.multiply(k, rows.of(x.data(), k, in), matrix(std::as_const(weight.values).row(k), out, in).transposed(),
                    rows.of(y.data(), k, out));
  return y;
}

template <class T>
[[nodiscard]] Tensor<T, Cpu> recurrent_backward_data(const Tensor<T, Cpu>& dy, RecurrentWeight<T>& weight) {
  const std::int64_t out = weight.values.dim(1), in = weight.values.dim(2);
  const detail::LinearRows rows(dy.shape(), weight.values.dim(0));
  Tensor<T, Cpu> dx({dy.dim(0), dy.dim(1), in});
  for (std::int64_t k = 0; k < rows.products; ++k)
    weight.multiply(k, rows.of(dy.data(), k, out), matrix(std::as_const(weight.values).row(k), out, in),
                    rows.of(dx.data(), k, in));
  return dx;
}

namespace detail {

/// Calls f(member, row of its minibatch) for all rows of a step [K, B, ...] with `hidden` units, in parallel.
template <class F>
void for_each_step_row(std::int64_t members, std::int64_t batch, std::int64_t hidden, F&& f) {
  constexpr std::int64_t unit_cost = 40;  // five exponentials and divisions, a dozen reads and writes
  parallel_for(members * batch, unit_cost * hidden, [&](std::int64_t i) { f(i / batch, i % batch); });
}

/// Row `b` of member k in [K, B, C].
template <class T>
[[nodiscard]] T* step_row(Tensor<T, Cpu>& tensor, std::int64_t k, std::int64_t b) {
  return tensor.row(k) + b * tensor.dim(2);
}
template <class T>
[[nodiscard]] const T* step_row(const Tensor<T, Cpu>& tensor, std::int64_t k, std::int64_t b) {
  return tensor.row(k) + b * tensor.dim(2);
}

/// a = product_ih r_ih + product_hh r_hh + (b_ih + b_hh) for one row.
template <class T, class W>
void lstm_preactivations(const LstmCell<W, Cpu>& p, std::int64_t k, const T* product_ih, const T* product_hh,
                         std::int64_t columns, W* a) {
  const W* b = member_row(p.bias, k);
  if (p.output_ih.empty()) {
#pragma omp simd
    for (std::int64_t j = 0; j < columns; ++j) a[j] = W(product_ih[j]) + W(product_hh[j]) + b[j];
    return;
  }
  const W *r1 = member_row(p.output_ih, k), *r2 = member_row(p.output_hh, k);
#pragma omp simd
  for (std::int64_t j = 0; j < columns; ++j) a[j] = W(product_ih[j]) * r1[j] + W(product_hh[j]) * r2[j] + b[j];
}

/// out = in factor for one row, or in where there is no factor.
template <class T, class W>
void scale_row(const T* in, const Tensor<W, Cpu>& factor, std::int64_t k, std::int64_t columns, T* out) {
  if (factor.empty()) {
    std::copy_n(in, columns, out);
    return;
  }
  const W* s = member_row(factor, k);
#pragma omp simd
  for (std::int64_t j = 0; j < columns; ++j) store(out[j], W(in[j]) * s[j]);
}

/// From pre-activations a [4H] to the activated gates, c_t and h_t of one row.
template <class T, class W>
void lstm_row_forward(W* a, const W* cell_before, std::int64_t hidden, T* gates, W* cell, T* out) {
#pragma omp simd
  for (std::int64_t j = 0; j < 2 * hidden; ++j) a[j] = sigmoid(a[j]);
#pragma omp simd
  for (std::int64_t j = 2 * hidden; j < 3 * hidden; ++j) a[j] = hyperbolic_tangent(a[j]);
#pragma omp simd
  for (std::int64_t j = 3 * hidden; j < 4 * hidden; ++j) a[j] = sigmoid(a[j]);
#pragma omp simd
  for (std::int64_t j = 0; j < hidden; ++j) {
    const W c = a[hidden + j] * cell_before[j] + a[j] * a[2 * hidden + j];
    cell[j] = c;
    store(out[j], a[3 * hidden + j] * hyperbolic_tangent(c));
  }
#pragma omp simd
  for (std::int64_t j = 0; j < 4 * hidden; ++j) store(gates[j], a[j]);
}

/// dh = dy + product s for one row.
template <class T, class W>
void lstm_hidden_gradient(const T* dy, const T* product, const Tensor<W, Cpu>& factor, std::int64_t k,
                          std::int64_t hidden, W* dh) {
  if (factor.empty()) {
#pragma omp simd
    for (std::int64_t j = 0; j < hidden; ++j) dh[j] = W(dy[j]) + W(product[j]);
    return;
  }
  const W* s = member_row(factor, k);
#pragma omp simd
  for (std::int64_t j = 0; j < hidden; ++j) dh[j] = W(dy[j]) + W(product[j]) * s[j];
}

/// From dh and dc of one row to the gradients of its pre-activations, over `gates`, and dc of the step before.
template <class T, class W>
void lstm_row_backward(const W* dh, const W* cell_before, const W* cell, std::int64_t hidden, T* gates, W* dcell) {
#pragma omp simd
  for (std::int64_t j = 0; j < hidden; ++j) {
    const W i = W(gates[j]), f = W(gates[hidden + j]), g = W(gates[2 * hidden + j]), o = W(gates[3 * hidden + j]);
    const W tanh_c = hyperbolic_tangent(cell[j]), dc = dcell[j] + dh[j] * o * (1 - tanh_c * tanh_c);
    store(gates[j], dc * g * i * (1 - i));
    store(gates[hidden + j], dc * cell_before[j] * f * (1 - f));
    store(gates[2 * hidden + j], dc * i * (1 - g * g));
    store(gates[3 * hidden + j], dh[j] * tanh_c * o * (1 - o));
    dcell[j] = dc * f;
  }
}

}  // namespace detail

template <class T>
void lstm_cell_forward(const LstmCell<Accumulate<T>, Cpu>& parameters, const Tensor<T, Cpu>& product,
                       LstmStep<T, Cpu>& step, Tensor<T, Cpu>& hidden, Tensor<T, Cpu>& next) {
  using W = Accumulate<T>;
  using detail::step_row;
  const std::int64_t columns = product.dim(2), size = columns / 4;
  detail::for_each_step_row(product.dim(0), product.dim(1), size, [&](std::int64_t k, std::int64_t b) {
    thread_local std::vector<W> a;
    a.resize(static_cast<std::size_t>(columns));
    T *gates = step_row(step.gates, k, b), *h = step_row(hidden, k, b);
    detail::lstm_preactivations(parameters, k, gates, step_row(product, k, b), columns, a.data());
    detail::lstm_row_forward(a.data(), step_row(step.cell_before, k, b), size, gates, step_row(step.cell, k, b), h);
    detail::scale_row(h, parameters.input_hh, k, size, step_row(next, k, b));
  });
}

template <class T>
void lstm_cell_backward(const LstmCell<Accumulate<T>, Cpu>& parameters, const Tensor<T, Cpu>& dy,
                        const Tensor<T, Cpu>& product, LstmStep<T, Cpu>& step, Tensor<Accumulate<T>, Cpu>& dcell,
                        Tensor<T, Cpu>& before) {
  using W = Accumulate<T>;
  using detail::step_row;
  const std::int64_t size = product.dim(2);
  detail::for_each_step_row(product.dim(0), product.dim(1), size, [&](std::int64_t k, std::int64_t b) {
    thread_local std::vector<W> dh;
    dh.resize(static_cast<std::size_t>(size));
    T* gates = step_row(step.gates, k, b);
    detail::lstm_hidden_gradient(step_row(dy, k, b), step_row(product, k, b), parameters.input_hh, k, size, dh.data());
    detail::lstm_row_backward(dh.data(), step_row(step.cell_before, k, b), step_row(step.cell, k, b), size, gates,
                              step_row(dcell, k, b));
    detail::scale_row(gates, parameters.output_hh, k, 4 * size, step_row(before, k, b));
  });
}

}  // namespace lpw::inline LPW_ABI
