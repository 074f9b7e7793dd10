// A view of a matrix: what gemm takes. Transposing swaps the strides; no element moves.
#pragma once

#include <cstdint>
#include <type_traits>

#include <lpw/cpu/base/parallel.hpp>
#include <lpw/cpu/base/put_row.hpp>
#include <lpw/tensor/tensor.hpp>

namespace lpw::inline LPW_ABI {

/// rows x columns elements, element (i, j) at data[i row_stride + j column_stride]. One of the strides is 1.
template <class T>
struct MatrixView {
  T* data = nullptr;                                                      // of the first element
  std::int64_t rows = 0, columns = 0, row_stride = 0, column_stride = 1;  // in elements

  /// The same memory, read the other way.
  [[nodiscard]] MatrixView transposed() const { return {data, columns, rows, column_stride, row_stride}; }
  /// Rows [first, last).
  [[nodiscard]] MatrixView row_range(std::int64_t first, std::int64_t last) const {
    return {data + first * row_stride, last - first, columns, row_stride, column_stride};
  }
  /// Columns [first, last).
  [[nodiscard]] MatrixView column_range(std::int64_t first, std::int64_t last) const {
    return {data + first * column_stride, rows, last - first, row_stride, column_stride};
  }
  /// True if rows are contiguous, false if columns are.
  [[nodiscard]] bool row_major() const { return column_stride == 1; }

  /// The same to be read only.
  template <class U>
    requires(std::is_same_v<U, const T> && !std::is_const_v<T>)
  operator MatrixView<U>() const { return {data, rows, columns, row_stride, column_stride}; }
};

/// The packed row-major matrix at `data`.
template <class T>
[[nodiscard]] MatrixView<T> matrix(T* data, std::int64_t rows, std::int64_t columns) {
  return {data, rows, columns, columns, 1};
}

/// to (+)= from, converted; both with contiguous rows.
template <class From, class To>
void put_converted(MatrixView<const From> from, MatrixView<To> to, bool accumulate) {
  using W = Accumulate<To>;
  parallel_for(from.rows, from.columns, [&](std::int64_t i) {
    const From* in = from.data + i * from.row_stride;
    To* out = to.data + i * to.row_stride;
    detail::put_row(out, from.columns, accumulate, [in](std::int64_t j) { return W(in[j]); });
  });
}

/// A matrix in another element type: a view of the original where the types agree, else of a converted, packed copy in
/// pooled memory.
template <class To>
class ConvertedMatrix {
 public:
  /// It refers to `from` where the types agree.
  template <class From>
  explicit ConvertedMatrix(MatrixView<const From> from) {
    if constexpr (std::is_same_v<From, To>) {
      view_ = from;
    } else {
      const bool flip = !from.row_major();
      if (flip) from = from.transposed();
      copy_ = Tensor<To, Cpu>({from.rows, from.columns});
      const auto to = matrix(copy_.data(), from.rows, from.columns);
      put_converted(from, to, false);
      view_ = flip ? to.transposed() : to;
    }
  }
  /// Of the converted matrix.
  [[nodiscard]] MatrixView<const To> view() const { return view_; }

 private:
  Tensor<To, Cpu> copy_;
  MatrixView<const To> view_;
};

}  // namespace lpw::inline LPW_ABI
