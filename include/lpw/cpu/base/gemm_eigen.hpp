// Matrix products of one thread by Eigen, whose headers are a quarter of all that a program parses: only this file
// includes them.
#pragma once

// GCC 12 takes the undefined registers of its own AVX-512 intrinsics, which Eigen's kernels use, for uninitialised
// variables.
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif
#include <Eigen/Core>
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic pop
#endif

#include <lpw/cpu/base/matrix.hpp>
#include <lpw/cpu/base/parallel.hpp>

namespace lpw::inline LPW_ABI::detail {

template <class F, int Order>
[[nodiscard]] auto eigen_map(MatrixView<const F> m) {
  using Matrix = Eigen::Matrix<F, Eigen::Dynamic, Eigen::Dynamic, Order>;
  return Eigen::Map<const Matrix, 0, Eigen::OuterStride<>>(
      m.data, m.rows, m.columns, Eigen::OuterStride<>(Order == Eigen::RowMajor ? m.row_stride : m.column_stride));
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

/// The product on the calling thread.
template <class F>
void gemm_on_thread(MatrixView<const F> a, MatrixView<const F> b, MatrixView<F> c, bool accumulate) {
  const SerialOpenMp serial;
  constexpr int row = Eigen::RowMajor, column = Eigen::ColMajor;
  if (a.row_major() && b.row_major()) return gemm_ordered<row, row>(a, b, c, accumulate);
  if (a.row_major()) return gemm_ordered<row, column>(a, b, c, accumulate);
  if (b.row_major()) return gemm_ordered<column, row>(a, b, c, accumulate);
  return gemm_ordered<column, column>(a, b, c, accumulate);
}

}  // namespace lpw::inline LPW_ABI::detail
