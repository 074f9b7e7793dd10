// Table look-up.
#pragma once

#include <utility>

#include <lpw/autograd/elementwise.hpp>
#include <lpw/autograd/rank_one.hpp>

namespace lpw::inline LPW_ABI {

namespace detail {

template <class T, class D>
void check_embedding(const Shape& in, const MemberWeight<Accumulate<T>, D>& weight) {
  const Shape& table = weight.rows.shape();
  require<ShapeError>(in.rank() >= 2 && table.rank() == 3, "embedding: indices ", in, ", weight ", table,
                      "; expected [K B ...] and [1 or K, vocabulary, features]");
  require_elements("embedding", in);
  require_elements("embedding", table);
  require_member_rows("embedding", "weight", table[0], in[0]);
  if (weight.factors) check_rank_one("embedding", in[0], table, *weight.factors);
}

/// `parts`: the variables that the table is made of, as inputs to record. Backward reads no table, so that one that was
/// made for this operation is not made again.
template <class T, class D, class... Parts>
[[nodiscard]] Variable<T, D> record_embedding(const Variable<std::int32_t, D>& indices,
                                              FormedWeight<Accumulate<T>, D> table, const Parts&... parts) {
  const Tensor<std::int32_t, D> places = indices.activation().raw;
  auto y = embedding_forward<T>(places, table.value());
  table.forget_value();
  return record(
      "embedding", std::move(y),
      [places, table = std::move(table)](Tensor<T, D> dy) {
        table.add_gradients([&](auto& target) { embedding_backward(places, dy, target); });
      },
      indices, parts...);
}

}  // namespace detail

/// The rows of weight [1 or K, V, E], with factors or none, at indices [K, B...]: [K, B..., E]. With factors r [1 or K,
/// V] and s [1 or K, E] member k's row i is r_k[i] s_k o W[i]. These tables are formed: in forward [K, V, E] of
/// them beside K copies of W, in backward [K, V, E] of gradients. That is little for a small vocabulary, and
/// `member_chunk` bounds K. `indices` comes from
/// Tape::input. Throws ShapeError, and on the CPU Error for an index outside [0, V); on a device whose work is not
/// waited for, the row of such an index is NaN.
template <class T, class D>
[[nodiscard]] Variable<T, D> embedding(const Variable<std::int32_t, D>& indices,
                                       const MemberWeight<Accumulate<T>, D>& weight) {
  detail::check_embedding<T, D>(indices.shape(), weight);
  detail::FormedWeight<Accumulate<T>, D> table(weight);
  if (!weight.factors) return detail::record_embedding<T, D>(indices, std::move(table), weight.rows);
  return detail::record_embedding<T, D>(indices, std::move(table), weight.rows, weight.factors->output,
                                        weight.factors->input);
}

/// The same for a weight without factors.
template <class T, class D>
[[nodiscard]] Variable<T, D> embedding(const Variable<std::int32_t, D>& indices,
                                       const Variable<Accumulate<T>, D>& weight) {
  return embedding<T, D>(indices, MemberWeight<Accumulate<T>, D>{weight});
}

}  // namespace lpw::inline LPW_ABI
