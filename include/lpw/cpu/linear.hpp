// primitives/linear.hpp on the CPU, as matrix products. Like convolutions: a weight with one row makes one product over
// K B rows, a weight with a row per member makes K of them. The bias is added in a pass of its own, which rounds the
// product to T; it is small beside the product.
#pragma once

#include <array>
#include <cassert>
#include <type_traits>
#include <utility>

#include <lpw/cpu/base/vector.hpp>
#include <lpw/cpu/gemm.hpp>
#include <lpw/primitives/layout.hpp>
#include <lpw/primitives/linear.hpp>

namespace lpw::inline LPW_ABI {

namespace detail {

/// How [K, B, features] meets a parameter of `rows` rows: `products` matrix products of `length` rows each.
struct LinearRows {
  std::int64_t products, length;

  LinearRows(const Shape& x, std::int64_t rows) : products(rows), length(x[0] * x[1] / rows) {
    assert(x.rank() == 3 && (rows == 1 || rows == x[0]));
  }
  /// The product's part of a contiguous tensor [K, B, features].
  template <class T>
  [[nodiscard]] MatrixView<T> of(T* data, std::int64_t product, std::int64_t features) const {
    return matrix(data + product * length * features, length, features);
  }
};

/// x [K, B, in] weight^T, in Out: [K, B, out].
template <class Out, class T>
[[nodiscard]] Tensor<Out, Cpu> linear_product(const Tensor<T, Cpu>& x, const Tensor<Accumulate<T>, Cpu>& weight) {
  const std::int64_t in = x.dim(2), out = weight.dim(1);
  assert(weight.dim(2) == in);
  const LinearRows rows(x.shape(), weight.dim(0));
  Tensor<Out, Cpu> product({x.dim(0), x.dim(1), out});
  for (std::int64_t k = 0; k < rows.products; ++k)
    gemm(rows.of(x.data(), k, in), matrix(weight.row(k), out, in).transposed(), rows.of(product.data(), k, out));
  return product;
}

/// y = product [K, B, features] + bias [1 or K, features]; y may be the product.
template <class T, class W>
void add_bias(const Tensor<W, Cpu>& product, const Tensor<W, Cpu>& bias, Tensor<T, Cpu>& y) {
  const auto view = MemberRows::of(y.shape());
  parallel_for(view.members * view.rows, view.channels, [&](std::int64_t row) {
    const W *in = product.data() + row * view.channels, *b = member_row(bias, row / view.rows);
    T* out = y.data() + row * view.channels;
#pragma omp simd
    for (std::int64_t c = 0; c < view.channels; ++c) store(out[c], in[c] + b[c]);
  });
}

}  // namespace detail

template <class T>
[[nodiscard]] Tensor<T, Cpu> linear_forward(const Tensor<T, Cpu>& x, const Tensor<Accumulate<T>, Cpu>& weight,
                                            const Tensor<Accumulate<T>, Cpu>& bias) {
  using W = Accumulate<T>;
  if (bias.empty()) return detail::linear_product<T>(x, weight);
  auto product = detail::linear_product<W>(x, weight);
  Tensor<T, Cpu> y;
  if constexpr (std::is_same_v<T, W>) {
    y = product;
  } else {
    y = Tensor<T, Cpu>(product.shape());
  }
  detail::add_bias(product, bias, y);
  return y;
}

template <class T>
void linear_backward_data(const Tensor<T, Cpu>& dy, const Tensor<Accumulate<T>, Cpu>& weight, Gradient<T, Cpu>& dx) {
  const std::int64_t out = weight.dim(1), in = weight.dim(2);
  const detail::LinearRows rows(dy.shape(), weight.dim(0));
  for (std::int64_t k = 0; k < rows.products; ++k)
    gemm(rows.of(dy.data(), k, out), matrix(weight.row(k), out, in), rows.of(dx.tensor.data(), k, in), dx.accumulate);
}

template <class T>
void linear_backward_weight(const Tensor<T, Cpu>& x, const Tensor<T, Cpu>& dy, Gradient<Accumulate<T>, Cpu>& dweight) {
  const std::int64_t in = x.dim(2), out = dy.dim(2);
  const detail::LinearRows rows(x.shape(), dweight.tensor.dim(0));
  for (std::int64_t k = 0; k < rows.products; ++k)
    gemm(rows.of(dy.data(), k, out).transposed(), rows.of(x.data(), k, in), matrix(dweight.tensor.row(k), out, in),
         dweight.accumulate);
}

/// Blocks of 64 columns, each summed over runs of 128 rows before the runs are added up: the rounding error grows with
/// rows / 128, not with rows. A row that members share gets one member's sum after another's: members in chunks add up
/// to the same bits. Rows that come soon are asked for: they are too far apart for a processor's own prefetching.
template <class T>
void linear_backward_bias(const Tensor<T, Cpu>& dy, Gradient<Accumulate<T>, Cpu>& dbias) {
  using W = Accumulate<T>;
  constexpr std::int64_t width = 64, run = 128, soon = 32;
  const std::int64_t out = dy.dim(2), blocks = (out + width - 1) / width, rows = dbias.tensor.dim(0);
  const std::int64_t sharing = dy.dim(0) / rows;
  const detail::LinearRows members(dy.shape(), dy.dim(0));
  parallel_for(rows * blocks, sharing * members.length * width, [&](std::int64_t item) {
    const std::int64_t target_row = item / blocks, first = item % blocks * width,
                       columns = std::min(width, out - first);
    W* target = dbias.tensor.row(target_row) + first;
    for (std::int64_t i = 0; i < sharing; ++i) {
      const auto part = members.of(dy.data(), target_row * sharing + i, out).column_range(first, first + columns);
      std::array<W, width> total{}, sum{};
      for (std::int64_t row = 0; row < part.rows; ++row) {
        const T* in = part.data + row * part.row_stride;
        simd::will_read(in + soon * part.row_stride, columns);
#pragma omp simd
        for (std::int64_t c = 0; c < columns; ++c) sum[to_size(c)] += W(in[c]);
        if ((row + 1) % run == 0 || row + 1 == part.rows)
          for (std::int64_t c = 0; c < columns; ++c) total[to_size(c)] += std::exchange(sum[to_size(c)], W(0));
      }
      const bool add = dbias.accumulate || i > 0;
      for (std::int64_t c = 0; c < columns; ++c) target[c] = add ? target[c] + total[to_size(c)] : total[to_size(c)];
    }
  });
}

}  // namespace lpw::inline LPW_ABI
