// Sums, differences, products and quotients of elements, and a scale and shift by constants.
//
// Of two operands the first has the result's shape. The second has the same, or is repeated along axes that the caller
// names (Broadcast): nothing is broadcast in silence. It may be a parameter, of Accumulate<T>. The gradient of a
// repeated operand is the sum over these axes, in Accumulate<T> or wider, rounded once.
#pragma once

#include <lpw/autograd/axes.hpp>
#include <lpw/autograd/elementwise.hpp>

namespace lpw::inline LPW_ABI {

namespace detail {

/// gradient (+)= f over the indices of `shape`, summed over those axes along which `along` is 0: as its value lies, but
/// for the member rows, which may lie otherwise.
template <Function f, class T, class B, class Out, class D>
void put_gradient(const Shape& shape, const FunctionInputs<T, B, D>& inputs, const Edge<Out, D>& edge, const Shape& own,
                  Strides along) {
  const auto gradient = edge.sink(own);
  if (along[0] != 0) along[0] = gradient.tensor.row_stride();
  const StridedTarget<Out, D> target{{gradient.tensor, along}, gradient.accumulate};
  if constexpr (std::is_same_v<T, Out>)
    if (own.size() == shape.size()) return apply_function<f>(shape, inputs, target);
  sum_function<f>(shape, inputs, target);
}

/// y = f(a, b), whose gradients are to_a(dy, b) and to_b(dy, a, b), b lying `along` the axes of a.
template <Function f, Function to_a, Function to_b, class T, class B, class D>
[[nodiscard]] Variable<T, D> combine(const Operation& operation, const Variable<T, D>& a, const Variable<B, D>& b,
                                     const Strides& along) {
  static_assert(std::is_same_v<B, T> || std::is_same_v<B, Accumulate<T>>,
                "the second operand has the first's element type, or that of its parameters");
  const Shape shape = a.shape();
  const Tensor<T, D> x = a.rows();
  const Tensor<B, D> other = b.rows();
  Tensor<T, D> y(shape);
  apply_function<f>(shape, FunctionInputs<T, B, D>{.x = Strided<T, D>::of(x), .b = {other, along}},
                    StridedTarget<T, D>{Strided<T, D>::of(y)});
  const bool keep_a = reads_y(to_b) && b.needs_gradient();
  const bool keep_b = (reads_b(to_a) && a.needs_gradient()) || (reads_b(to_b) && b.needs_gradient());
  return record(
      operation, std::move(y),
      [shape, along, own = b.shape(), kept_a = keep_a ? x : Tensor<T, D>(), kept_b = keep_b ? other : Tensor<B, D>(),
       da = a.row_edge(), db = b.row_edge()](Tensor<T, D> dy) {
        FunctionInputs<T, B, D> inputs{.x = Strided<T, D>::of(dy), .b = {kept_b, along}};
        if (db.needed()) {
          if (!kept_a.empty()) inputs.y = Strided<T, D>::of(kept_a);
          put_gradient<to_b>(shape, inputs, db, own, along);
        }
        if (!da.needed()) return;
        if constexpr (to_a == Function::identity) {
          da.add(std::move(dy));
        } else {
          const auto target = da.sink(shape);
          apply_function<to_a>(shape, inputs, StridedTarget<T, D>::of(target));
        }
      },
      a, b);
}

/// The same where b is repeated as `broadcast` says; or where that is null, of equal shapes.
template <Function f, Function to_a, Function to_b, class T, class B, class D>
[[nodiscard]] Variable<T, D> combine(const char* name, const Variable<T, D>& a, const Variable<B, D>& b,
                                     const Broadcast* broadcast) {
  const Strides own = strides_of(b.rows());
  if (!broadcast) {
    require_equal(name, a.shape(), b.shape());
    return combine<f, to_a, to_b>(name, a, b, own);
  }
  require_elements(name, a.shape());
  const Strides along = broadcast_strides(name, a.shape(), b.shape(), own, *broadcast);
  const std::int64_t over = axes_attribute(axis_bits(name, a.shape(), broadcast->over));
  return combine<f, to_a, to_b>({name, {{"over", over}}}, a, b, along);
}

}  // namespace detail

/// a + b, with b repeated along axes of a. Throws ShapeError where b does not fit, with what to write.
template <class T, class B, class D>
[[nodiscard]] Variable<T, D> add(const Variable<T, D>& a, const Variable<B, D>& b, const Broadcast& broadcast) {
  return detail::combine<Function::add, Function::identity, Function::identity>("add", a, b, &broadcast);
}

/// a - b, of equal shapes. Throws ShapeError for others.
template <class T, class D>
[[nodiscard]] Variable<T, D> sub(const Variable<T, D>& a, const Variable<T, D>& b) {
  return detail::combine<Function::subtract, Function::identity, Function::negative>("sub", a, b, nullptr);
}
/// The same with b repeated along axes of a.
template <class T, class B, class D>
[[nodiscard]] Variable<T, D> sub(const Variable<T, D>& a, const Variable<B, D>& b, const Broadcast& broadcast) {
  return detail::combine<Function::subtract, Function::identity, Function::negative>("sub", a, b, &broadcast);
}

/// a b, element by element, of equal shapes. Throws ShapeError for others. Saves a and b.
template <class T, class D>
[[nodiscard]] Variable<T, D> mul(const Variable<T, D>& a, const Variable<T, D>& b) {
  return detail::combine<Function::multiply, Function::multiply, Function::product>("mul", a, b, nullptr);
}
/// The same with b repeated along axes of a.
template <class T, class B, class D>
[[nodiscard]] Variable<T, D> mul(const Variable<T, D>& a, const Variable<B, D>& b, const Broadcast& broadcast) {
  return detail::combine<Function::multiply, Function::multiply, Function::product>("mul", a, b, &broadcast);
}

/// a / b, element by element, of equal shapes. Throws ShapeError for others. Saves a and b.
template <class T, class D>
[[nodiscard]] Variable<T, D> div(const Variable<T, D>& a, const Variable<T, D>& b) {
  return detail::combine<Function::divide, Function::divide, Function::divisor_slope>("div", a, b, nullptr);
}
/// The same with b repeated along axes of a.
template <class T, class B, class D>
[[nodiscard]] Variable<T, D> div(const Variable<T, D>& a, const Variable<B, D>& b, const Broadcast& broadcast) {
  return detail::combine<Function::divide, Function::divide, Function::divisor_slope>("div", a, b, &broadcast);
}

/// The constants of affine.
struct AffineOptions {
  double scale = 1, shift = 0;  // of x times scale, plus shift
};

/// scale x + shift.
template <class T, class D>
[[nodiscard]] Variable<T, D> affine(const Variable<T, D>& x, const AffineOptions& options) {
  const Shape shape = x.shape();
  Tensor<T, D> y(shape);
  using Inputs = FunctionInputs<T, T, D>;
  apply_function<Function::affine>(
      shape, Inputs{.x = Strided<T, D>::of(x.rows()), .scale = options.scale, .shift = options.shift},
      StridedTarget<T, D>{Strided<T, D>::of(y)});
  return record(
      {"affine", {{"scale", options.scale}, {"shift", options.shift}}}, std::move(y),
      [shape, scale = options.scale, dx = x.row_edge()](Tensor<T, D> dy) {
        const auto target = dx.sink(shape);
        apply_function<Function::affine>(shape, Inputs{.x = Strided<T, D>::of(dy), .scale = scale},
                                         StridedTarget<T, D>::of(target));
      },
      x);
}

}  // namespace lpw::inline LPW_ABI
