// primitives/matmul.hpp on the CPU: a product after the other, each shared out to the threads, or where there are as
// many as threads, each on one of them.
#pragma once

#include <cassert>

#include <lpw/cpu/gemm.hpp>
#include <lpw/primitives/matmul.hpp>

namespace lpw::inline LPW_ABI {

namespace detail {

/// Matrix i of member k.
template <class T>
[[nodiscard]] MatrixView<const T> matrix_of(const MatrixStack<T, Cpu>& stack, std::int64_t k, std::int64_t i) {
  const std::int64_t rows = stack.tensor.dim(-2), columns = stack.tensor.dim(-1);
  const auto lying = matrix(stack.member(k) + i * rows * columns, rows, columns);
  return stack.transposed ? lying.transposed() : lying;
}

}  // namespace detail

template <class T, class P>
void multiply_matrices(const MatrixStack<T, Cpu>& a, const MatrixStack<T, Cpu>& b, Gradient<P, Cpu>& product) {
  const std::int64_t members = product.tensor.dim(0), of_member = a.of_member(), rows = a.rows(), columns = b.columns();
  assert(a.columns() == b.rows() && b.of_member() == of_member);
  P* const out = product.tensor.data();
  const std::int64_t row_stride = product.tensor.row_stride(), count = members * of_member;
  const bool accumulate = product.accumulate;
  const auto multiply = [&](std::int64_t which) {
    const std::int64_t k = which / of_member, i = which % of_member;
    gemm(detail::matrix_of(a, k, i), detail::matrix_of(b, k, i),
         matrix(out + k * row_stride + i * rows * columns, rows, columns), accumulate);
  };
  if (count >= max_threads()) {
    parallel_for(count, products_cost(rows * columns * a.columns()), multiply);
  } else {
    for (std::int64_t which = 0; which < count; ++which) multiply(which);
  }
}

}  // namespace lpw::inline LPW_ABI
