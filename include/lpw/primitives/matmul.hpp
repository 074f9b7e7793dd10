// Products of stacks of matrices, one product for each index of the axes before the last two.
//
// multiply_matrices(a, b, product):
//   product [K, ..., M, P] (+)= a b, for a [1 or K, ..., M, N] and b [1 or K, ..., N, P], each of which may lie
//   transposed; sums in W. The product is of T or of W.
#pragma once

#include <lpw/primitives/gradient.hpp>

namespace lpw::inline LPW_ABI {

/// Matrices [1 or K, ..., rows, columns], or where they lie transposed, [1 or K, ..., columns, rows].
template <class T, class Device>
struct MatrixStack {
  Tensor<T, Device> tensor;  // as it lies
  bool transposed = false;   // whether columns come before rows in it

  /// The same memory, read the other way.
  [[nodiscard]] MatrixStack transpose() const { return {tensor, !transposed}; }
  /// Of a matrix.
  [[nodiscard]] std::int64_t rows() const { return tensor.dim(transposed ? -1 : -2); }
  /// Of a matrix.
  [[nodiscard]] std::int64_t columns() const { return tensor.dim(transposed ? -2 : -1); }
  /// Matrices of a member.
  [[nodiscard]] std::int64_t of_member() const { return tensor.shape().slice(1, tensor.shape().rank() - 2).size(); }
  /// Where a member's begin.
  [[nodiscard]] const T* member(std::int64_t k) const { return tensor.dim(0) == 1 ? tensor.data() : tensor.row(k); }
};

}  // namespace lpw::inline LPW_ABI
