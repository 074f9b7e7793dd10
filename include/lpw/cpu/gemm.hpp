// C (+)= A B for row-major C and A, B of either orientation: by panels of our own (panels/product.hpp) for float where
// they are faster, else by oneDNN for float and bfloat16, by Eigen for every type. Where bfloat16 is not multiplied as
// it is (products.hpp), its matrices are widened, and float ones among them stay as they are; else those are rounded.
// Either library computes parts of a product on the thread that calls it: see product_cut.hpp.
#pragma once

#include <algorithm>
#include <cassert>
#include <optional>

#include <lpw/cpu/base/engine.hpp>
#include <lpw/cpu/base/product_cut.hpp>
#include <lpw/cpu/panels/product.hpp>
#include <lpw/cpu/products.hpp>
#if LPW_WITH_ONEDNN
#include <lpw/cpu/onednn/matmul.hpp>
#endif
#if !LPW_COMPILED
#include <lpw/cpu/base/gemm_eigen.hpp>
#include <lpw/cpu/panels/multiply.hpp>
#endif

namespace lpw::inline LPW_ABI {

namespace detail {

/// Whether a product of floats, c [rows, columns] over `depth`, goes by panels: not where short sides leave vectors
/// empty or do not pay for packing; beside oneDNN, where they were measured to be as fast or faster
/// (docs/performance.md, "Matrix products"). Where rows of the left matrix are contiguous they are samples, whose bits
/// must not depend on how many there are; else c is a weight's gradient, for which narrow matrices are not packed. A
/// program that has oneDNN and takes Eigen takes that alone.
[[nodiscard]] inline bool goes_by_panels(std::int64_t rows, std::int64_t columns, std::int64_t depth,
                                         bool rows_contiguous) {
  const bool narrow = !rows_contiguous && std::min(rows, columns) >= 16 && std::max(rows, columns) <= 128;
  if (columns < (narrow && panels::pairs_panels ? 16 : 32) || depth < 32) return false;
  if (LPW_WITH_ONEDNN == 0) return rows_contiguous || rows >= 16;
  if (cpu_engine() != CpuEngine::onednn) return false;
  if (rows_contiguous) return columns >= (panels::pairs_panels ? 64 : 128) && depth >= 64;
  if (narrow && panels::pairs_panels) return depth >= 1024;
  constexpr std::int64_t few_elements = 1 << 17;  // of c, which many blocks of the depth are added to
  return rows >= 256 && columns >= 256 && (depth <= 512 || rows * columns <= few_elements);
}

/// c = a b, or c += a b, on the calling thread; F is float or double. lpw::compiled holds both, so that its users need
/// not parse Eigen.
template <class F>
void gemm_on_thread(MatrixView<const F> a, MatrixView<const F> b, MatrixView<F> c, bool accumulate);

/// The product of matrices that are all of one type.
template <class F>
void gemm_wide(MatrixView<const F> a, MatrixView<const F> b, MatrixView<F> c, bool accumulate) {
  if constexpr (std::is_same_v<F, float>)
    if (goes_by_panels(c.rows, c.columns, a.columns, a.row_major())) return panels::multiply(a, b, c, accumulate);
#if LPW_WITH_ONEDNN
  if constexpr (onednn::supports<F>)
    if (cpu_engine() == CpuEngine::onednn && onednn::matmul(a, b, c, accumulate)) return;
#endif
  multiply_in_parts(a, b, c, accumulate, [](auto... operands) { gemm_on_thread<F>(operands...); });
}

/// The product of matrices of which some are bfloat16, the others rounded to it; false where they are to be widened.
template <class A, class B, class C>
[[nodiscard]] bool gemm_bfloat16([[maybe_unused]] MatrixView<const A> a, [[maybe_unused]] MatrixView<const B> b,
                                 [[maybe_unused]] MatrixView<C> c, [[maybe_unused]] bool accumulate) {
#if LPW_WITH_ONEDNN
  if constexpr (std::is_same_v<A, bfloat16> || std::is_same_v<B, bfloat16> || std::is_same_v<C, bfloat16>)
    return multiplies_bfloat16() &&
           onednn::matmul(ConvertedMatrix<bfloat16>(a).view(), ConvertedMatrix<bfloat16>(b).view(), c, accumulate);
#endif
  return false;
}

/// The product of matrices of which some are to be widened to F: by panels while they are packed, else before.
template <class A, class B, class F>
void gemm_widened(MatrixView<const A> a, MatrixView<const B> b, MatrixView<F> c, bool accumulate) {
  if constexpr (std::is_same_v<F, float> && !(std::is_same_v<A, F> && std::is_same_v<B, F>))
    if (goes_by_panels(c.rows, c.columns, a.columns, a.row_major())) return panels::multiply(a, b, c, accumulate);
  const ConvertedMatrix<F> a_wide(a), b_wide(b);
  gemm_wide(a_wide.view(), b_wide.view(), c, accumulate);
}

}  // namespace detail

/// c = a b, or c += a b: a [M, K], b [K, N], c [M, N] with contiguous rows. Types: all double, or any mix of float and
/// bfloat16.
template <class A, class B, class C>
void gemm(MatrixView<const A> a, MatrixView<const B> b, MatrixView<C> c, bool accumulate = false) {
  using F = Accumulate<C>;
  assert(a.columns == b.rows && a.rows == c.rows && b.columns == c.columns && c.row_major());
  if (detail::gemm_bfloat16(a, b, c, accumulate)) return;
  if constexpr (std::is_same_v<C, F>) {
    detail::gemm_widened(a, b, c, accumulate);
  } else {
    Tensor<F, Cpu> memory({c.rows, c.columns});
    const auto wide = matrix(memory.data(), c.rows, c.columns);
    detail::gemm_widened(a, b, wide, false);
    put_converted<F>(wide, c, accumulate);
  }
}

/// A matrix b [K, N] for many products c = a b, each with `rows` rows: in panels where these are faster than oneDNN or
/// it is not compiled in; else in oneDNN's layout for them, in the type that it multiplies T in; or where neither
/// multiplies T, a view of b.
template <class T>
class RightMatrix {
  using W = Accumulate<T>;
  /// Measured with AVX-512 alone (docs/performance.md, "Matrix products").
  static constexpr bool faster_in_panels = LPW_WITH_ONEDNN == 0 || panels::pairs_panels;

 public:
  /// Prepares b, which must outlive it, for products of so many rows each.
  RightMatrix(MatrixView<const W> b, std::int64_t rows) : b_(b), rows_(rows) {
    [[maybe_unused]] const bool narrow = !std::is_same_v<T, W> && multiplies_bfloat16();
    if constexpr (std::is_same_v<W, float>)
      if (faster_in_panels && !narrow && detail::goes_by_panels(rows, b.columns, b.rows, true)) {
        panels_.emplace(b, rows);
        return;
      }
#if LPW_WITH_ONEDNN
    if constexpr (onednn::supports<T>) {
      if (cpu_engine() != CpuEngine::onednn) return;
      if (narrow) {
        packed_ = onednn::PackedMatrix<T>::of(ConvertedMatrix<T>(b).view(), rows);
      } else {
        wide_ = onednn::PackedMatrix<W>::of(b, rows);
      }
    }
#endif
  }

  /// c [rows, N] = a [rows, K] b, both packed.
  void multiply(MatrixView<const T> a, MatrixView<T> c) const {
    assert(a.rows == rows_ && c.rows == rows_ && a.row_stride == a.columns && c.row_stride == c.columns);
    if constexpr (std::is_same_v<W, float>)
      if (panels_) return in_wide(c, [&](MatrixView<W> sums) { panels_->multiply(a, sums); });
#if LPW_WITH_ONEDNN
    if constexpr (onednn::supports<T>) {
      if (packed_) return packed_->multiply(a.data, c.data);
      if (wide_)
        return in_wide(c, [&](MatrixView<W> sums) { wide_->multiply(ConvertedMatrix<W>(a).view().data, sums.data); });
    }
#endif
    gemm(a, b_, c);
  }

 private:
  /// c = what multiply(sums) makes.
  template <class Multiply>
  static void in_wide(MatrixView<T> c, Multiply&& multiply) {
    if constexpr (std::is_same_v<T, W>) {
      multiply(c);
    } else {
      Tensor<W, Cpu> memory({c.rows, c.columns});
      const auto sums = matrix(memory.data(), c.rows, c.columns);
      multiply(sums);
      put_converted<W>(sums, c, false);
    }
  }

#if LPW_WITH_ONEDNN
  struct None {};
  template <class V>
  using Packed = std::optional<std::conditional_t<onednn::supports<V>, onednn::PackedMatrix<V>, None>>;
  Packed<W> wide_;
  Packed<T> packed_;
#endif
  std::optional<panels::PackedRight> panels_;
  MatrixView<const W> b_;
  [[maybe_unused]] std::int64_t rows_;
};

}  // namespace lpw::inline LPW_ABI
