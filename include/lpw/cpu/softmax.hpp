// primitives/softmax.hpp on the CPU, and softmax in double for evaluation, on the host. Exponentials are formed twice:
// that takes less than room for them, and none is rounded before it is divided.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>

#include <lpw/cpu/base/parallel.hpp>
#include <lpw/cpu/base/sigmoid.hpp>
#include <lpw/primitives/softmax.hpp>
#include <lpw/tensor/float_bits.hpp>
#include <lpw/tensor/tensor.hpp>

namespace lpw::inline LPW_ABI {

namespace detail {

/// y = softmax of the first `count` elements of x, zeros behind them.
template <class T>
void softmax_row(const T* x, std::int64_t count, std::int64_t columns, T* y) {
  using W = Accumulate<T>;
  W largest = W(x[0]);
  for (std::int64_t j = 1; j < count; ++j) largest = std::max(largest, W(x[j]));
  double total = 0;
#pragma omp simd reduction(+ : total)
  for (std::int64_t j = 0; j < count; ++j) total += double(exp_of_negative(W(x[j]) - largest));
  const W inverse = static_cast<W>(1 / total);
#pragma omp simd
  for (std::int64_t j = 0; j < count; ++j) store(y[j], exp_of_negative(W(x[j]) - largest) * inverse);
  std::fill(y + count, y + columns, T(0));
}

}  // namespace detail

template <class T>
[[nodiscard]] Tensor<T, Cpu> softmax_forward(const Tensor<T, Cpu>& x, bool causal) {
  const std::int64_t columns = x.dim(-1), queries = causal ? x.dim(-2) : 1;
  Tensor<T, Cpu> y(x.shape());
  const T* in = x.data();
  T* out = y.data();
  parallel_for(x.size() / columns, 32 * columns, [=](std::int64_t row) {
    const std::int64_t count = causal ? std::min(columns, row % queries + 1) : columns;
    detail::softmax_row(in + row * columns, count, columns, out + row * columns);
  });
  return y;
}

template <class T>
void softmax_backward(const Tensor<T, Cpu>& y, const Tensor<T, Cpu>& dy, Gradient<T, Cpu>& dx) {
  using W = Accumulate<T>;
  const std::int64_t columns = y.dim(-1);
  T* const to = dx.tensor.data();
  const bool accumulate = dx.accumulate;
  parallel_for(y.size() / columns, 4 * columns, [&](std::int64_t row) {
    const T *p = y.data() + row * columns, *d = dy.data() + row * columns;
    T* out = to + row * columns;
    double total = 0;
#pragma omp simd reduction(+ : total)
    for (std::int64_t j = 0; j < columns; ++j) total += double(W(p[j])) * double(W(d[j]));
    const W mean = static_cast<W>(total);
#pragma omp simd
    for (std::int64_t j = 0; j < columns; ++j) {
      const W value = W(p[j]) * (W(d[j]) - mean);
      store(out[j], accumulate ? W(out[j]) + value : value);
    }
  });
}

/// softmax of every row of logits [B, classes], in double: exp(z_c - max z) / sum. Throws ShapeError, and NonFinite for
/// a row that holds NaN, +infinity, or -infinity alone.
template <Real T>
[[nodiscard]] Tensor<double, Cpu> softmax_rows(const Tensor<T, Cpu>& logits) {
  require<ShapeError>(logits.shape().rank() == 2 && logits.dim(1) > 0,
                      "softmax_rows: expected logits [B, classes], found ", logits.shape());
  const std::int64_t rows = logits.dim(0), classes = logits.dim(1);
  Tensor<double, Cpu> result(logits.shape());
  for (std::int64_t i = 0; i < rows; ++i) {
    const T* in = logits.row(i);
    double* out = result.row(i);
    std::copy_n(in, classes, out);
    const double largest = *std::max_element(out, out + classes);
    double sum = 0;
    for (std::int64_t c = 0; c < classes; ++c) sum += out[c] = std::exp(out[c] - largest);
    require<NonFinite>(is_finite(sum), "softmax_rows: the logits of row ", i, " are not finite");
    for (std::int64_t c = 0; c < classes; ++c) out[c] /= sum;
  }
  return result;
}

}  // namespace lpw::inline LPW_ABI
