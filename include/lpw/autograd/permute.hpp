// The same elements with their axes in another order.
#pragma once

#include <vector>

#include <lpw/autograd/axes.hpp>
#include <lpw/autograd/elementwise.hpp>

namespace lpw::inline LPW_ABI {

namespace detail {

/// x as operation `name`: axis i of the result is axis axes[i] of x.
template <class T, class D>
[[nodiscard]] Variable<T, D> permute(const Operation& operation, const Variable<T, D>& x,
                                     const std::vector<int>& axes) {
  const Tensor<T, D> in = x.rows();
  const Strides from = strides_of(in);
  Shape shape;
  Strides of_x{};  // along the axes of the result
  for (std::size_t axis = 0; axis < axes.size(); ++axis) {
    shape.append(in.dim(axes[axis]));
    of_x[axis] = from[to_size(axes[axis])];
  }
  Tensor<T, D> y(shape);
  using Inputs = FunctionInputs<T, T, D>;
  apply_function<Function::identity>(shape, Inputs{.x = {in, of_x}}, StridedTarget<T, D>{Strided<T, D>::of(y)});
  return record(
      operation, std::move(y),
      [axes, own = in.shape(), dx = x.row_edge()](Tensor<T, D> dy) {
        const Strides along = strides_of(dy);
        Strides of_dy{};  // along the axes of x
        for (std::size_t axis = 0; axis < axes.size(); ++axis) of_dy[to_size(axes[axis])] = along[axis];
        const auto target = dx.sink(own);
        apply_function<Function::identity>(own, Inputs{.x = {dy, of_dy}}, StridedTarget<T, D>::of(target));
      },
      x);
}

}  // namespace detail

/// Axis i of the result is axis axes[i] of x [K, ...], copied: permute(x, {0, 2, 1, 3}) of [K, B, T, F] is
/// [K, T, B, F]. The members' axis stays the first. Throws ShapeError unless each axis is named once.
template <class T, class D>
[[nodiscard]] Variable<T, D> permute(const Variable<T, D>& x, const std::vector<int>& axes) {
  const unsigned bits = detail::axis_bits("permute", x.shape(), axes);
  require<ShapeError>(bits == (1u << x.shape().rank()) - 1, "permute: ", axes.size(), " axes for ", x.shape(),
                      "; name each of its axes once");
  std::vector<int> from_front;
  for (const int axis : axes) from_front.push_back(detail::axis_of("permute", x.shape(), axis));
  require<ShapeError>(axes.empty() || from_front[0] == 0,
                      "permute: axis 0 is the members' and stays the first; begin with 0");
  std::int64_t digits = 0;  // 2 1 3 where the axes are 0, 2, 1, 3
  for (const int axis : from_front) digits = 10 * digits + axis;
  return detail::permute({"permute", {{"axes", digits}}}, x, from_front);
}

/// x with two axes swapped, copied; neither is the members'. Throws ShapeError.
template <class T, class D>
[[nodiscard]] Variable<T, D> transpose(const Variable<T, D>& x, int first = -2, int second = -1) {
  const int a = detail::axis_of("transpose", x.shape(), first), b = detail::axis_of("transpose", x.shape(), second);
  require<ShapeError>(a > 0 && b > 0, "transpose: axis 0 of ", x.shape(), " is the members' and stays the first");
  std::vector<int> axes;
  for (int axis = 0; axis < x.shape().rank(); ++axis) axes.push_back(axis == a ? b : axis == b ? a : axis);
  return detail::permute({"transpose", {{"first", std::int64_t{a}}, {"second", std::int64_t{b}}}}, x, axes);
}

}  // namespace lpw::inline LPW_ABI
