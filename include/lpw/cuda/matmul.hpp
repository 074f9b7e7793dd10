// primitives/matmul.hpp on the GPU: one call of cuBLAS, or where members share an operand of several matrices, one for
// each member.
#pragma once

#include <cassert>

#include <lpw/cuda/gemm.hpp>
#include <lpw/primitives/matmul.hpp>

namespace lpw::inline LPW_ABI {

/// Throws ShapeError past 2^31 - 1 of anything that cuBLAS counts.
template <class T, class P>
void multiply_matrices(const MatrixStack<T, Cuda>& a, const MatrixStack<T, Cuda>& b, Gradient<P, Cuda>& product) {
  const std::int64_t members = product.tensor.dim(0), of_member = a.of_member(), rows = a.rows(), columns = b.columns();
  assert(a.columns() == b.rows() && b.of_member() == of_member);
  const auto even = [&](const auto& tensor) { return of_member == 1 || tensor.contiguous(); };
  const auto shared = [&](const Tensor<T, Cuda>& tensor) { return members > 1 && tensor.dim(0) == 1; };
  const bool at_once = even(a.tensor) && even(b.tensor) && even(product.tensor) &&
                       (of_member == 1 || (!shared(a.tensor) && !shared(b.tensor)));
  const auto of = [&](const MatrixStack<T, Cuda>& stack, std::int64_t k) {
    const std::int64_t lying_rows = stack.tensor.dim(-2), lying = stack.tensor.dim(-1);
    const std::int64_t apart = of_member > 1          ? lying_rows * lying
                               : shared(stack.tensor) ? 0
                                                      : stack.tensor.row_stride();
    return cuda::Matrices<const T>{stack.member(k), lying_rows, lying, lying, apart, stack.transposed};
  };
  const std::int64_t apart = of_member > 1 ? rows * columns : product.tensor.row_stride();
  for (std::int64_t k = 0; k < (at_once ? 1 : members); ++k) {
    const cuda::Matrices<P> to{product.tensor.row(k), rows, columns, columns, apart};
    cuda::gemm<T>(at_once ? members * of_member : of_member, of(a, k), of(b, k), to, product.accumulate);
  }
}

}  // namespace lpw::inline LPW_ABI
