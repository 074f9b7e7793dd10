// C (+)= A B for row-major C and A, B of either orientation: by oneDNN for float and bfloat16, by Eigen for every type.
// Where bfloat16 is not multiplied as it is (products.hpp), its matrices are widened, and float ones among them stay as
// they are; else those are rounded. Either library computes parts of a product on the thread that calls it: see
// product_cut.hpp.
#pragma once

#include <algorithm>
#include <cassert>
#include <optional>

#include <lpw/cpu/base/engine.hpp>
#include <lpw/cpu/base/product_cut.hpp>
#include <lpw/cpu/products.hpp>
#if LPW_WITH_ONEDNN
#include <lpw/cpu/onednn/matmul.hpp>
#endif
#if !LPW_COMPILED
#include <lpw/cpu/base/gemm_eigen.hpp>
#endif

namespace lpw::inline LPW_ABI {

namespace detail {

/// c = a b, or c += a b, on the calling thread; F is float or double. lpw::compiled holds both, so that its users need
/// not parse Eigen.
template <class F>
void gemm_on_thread(MatrixView<const F> a, MatrixView<const F> b, MatrixView<F> c, bool accumulate);

/// The product of matrices that are all of one type.
template <class F>
void gemm_wide(MatrixView<const F> a, MatrixView<const F> b, MatrixView<F> c, bool accumulate) {
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

}  // namespace detail

/// c = a b, or c += a b: a [M, K], b [K, N], c [M, N] with contiguous rows. Types: all double, or any mix of float and
/// bfloat16.
template <class A, class B, class C>
void gemm(MatrixView<const A> a, MatrixView<const B> b, MatrixView<C> c, bool accumulate = false) {
  using F = Accumulate<C>;
  assert(a.columns == b.rows && a.rows == c.rows && b.columns == c.columns && c.row_major());
  if (detail::gemm_bfloat16(a, b, c, accumulate)) return;
  const ConvertedMatrix<F> a_wide(a), b_wide(b);
  if constexpr (std::is_same_v<C, F>) {
    detail::gemm_wide(a_wide.view(), b_wide.view(), c, accumulate);
  } else {
    Tensor<F, Cpu> memory({c.rows, c.columns});
    const auto wide = matrix(memory.data(), c.rows, c.columns);
    detail::gemm_wide(a_wide.view(), b_wide.view(), wide, false);
    put_converted<F>(wide, c, accumulate);
  }
}

/// A matrix b [K, N] for many products c = a b, each with `rows` rows: in oneDNN's layout for them, in the type that it
/// multiplies T in, or where oneDNN does not multiply T, a view of b.
template <class T>
class RightMatrix {
  using W = Accumulate<T>;

 public:
  RightMatrix(MatrixView<const W> b, std::int64_t rows) : b_(b), rows_(rows) {
#if LPW_WITH_ONEDNN
    if constexpr (onednn::supports<T>) {
      if (cpu_engine() != CpuEngine::onednn) return;
      if (std::is_same_v<T, W> || !multiplies_bfloat16()) {
        wide_ = onednn::PackedMatrix<W>::of(b, rows);
      } else {
        packed_ = onednn::PackedMatrix<T>::of(ConvertedMatrix<T>(b).view(), rows);
      }
    }
#endif
  }

  /// c [rows, N] = a [rows, K] b, both packed.
  void multiply(MatrixView<const T> a, MatrixView<T> c) const {
    assert(a.rows == rows_ && c.rows == rows_ && a.row_stride == a.columns && c.row_stride == c.columns);
#if LPW_WITH_ONEDNN
    if constexpr (onednn::supports<T>) {
      if (packed_) return packed_->multiply(a.data, c.data);
      if (wide_) return multiply_wide(a, c);
    }
#endif
    gemm(a, b_, c);
  }

 private:
#if LPW_WITH_ONEDNN
  void multiply_wide(MatrixView<const T> a, MatrixView<T> c) const {
    if constexpr (std::is_same_v<T, W>) {
      wide_->multiply(a.data, c.data);
    } else {
      Tensor<W, Cpu> sums({c.rows, c.columns});
      wide_->multiply(ConvertedMatrix<W>(a).view().data, sums.data());
      put_converted<W>(matrix(sums.data(), c.rows, c.columns), c, false);
    }
  }
  struct None {};
  template <class V>
  using Packed = std::optional<std::conditional_t<onednn::supports<V>, onednn::PackedMatrix<V>, None>>;
  Packed<W> wide_;
  Packed<T> packed_;
#endif
  MatrixView<const W> b_;
  [[maybe_unused]] std::int64_t rows_;
};

}  // namespace lpw::inline LPW_ABI
