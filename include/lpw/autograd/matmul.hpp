// Products of matrices of activations; those with a weight are linear's.
#pragma once

#include <lpw/autograd/elementwise.hpp>
#include <lpw/primitives/mapping.hpp>
#include <lpw/primitives/matmul.hpp>

namespace lpw::inline LPW_ABI {

/// Which operands of matmul are transposed in their last two axes.
struct MatmulOptions {
  bool transpose_a = false, transpose_b = false;  // of the operands a and b
};

namespace detail {

/// dx (+)= a b; summed over the members first, where they share x, before anything is rounded to T.
template <class T, class D>
void put_product(const MatrixStack<T, D>& a, const MatrixStack<T, D>& b, std::int64_t members, const Shape& x,
                 const Edge<T, D>& dx) {
  using W = Accumulate<T>;
  auto target = dx.sink(x);
  if (x[0] == members) return multiply_matrices(a, b, target);
  const Shape all = x.with(0, members);
  Gradient<W, D> product{Tensor<W, D>(all)};
  multiply_matrices(a, b, product);
  Strides along = strides_of(target.tensor);
  along[0] = 0;
  sum_function<Function::identity>(all, FunctionInputs<W, W, D>{.x = Strided<W, D>::of(product.tensor)},
                                   StridedTarget<T, D>{{target.tensor, along}, target.accumulate});
}

}  // namespace detail

/// a [1 or K, ..., M, N] times b [1 or K, ..., N, P]: [K, ..., M, P], a product for each index of the axes before the
/// last two; with transpose_a a is [..., N, M], with transpose_b b is [..., P, N]. An operand of one member is shared
/// by all. Saves both. Throws ShapeError where they do not fit.
template <class T, class D>
[[nodiscard]] Variable<T, D> matmul(const Variable<T, D>& a, const Variable<T, D>& b,
                                    const MatmulOptions& options = {}) {
  const Shape &left = a.shape(), &right = b.shape();
  const int rank = left.rank();
  require<ShapeError>(rank >= 3 && right.rank() == rank, "matmul: expected a and b [K ... M N], got ", left, " and ",
                      right, "; K is the axis of the members, 1 for what they share");
  detail::require_elements("matmul", left);
  detail::require_elements("matmul", right);
  const std::int64_t members = std::max(left[0], right[0]);
  const bool fit = (left[0] == 1 || left[0] == members) && (right[0] == 1 || right[0] == members);
  require<ShapeError>(fit && left.slice(1, rank - 2) == right.slice(1, rank - 2), "matmul: a ", left, " and b ", right,
                      " differ before their last two axes; only the members' axis may be 1 in one of them");
  const std::int64_t inner = left[options.transpose_a ? -2 : -1], rows = left[options.transpose_a ? -1 : -2];
  const std::int64_t terms = right[options.transpose_b ? -1 : -2], columns = right[options.transpose_b ? -2 : -1];
  require<ShapeError>(inner == terms, "matmul: a ", left, " has ", inner, " columns, b ", right, " has ", terms,
                      " rows, as transpose_a and transpose_b say");
  Shape shape = left.slice(0, rank - 2).with(0, members);
  shape.append(rows);
  shape.append(columns);
  const MatrixStack<T, D> x{a.value(), options.transpose_a}, y{b.value(), options.transpose_b};
  Gradient<T, D> product{Tensor<T, D>(shape)};
  multiply_matrices(x, y, product);
  return record(
      {"matmul",
       {{"transpose_a", std::int64_t{options.transpose_a}}, {"transpose_b", std::int64_t{options.transpose_b}}}},
      product.tensor,
      [left, right, members, options, x = b.needs_gradient() ? x : MatrixStack<T, D>{},
       y = a.needs_gradient() ? y : MatrixStack<T, D>{}, da = a.edge(), db = b.edge()](Tensor<T, D> dy) {
        const MatrixStack<T, D> d{std::move(dy)};
        if (da.needed()) {
          if (options.transpose_a) {
            detail::put_product(y, d.transpose(), members, left, da);
          } else {
            detail::put_product(d, y.transpose(), members, left, da);
          }
        }
        if (!db.needed()) return;
        if (options.transpose_b) {
          detail::put_product(d.transpose(), x, members, right, db);
        } else {
          detail::put_product(x.transpose(), d, members, right, db);
        }
      },
      a, b);
}

}  // namespace lpw::inline LPW_ABI
