// Table look-up.
#pragma once

#include <lpw/autograd/elementwise.hpp>

namespace lpw::inline LPW_ABI {

/// The rows of weight [1 or K, V, E] at indices [K, B...]: [K, B..., E]. `indices` comes from Tape::input. Throws
/// ShapeError, and on the CPU Error for an index outside [0, V); on a device whose work is not waited for, the row of
/// such an index is NaN.
template <class T, class D>
[[nodiscard]] Variable<T, D> embedding(const Variable<std::int32_t, D>& indices,
                                       const Variable<Accumulate<T>, D>& weight) {
  const Shape &in = indices.shape(), &table = weight.shape();
  require<ShapeError>(in.rank() >= 2 && table.rank() == 3, "embedding: indices ", in, ", weight ", table,
                      "; expected [K B ...] and [1 or K, vocabulary, features]");
  detail::require_elements("embedding", in);
  detail::require_elements("embedding", table);
  detail::require_member_rows("embedding", "weight", table[0], in[0]);
  const Tensor<std::int32_t, D> places = indices.activation().raw;
  return record(
      "embedding", embedding_forward<T>(places, weight.rows()),
      [places, table, dw = weight.row_edge()](Tensor<T, D> dy) {
        auto target = dw.sink(table);
        embedding_backward(places, dy, target);
      },
      indices, weight);
}

}  // namespace lpw::inline LPW_ABI
