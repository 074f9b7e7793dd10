// The linear operation y = x W^T + b.
#pragma once

#include <optional>

#include <lpw/autograd/elementwise.hpp>
#include <lpw/autograd/rank_one.hpp>

namespace lpw::inline LPW_ABI {

namespace detail {

template <class T, class D, class W = Accumulate<T>>
[[nodiscard]] Variable<T, D> linear(const Variable<T, D>& x, const Variable<W, D>& weight, const Variable<W, D>* bias,
                                    std::function<Tensor<W, D>()> remake = {}) {
  const Shape &in = x.shape(), &matrix = weight.shape();
  require_axes("linear", "[K B F]", in.rank() == 3, in);
  require<ShapeError>(matrix.rank() == 3 && in[2] == matrix[2], "linear: x has ", in[2], " features ",
                      describe(in, "KBF"), ", weight is ", describe(matrix, "KOF"));
  require_elements("linear", in);
  require_elements("linear", matrix);
  require_member_rows("linear", "weight", matrix[0], in[0]);
  const Shape bias_shape = bias ? bias->shape() : Shape{1, matrix[1]};
  require<ShapeError>(bias_shape.rank() == 2 && bias_shape[1] == matrix[1], "linear: bias is ",
                      describe(bias_shape, "KO"), ", weight is ", describe(matrix, "KOF"));
  require_member_rows("linear", "bias", bias_shape[0], in[0]);
  const auto value = x.value(), saved = weight.needs_gradient() ? value : Tensor<T, D>();
  WeightRows<W, D> rows(weight, std::move(remake));
  auto y = linear_forward(value, rows.value(), bias ? bias->rows() : Tensor<W, D>());
  rows.forget();
  return record(
      "linear", std::move(y),
      [saved, in, rows = std::move(rows), bias_shape, dx = x.edge(), dw = weight.row_edge(),
       db = bias ? bias->row_edge() : Edge<W, D>()](Tensor<T, D> dy) {
        if (db.needed()) {
          auto target = db.sink(bias_shape);
          linear_backward_bias(dy, target);
        }
        if (dw.needed()) {
          auto target = dw.sink(rows.shape());
          linear_backward_weight(saved, dy, target);
        }
        if (dx.needed()) {
          auto target = dx.sink(in);
          linear_backward_data(dy, rows.value(), target);
        }
      },
      x, weight, bias);
}

}  // namespace detail

/// x [K, B, in], weight [1 or K, out, in] -> x W^T [K, B, out]. Throws ShapeError if features or member rows do not
/// fit.
template <class T, class D>
[[nodiscard]] Variable<T, D> linear(const Variable<T, D>& x, const Variable<Accumulate<T>, D>& weight) {
  return detail::linear(x, weight, static_cast<const Variable<Accumulate<T>, D>*>(nullptr));
}

/// As above, with bias [1 or K, out] added to every row.
template <class T, class D>
[[nodiscard]] Variable<T, D> linear(const Variable<T, D>& x, const Variable<Accumulate<T>, D>& weight,
                                    const Variable<Accumulate<T>, D>& bias) {
  return detail::linear(x, weight, &bias);
}

/// The same with a weight that has factors or none: ((x o s) W^T) o r + b.
template <class T, class D>
[[nodiscard]] Variable<T, D> linear(const Variable<T, D>& x, const MemberWeight<Accumulate<T>, D>& weight,
                                    const std::optional<Variable<Accumulate<T>, D>>& bias = {}) {
  if (!weight.factors) return detail::linear(x, weight.rows, bias ? &*bias : nullptr, weight.remake);
  const auto y = scale_channels(linear(scale_channels(x, weight.factors->input), weight.rows), weight.factors->output);
  return bias ? add_channels(y, *bias) : y;
}

}  // namespace lpw::inline LPW_ABI
