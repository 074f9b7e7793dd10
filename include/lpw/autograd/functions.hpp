// Functions of one variable, element by element. Backward forms the derivative from x, in Accumulate<T>: of a rounded
// result, as 1 - tanh^2 near 1, little would be left.
#pragma once

#include <lpw/autograd/tape.hpp>
#include <lpw/primitives/mapping.hpp>

namespace lpw::inline LPW_ABI {

namespace detail {

template <Function f, class T, class D>
[[nodiscard]] Variable<T, D> apply(const Operation& operation, const Variable<T, D>& x) {
  const Shape shape = x.shape();
  const Tensor<T, D> in = x.rows();
  Tensor<T, D> y(shape);
  using Inputs = FunctionInputs<T, T, D>;
  apply_function<f>(shape, Inputs{.x = Strided<T, D>::of(in)}, StridedTarget<T, D>{Strided<T, D>::of(y)});
  return record(
      operation, std::move(y),
      [shape, in, dx = x.row_edge()](Tensor<T, D> dy) {
        const auto target = dx.sink(shape);
        apply_function<slope_of(f)>(shape, Inputs{.x = Strided<T, D>::of(dy), .y = Strided<T, D>::of(in)},
                                    StridedTarget<T, D>::of(target));
      },
      x);
}

}  // namespace detail

/// e^x.
template <class T, class D>
[[nodiscard]] Variable<T, D> exp(const Variable<T, D>& x) {
  return detail::apply<Function::exp>("exp", x);
}

/// The natural logarithm: -infinity at 0, NaN below.
template <class T, class D>
[[nodiscard]] Variable<T, D> log(const Variable<T, D>& x) {
  return detail::apply<Function::log>("log", x);
}

/// The square root: NaN below 0; its derivative is infinite at 0.
template <class T, class D>
[[nodiscard]] Variable<T, D> sqrt(const Variable<T, D>& x) {
  return detail::apply<Function::sqrt>("sqrt", x);
}

/// 1 / x: infinite at 0.
template <class T, class D>
[[nodiscard]] Variable<T, D> reciprocal(const Variable<T, D>& x) {
  const Shape shape = x.shape();
  const Tensor<T, D> in = x.rows();
  Tensor<T, D> one({1}), y(shape);
  fill(one, T(1));
  using Inputs = FunctionInputs<T, T, D>;
  apply_function<Function::divide>(shape, Inputs{.x = {one, Strides{}}, .b = Strided<T, D>::of(in)},
                                   StridedTarget<T, D>{Strided<T, D>::of(y)});
  return record(
      "reciprocal", std::move(y),
      [shape, in, one, dx = x.row_edge()](Tensor<T, D> dy) {
        const auto target = dx.sink(shape);
        const Inputs inputs{.x = Strided<T, D>::of(dy), .y = {one, Strides{}}, .b = Strided<T, D>::of(in)};
        apply_function<Function::divisor_slope>(shape, inputs, StridedTarget<T, D>::of(target));
      },
      x);
}

/// 1 / (1 + e^-x).
template <class T, class D>
[[nodiscard]] Variable<T, D> sigmoid(const Variable<T, D>& x) {
  return detail::apply<Function::sigmoid>("sigmoid", x);
}

/// The hyperbolic tangent.
template <class T, class D>
[[nodiscard]] Variable<T, D> tanh(const Variable<T, D>& x) {
  return detail::apply<Function::tanh>("tanh", x);
}

/// Which GELU.
struct GeluOptions {
  bool tanh = false;  // the approximation by tanh
};

/// x Phi(x) = x (1 + erf(x / sqrt 2)) / 2, or its approximation x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) / 2
/// (Hendrycks & Gimpel 2016): PyTorch's, with `approximate` "none" and "tanh".
template <class T, class D>
[[nodiscard]] Variable<T, D> gelu(const Variable<T, D>& x, const GeluOptions& options = {}) {
  if (options.tanh) return detail::apply<Function::gelu_tanh>({"gelu", {{"tanh", std::int64_t{1}}}}, x);
  return detail::apply<Function::gelu>({"gelu", {{"tanh", std::int64_t{0}}}}, x);
}

/// x / (1 + e^-x), also called swish.
template <class T, class D>
[[nodiscard]] Variable<T, D> silu(const Variable<T, D>& x) {
  return detail::apply<Function::silu>("silu", x);
}

}  // namespace lpw::inline LPW_ABI
