// A part of an axis, and all parts of it.
#pragma once

#include <vector>

#include <lpw/autograd/axes.hpp>
#include <lpw/autograd/elementwise.hpp>

namespace lpw::inline LPW_ABI {

/// Which part: indices [first, first + count) of an axis.
struct SliceOptions {
  int axis = -1;                      // a negative one counts from the end
  std::int64_t first = 0, count = 1;  // indices
};

/// That part of x, of which `axis` stays with extent `count`. It shares memory where the axis is the first, or all
/// before it have extent 1; else it is copied. Of axis 0 these are members. Throws ShapeError for a part that x has
/// not.
template <class T, class D>
[[nodiscard]] Variable<T, D> slice(const Variable<T, D>& x, const SliceOptions& options) {
  const Shape in = x.shape();
  const int axis = detail::axis_of("slice", in, options.axis);
  const std::int64_t first = options.first, count = options.count;
  const AxisPart part{first, count};
  require<ShapeError>(part.within(in[axis]), "slice: ", part, " of axis ", axis, " of ", in, ", which has ", in[axis]);
  const Shape shape = in.with(axis, count);
  const Tensor<T, D> whole = x.value();
  using Inputs = FunctionInputs<T, T, D>;
  Tensor<T, D> y;
  if (in.slice(0, axis).size() == 1) {
    y = whole.reshaped(in.slice(axis, in.rank())).rows(first, count).reshaped(shape);
  } else {
    y = Tensor<T, D>(shape);
    const Strides strides = strides_of(whole);
    apply_function<Function::identity>(shape, Inputs{.x = {whole, strides, first * strides[to_size(axis)]}},
                                       StridedTarget<T, D>{Strided<T, D>::of(y)});
  }
  return record(
      {"slice", {{"axis", std::int64_t{axis}}, {"first", first}, {"count", count}}}, std::move(y),
      [in, shape, axis, first, dx = x.edge()](Tensor<T, D> dy) {
        auto target = dx.sink(in);
        if (!target.accumulate) fill(target.tensor, T(0));
        const Strides strides = strides_of(target.tensor);
        apply_function<Function::identity>(
            shape, Inputs{.x = Strided<T, D>::of(dy)},
            StridedTarget<T, D>{{target.tensor, strides, first * strides[to_size(axis)]}, target.accumulate});
      },
      x);
}

/// Into which parts: as many equal ones, or of the extents that are given.
struct SplitOptions {
  int axis = -1;                           // a negative one counts from the end
  std::int64_t parts = 2;                  // as many as are to be equal
  std::vector<std::int64_t> extents = {};  // of each part, in place of `parts`; empty: that counts
};

/// The slices of x that its axis is cut into, in their order: concat's inverse. Throws ShapeError where equal parts, or
/// these extents, are not the axis.
template <class T, class D>
[[nodiscard]] std::vector<Variable<T, D>> split(const Variable<T, D>& x, const SplitOptions& options) {
  const int axis = detail::axis_of("split", x.shape(), options.axis);
  const std::int64_t whole = x.shape()[axis];
  std::vector<std::int64_t> extents = options.extents;
  if (extents.empty()) {
    require<ShapeError>(options.parts > 0 && whole % options.parts == 0, "split: axis ", axis, " of ", x.shape(),
                        " is not ", options.parts, " equal parts; give their extents");
    extents.assign(to_size(options.parts), whole / options.parts);
  }
  std::int64_t together = 0;
  for (const std::int64_t extent : extents) together += extent;
  require<ShapeError>(together == whole, "split: the parts have ", together, " together, axis ", axis, " of ",
                      x.shape(), " has ", whole);
  std::vector<Variable<T, D>> result;
  std::int64_t first = 0;
  for (const std::int64_t extent : extents) {
    result.push_back(slice(x, {.axis = axis, .first = first, .count = extent}));
    first += extent;
  }
  return result;
}

}  // namespace lpw::inline LPW_ABI
