// C (+)= A B for row-major C and A, B of either orientation: by oneDNN for float and bfloat16, by Eigen for every type.
// Eigen's own threading chooses block sizes by the number of threads, which changes the order of sums. So the product is cut here, by
// shape alone, and Eigen runs each piece on one thread.
#pragma once

#include <cassert>

// GCC 12 takes the undefined registers of its own AVX-512 intrinsics, which Eigen's kernels use, for uninitialised variables.
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif
#include <Eigen/Core>
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic pop
#endif

#include <lpw/cpu/engine.hpp>
#include <lpw/cpu/matrix.hpp>
#include <lpw/cpu/parallel.hpp>
#if LPW_WITH_ONEDNN
#include <lpw/cpu/onednn_matmul.hpp>
#endif

namespace lpw {

namespace detail {

template <class F, int Order>
[[nodiscard]] auto eigen_map(MatrixView<const F> m) {
  using Matrix = Eigen::Matrix<F, Eigen::Dynamic, Eigen::Dynamic, Order>;
  return Eigen::Map<const Matrix, 0, Eigen::OuterStride<>>(m.data, m.rows, m.columns,
                                                           Eigen::OuterStride<>(Order == Eigen::RowMajor ? m.row_stride : m.column_stride));
}

template <int OrderA, int OrderB, class F>
void gemm_ordered(MatrixView<const F> a, MatrixView<const F> b, MatrixView<F> c, bool accumulate) {
  using Matrix = Eigen::Matrix<F, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
  Eigen::Map<Matrix, 0, Eigen::OuterStride<>> result(c.data, c.rows, c.columns, Eigen::OuterStride<>(c.row_stride));
  if (accumulate) {
    result.noalias() += eigen_map<F, OrderA>(a) * eigen_map<F, OrderB>(b);
  } else {
    result.noalias() = eigen_map<F, OrderA>(a) * eigen_map<F, OrderB>(b);
  }
}

/// The product on the calling thread. Call it inside a parallel loop only: elsewhere Eigen would start threads of its own.
template <class F>
void gemm_on_thread(MatrixView<const F> a, MatrixView<const F> b, MatrixView<F> c, bool accumulate) {
  constexpr int row = Eigen::RowMajor, column = Eigen::ColMajor;
  if (a.row_major() && b.row_major()) return gemm_ordered<row, row>(a, b, c, accumulate);
  if (a.row_major()) return gemm_ordered<row, column>(a, b, c, accumulate);
  if (b.row_major()) return gemm_ordered<column, row>(a, b, c, accumulate);
  return gemm_ordered<column, column>(a, b, c, accumulate);
}

/// The product in up to 16 pieces along the longer side of c, each at least 32 wide.
template <class F>
void gemm_eigen(MatrixView<const F> a, MatrixView<const F> b, MatrixView<F> c, bool accumulate) {
  const bool by_rows = c.rows >= c.columns;
  const std::int64_t length = by_rows ? c.rows : c.columns;
  const std::int64_t parts = std::clamp<std::int64_t>(length / 32, 1, 16);
#pragma omp parallel for schedule(static)
  for (std::int64_t part = 0; part < parts; ++part) {
    const std::int64_t first = part_begin(length, parts, part), last = part_begin(length, parts, part + 1);
    if (by_rows) {
      gemm_on_thread(a.row_range(first, last), b, c.row_range(first, last), accumulate);
    } else {
      gemm_on_thread(a, b.column_range(first, last), c.column_range(first, last), accumulate);
    }
  }
}

#if LPW_WITH_ONEDNN
/// With any bfloat16 among a, b and c, the products are bfloat16 x bfloat16 summed in float32.
template <class A, class B, class C>
[[nodiscard]] bool gemm_onednn(MatrixView<const A> a, MatrixView<const B> b, MatrixView<C> c, bool accumulate) {
  constexpr bool half = std::is_same_v<A, bfloat16> || std::is_same_v<B, bfloat16> || std::is_same_v<C, bfloat16>;
  using T = std::conditional_t<half, bfloat16, float>;
  return onednn::matmul(ConvertedMatrix<T>(a).view(), ConvertedMatrix<T>(b).view(), c, accumulate);
}
#endif

}  // namespace detail

/// c = a b, or c += a b: a [M, K], b [K, N], c [M, N] with contiguous rows. Types: all double, or any mix of float and bfloat16.
template <class A, class B, class C>
void gemm(MatrixView<const A> a, MatrixView<const B> b, MatrixView<C> c, bool accumulate = false) {
  using F = Accumulate<C>;
  assert(a.columns == b.rows && a.rows == c.rows && b.columns == c.columns && c.row_major());
#if LPW_WITH_ONEDNN
  if constexpr (onednn::supports<C>)
    if (cpu_engine() == CpuEngine::onednn && detail::gemm_onednn(a, b, c, accumulate)) return;
#endif
  const ConvertedMatrix<F> a_wide(a), b_wide(b);
  if constexpr (std::is_same_v<C, F>) {
    detail::gemm_eigen(a_wide.view(), b_wide.view(), c, accumulate);
  } else {
    Tensor<F, Cpu> wide({c.rows, c.columns});
    detail::gemm_eigen(a_wide.view(), b_wide.view(), matrix(wide.data(), c.rows, c.columns), false);
#pragma omp parallel for schedule(static)
    for (std::int64_t i = 0; i < c.rows; ++i) {
      C* out = c.data + i * c.row_stride;
      const F* in = wide.row(i);
#pragma omp simd
      for (std::int64_t j = 0; j < c.columns; ++j) store(out[j], accumulate ? F(out[j]) + in[j] : in[j]);
    }
  }
}

}  // namespace lpw
