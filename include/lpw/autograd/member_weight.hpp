// A dense weight as operations take it, whatever it is made of.
#pragma once

#include <functional>
#include <optional>
#include <utility>

#include <lpw/autograd/tape.hpp>

namespace lpw::inline LPW_ABI {

/// Rank-1 factors r [1 or K, O] and s [1 or K, C] of a weight [O, ..., C].
template <class W, class D>
struct RankOneFactors {
  Variable<W, D> output;  // r
  Variable<W, D> input;   // s
};

/// A dense weight as operations take it: rows [1 or K, O, ..., C], and factors where the members differ by these. Rows
/// that were made for this operation (K copies of a weight, say) come with what makes them again, so that backward need
/// not find them kept.
template <class W, class D>
struct MemberWeight {
  Variable<W, D> rows;                               // of the weight
  std::optional<RankOneFactors<W, D>> factors = {};  // by which they are multiplied
  std::function<Tensor<W, D>()> remake = {};         // gives their values again; empty: they are kept
};

namespace detail {

/// A weight's rows for an operation's forward and, later, its backward.
template <class W, class D>
class WeightRows {
 public:
  explicit WeightRows(const Variable<W, D>& rows, std::function<Tensor<W, D>()> remake = {})
      : shape_(rows.shape()), rows_(rows.rows()), remake_(std::move(remake)) {}
  explicit WeightRows(const MemberWeight<W, D>& weight) : WeightRows(weight.rows, weight.remake) {}

  [[nodiscard]] const Shape& shape() const { return shape_; }
  [[nodiscard]] Tensor<W, D> value() const { return rows_.empty() ? remake_() : rows_; }
  /// Lets go of rows that can be made again: forward has read them.
  void forget() {
    if (remake_) drop();
  }
  /// The same where backward reads none.
  void drop() { rows_ = {}; }

 private:
  Shape shape_;
  Tensor<W, D> rows_;
  std::function<Tensor<W, D>()> remake_;
};

}  // namespace detail
}  // namespace lpw::inline LPW_ABI
