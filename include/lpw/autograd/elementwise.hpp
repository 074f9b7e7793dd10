// Element-wise operations: add, ReLU, and the per-member channel factors of rank-1 late-phase weights.
#pragma once

#include <lpw/autograd/axes.hpp>
#include <lpw/autograd/tape.hpp>
#include <lpw/tensor/float_bits.hpp>

namespace lpw::inline LPW_ABI {

namespace detail {

/// Operations that reduce, or leave it to a library to cut their work, take no tensors without elements.
inline void require_elements(const char* operation, const Shape& shape) {
  require<ShapeError>(shape.size() > 0, operation, ": a tensor of shape ", shape, " has no elements");
}

/// A normalisation's variance plus epsilon has a root.
inline void require_epsilon(const char* operation, double epsilon) {
  require<OptionError>(is_finite(epsilon) && epsilon >= 0, operation, ": epsilon ", epsilon,
                       "; expected a number of 0 or more");
}

/// Throws ShapeError for an input without the axes that an operation reads: most often without that of the members.
inline void require_axes(const char* operation, const char* axes, bool fits, const Shape& x) {
  require<ShapeError>(fits, operation, ": expected x ", axes, ", got ", x,
                      "; K is the axis of the members, 1 for a plain network");
}

/// A parameter of x [K, ..., C] has one row, shared by all members, or one row per member.
inline void require_member_rows(const char* operation, const char* name, std::int64_t rows, std::int64_t members) {
  if (rows == 1 || rows == members) return;
  require<ShapeError>(members != 1, operation, ": ", name, " has ", rows,
                      " member rows, the input is one minibatch [1 B ...]; pass [", rows,
                      " B ...], a minibatch for each member, or evaluate one member with Tape::evaluation({k, 1})");
  fail<ShapeError>(operation, ": ", name, " has ", rows, " member rows, the input has K=", members,
                   " members; expected 1 (shared) or ", members);
}

}  // namespace detail

/// a + b, of equal shapes; arithmetic.hpp has one that repeats b along axes. Overwrites a's memory where no other
/// handle or backward step holds it: pass it by std::move.
template <class T, class D>
[[nodiscard]] Variable<T, D> add(Variable<T, D> a, const Variable<T, D>& b) {
  detail::require_equal("add", a.shape(), b.shape());
  const auto inputs = std::pair{a.edge(), b.edge()};
  const Variable<T, D> place = a.without_value();
  return record(
      "add", add_forward(std::move(a).take(), b.value()),
      [inputs](Tensor<T, D> dy) {
        if (inputs.first.needed()) inputs.first.add(dy);
        if (inputs.second.needed()) inputs.second.add(std::move(dy));
      },
      place, b);
}

/// max(x, 0). Saves its result.
template <class T, class D>
[[nodiscard]] Variable<T, D> relu(const Variable<T, D>& x) {
  auto y = relu_forward(x.value());
  return record(
      "relu", y,
      [y, dx = x.edge()](Tensor<T, D> dy) {
        auto target = dx.sink(y.shape());
        relu_backward(y, dy, target);
      },
      x);
}

/// x [K, ..., C] times factor [1 or K, C] in every row: x o s_k.
template <class T, class D>
[[nodiscard]] Variable<T, D> scale_channels(const Variable<T, D>& x, const Variable<Accumulate<T>, D>& factor) {
  detail::require_axes("scale_channels", "[K ... C]", x.shape().rank() >= 2, x.shape());
  require<ShapeError>(factor.shape().rank() == 2 && factor.shape()[1] == x.shape()[-1], "scale_channels: x ", x.shape(),
                      " has ", x.shape()[-1], " channels, factor is ", describe(factor.shape(), "KC"));
  detail::require_elements("scale_channels", x.shape());
  detail::require_member_rows("scale_channels", "factor", factor.shape()[0], x.shape()[0]);
  const auto value = x.value(), saved = factor.needs_gradient() ? value : Tensor<T, D>();
  return record(
      "scale_channels", scale_channels_forward(value, factor.rows()),
      [saved, s = factor.rows(), dx = x.edge(), ds = factor.row_edge()](Tensor<T, D> dy) {
        if (ds.needed()) {
          auto target = ds.sink(s.shape());
          scale_channels_backward_factor(saved, dy, target);
        }
        if (dx.needed()) {
          auto target = dx.sink(dy.shape());
          scale_channels_backward_data(dy, s, target);
        }
      },
      x, factor);
}

/// x [K, ..., C] plus bias [1 or K, C] in every row.
template <class T, class D>
[[nodiscard]] Variable<T, D> add_channels(const Variable<T, D>& x, const Variable<Accumulate<T>, D>& bias) {
  detail::require_axes("add_channels", "[K ... C]", x.shape().rank() >= 2, x.shape());
  require<ShapeError>(bias.shape().rank() == 2 && bias.shape()[1] == x.shape()[-1], "add_channels: x ", x.shape(),
                      ", bias ", describe(bias.shape(), "KC"));
  detail::require_elements("add_channels", x.shape());
  detail::require_member_rows("add_channels", "bias", bias.shape()[0], x.shape()[0]);
  return record(
      "add_channels", add_channels_forward(x.value(), bias.rows()),
      [rows = bias.shape(), dx = x.edge(), db = bias.row_edge()](Tensor<T, D> dy) {
        if (db.needed()) {
          auto target = db.sink(rows);
          const auto view = MemberRows::of(dy.shape());
          linear_backward_bias(dy.reshaped({view.members, view.rows, view.channels}), target);
        }
        if (dx.needed()) dx.add(std::move(dy));
      },
      x, bias);
}

}  // namespace lpw::inline LPW_ABI
