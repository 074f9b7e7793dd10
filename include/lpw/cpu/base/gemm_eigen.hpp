// Matrix products of one thread by Eigen's kernel, under names of our own (see EigenOperand). Eigen's headers are a
// quarter of all that a program parses: only this file includes them.
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

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>

#include <lpw/cpu/base/matrix.hpp>

namespace lpw::inline LPW_ABI::detail {

/// How Eigen's kernel and its packing find matrices. They are Eigen's own mappers under a name of lpw's: it makes the
/// names of all that is instantiated of them carry what this file is compiled for (tensor/abi.hpp), which those of
/// Eigen's products by expressions do not.
template <class F, int Order>
struct EigenOperand : Eigen::internal::const_blas_data_mapper<F, Eigen::Index, Order> {
  using Eigen::internal::const_blas_data_mapper<F, Eigen::Index, Order>::const_blas_data_mapper;
};
template <class F>
struct EigenResult : Eigen::internal::blas_data_mapper<F, Eigen::Index, Eigen::ColMajor> {
  using Eigen::internal::blas_data_mapper<F, Eigen::Index, Eigen::ColMajor>::blas_data_mapper;
};

/// The sides of the blocks that are packed: `depth` for a first level of cache that holds panels of both matrices,
/// `rows` and `columns` for a second that holds a block of either. Of `depth` all blocks are about as long.
struct EigenBlocks {
  Eigen::Index rows, columns, depth;
  template <class Traits, class F>
  [[nodiscard]] static EigenBlocks of(Eigen::Index rows, Eigen::Index columns, Eigen::Index depth) {
    constexpr Eigen::Index size = sizeof(F), first = 32 << 10, second = 256 << 10;
    const auto whole = [](Eigen::Index count, Eigen::Index unit) { return (count + unit - 1) / unit * unit; };
    constexpr Eigen::Index longest = first / size / (Traits::mr + Traits::nr) / 8 * 8;
    const Eigen::Index blocks = (depth + longest - 1) / longest;
    const Eigen::Index deep = std::min(depth, whole((depth + blocks - 1) / blocks, 8));
    const Eigen::Index elements = second / size / deep;
    return {std::min(rows, std::max<Eigen::Index>(elements / Traits::mr, 1) * Traits::mr),
            std::min(columns, std::max<Eigen::Index>(elements / Traits::nr, 1) * Traits::nr), deep};
  }
};

/// Memory for a block, of the alignment that the kernel's vectors need. It is not the pool's, which counts what a step
/// holds.
struct DeleteEigenBlock {
  void operator()(void* block) const { operator delete(block, std::align_val_t(64)); }
};
template <class F>
[[nodiscard]] std::unique_ptr<F, DeleteEigenBlock> eigen_block(Eigen::Index count) {
  const auto bytes = static_cast<std::size_t>(count) * sizeof(F);
  return std::unique_ptr<F, DeleteEigenBlock>(static_cast<F*>(operator new(bytes, std::align_val_t(64))));
}

/// c += a b by columns: c' = b' a' for the kernel, whose results' columns are contiguous.
template <int OrderA, int OrderB, class F>
void gemm_ordered(MatrixView<const F> a, MatrixView<const F> b, MatrixView<F> c) {
  using Eigen::Index;
  using Traits = Eigen::internal::gebp_traits<F, F>;
  constexpr int left_order = OrderB == Eigen::RowMajor ? Eigen::ColMajor : Eigen::RowMajor;
  constexpr int right_order = OrderA == Eigen::RowMajor ? Eigen::ColMajor : Eigen::RowMajor;
  using Left = EigenOperand<F, left_order>;
  using Right = EigenOperand<F, right_order>;
  // Of the transposed matrices, from an element on.
  const auto left = [&](Index i, Index k) {
    return Left(b.data + k * b.row_stride + i * b.column_stride,
                OrderB == Eigen::RowMajor ? b.row_stride : b.column_stride);
  };
  const auto right = [&](Index k, Index j) {
    return Right(a.data + j * a.row_stride + k * a.column_stride,
                 OrderA == Eigen::RowMajor ? a.row_stride : a.column_stride);
  };
  Eigen::internal::gemm_pack_lhs<F, Index, Left, Traits::mr, Traits::LhsProgress, typename Traits::LhsPacket4Packing,
                                 left_order>
      pack_left;
  Eigen::internal::gemm_pack_rhs<F, Index, Right, Traits::nr, right_order> pack_right;
  Eigen::internal::gebp_kernel<F, F, Index, EigenResult<F>, Traits::mr, Traits::nr, false, false> multiply;
  const Index rows = c.columns, columns = c.rows, depth = a.columns;
  const EigenBlocks block = EigenBlocks::of<Traits, F>(rows, columns, depth);
  const auto left_block = eigen_block<F>(block.rows * block.depth);
  const auto right_block = eigen_block<F>(block.columns * block.depth);
  for (Index k = 0; k < depth; k += block.depth) {
    const Index deep = std::min(block.depth, depth - k);
    for (Index j = 0; j < columns; j += block.columns) {
      const Index wide = std::min(block.columns, columns - j);
      pack_right(right_block.get(), right(k, j), deep, wide);
      for (Index i = 0; i < rows; i += block.rows) {
        const Index high = std::min(block.rows, rows - i);
        pack_left(left_block.get(), left(i, k), deep, high);
        multiply(EigenResult<F>(c.data + i + j * c.row_stride, c.row_stride), left_block.get(), right_block.get(), high,
                 deep, wide, F(1));
      }
    }
  }
}

/// c += a b with one row or column, or hardly any elements, by loops: packing costs more.
template <class F>
void gemm_thin(MatrixView<const F> a, MatrixView<const F> b, MatrixView<F> c) {
  const auto element = [](const auto& m, std::int64_t i, std::int64_t j) {
    return m.data[i * m.row_stride + j * m.column_stride];
  };
  for (std::int64_t i = 0; i < c.rows; ++i) {
    F* out = c.data + i * c.row_stride;
    if (b.row_major() && c.columns > 1) {
      for (std::int64_t k = 0; k < a.columns; ++k) {
        const F factor = element(a, i, k);
        const F* row = b.data + k * b.row_stride;
#pragma omp simd
        for (std::int64_t j = 0; j < c.columns; ++j) out[j] += factor * row[j];
      }
      continue;
    }
    for (std::int64_t j = 0; j < c.columns; ++j) {
      F sum = 0;
#pragma omp simd reduction(+ : sum)
      for (std::int64_t k = 0; k < a.columns; ++k) sum += element(a, i, k) * element(b, k, j);
      out[j] += sum;
    }
  }
}

/// The product on the calling thread.
template <class F>
void gemm_on_thread(MatrixView<const F> a, MatrixView<const F> b, MatrixView<F> c, bool accumulate) {
  if (!accumulate)
    for (std::int64_t i = 0; i < c.rows; ++i) std::fill_n(c.data + i * c.row_stride, c.columns, F(0));
  constexpr std::int64_t hardly_any = 20;
  if (c.rows == 0 || c.columns == 0 || a.columns == 0) return;
  if (c.rows == 1 || c.columns == 1 || c.rows + c.columns + a.columns < hardly_any) return gemm_thin(a, b, c);
  constexpr int row = Eigen::RowMajor, column = Eigen::ColMajor;
  if (a.row_major() && b.row_major()) return gemm_ordered<row, row>(a, b, c);
  if (a.row_major()) return gemm_ordered<row, column>(a, b, c);
  if (b.row_major()) return gemm_ordered<column, row>(a, b, c);
  return gemm_ordered<column, column>(a, b, c);
}

}  // namespace lpw::inline LPW_ABI::detail
