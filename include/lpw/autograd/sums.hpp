// Sums and means over axes. They are Accumulate<T>: float for the 16-bit types, as losses and statistics are.
#pragma once

#include <vector>

#include <lpw/autograd/axes.hpp>
#include <lpw/autograd/elementwise.hpp>

namespace lpw::inline LPW_ABI {

/// Over which axes a sum or mean goes, by default over all but the members'; and whether these stay, with extent 1. The
/// members' axis, 0, stays always: summed over, where it is named, it is [1, ...], what the members share.
struct ReduceOptions {
  std::vector<int> over = {};  // axes; negative ones count from the end
  bool keep = false;           // with extent 1
};

namespace detail {

/// The axes that a reduction sums over: a bit for each.
[[nodiscard]] inline unsigned reduced_axes(const char* operation, const Shape& x, const ReduceOptions& options) {
  require_axes(operation, "[K ...]", x.rank() >= 1, x);
  require_elements(operation, x);
  if (!options.over.empty()) return axis_bits(operation, x, options.over);
  return (1u << x.rank()) - 2u;
}

/// factor times the sum of x over the axes.
template <class T, class D, class W = Accumulate<T>>
[[nodiscard]] Variable<W, D> reduce(const char* name, const Variable<T, D>& x, unsigned over, bool keep,
                                    double factor) {
  const Shape shape = x.shape();
  Shape all, result;
  for (int axis = 0; axis < shape.rank(); ++axis) {
    const bool summed = over >> axis & 1u;
    all.append(summed ? 1 : shape[axis]);
    if (!summed || keep || axis == 0) result.append(summed ? 1 : shape[axis]);
  }
  Tensor<W, D> y(result);
  Strides along = strides_of(y.reshaped(all));
  for (int axis = 0; axis < shape.rank(); ++axis)
    if (over >> axis & 1u) along[to_size(axis)] = 0;
  using Inputs = FunctionInputs<T, W, D>;
  sum_function<Function::affine>(shape, Inputs{.x = Strided<T, D>::of(x.rows()), .scale = factor},
                                 StridedTarget<W, D>{{y, along}});
  return record(
      {name, {{"over", axes_attribute(over)}, {"keep", std::int64_t{keep}}}}, std::move(y),
      [shape, along, factor, dx = x.row_edge()](Tensor<W, D> dy) {
        const auto target = dx.sink(shape);
        apply_function<Function::spread>(shape, Inputs{.b = {dy, along}, .scale = factor},
                                         StridedTarget<T, D>::of(target));
      },
      x);
}

}  // namespace detail

/// The sum of x [K, ...] over axes: sum(x) is [K], sum(x, {.over = {-1}}) lacks the last axis. Throws ShapeError for
/// axes that x has not, and for a tensor without elements.
template <class T, class D>
[[nodiscard]] Variable<Accumulate<T>, D> sum(const Variable<T, D>& x, const ReduceOptions& options = {}) {
  return detail::reduce("sum", x, detail::reduced_axes("sum", x.shape(), options), options.keep, 1);
}

/// The mean of x [K, ...] over axes, as of sum.
template <class T, class D>
[[nodiscard]] Variable<Accumulate<T>, D> mean(const Variable<T, D>& x, const ReduceOptions& options = {}) {
  const unsigned over = detail::reduced_axes("mean", x.shape(), options);
  std::int64_t count = 1;
  for (int axis = 0; axis < x.shape().rank(); ++axis) count *= over >> axis & 1u ? x.shape()[axis] : 1;
  return detail::reduce("mean", x, over, options.keep, 1 / static_cast<double>(count));
}

}  // namespace lpw::inline LPW_ABI
