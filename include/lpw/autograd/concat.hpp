// Tensors one behind the other.
#pragma once

#include <initializer_list>
#include <vector>

#include <lpw/autograd/axes.hpp>
#include <lpw/autograd/elementwise.hpp>

namespace lpw::inline LPW_ABI {

/// The parts along `axis`, in their order, copied: they have the same shape but for that axis. Of axis 0 these are
/// members. Throws ShapeError for parts that do not fit, or for none.
template <class T, class D>
[[nodiscard]] Variable<T, D> concat(const std::vector<Variable<T, D>>& parts, int axis) {
  require<ShapeError>(!parts.empty(), "concat: there are no parts; pass one or more");
  const Shape& front = parts.front().shape();
  const int at = detail::axis_of("concat", front, axis);
  std::int64_t extent = 0;
  for (const auto& part : parts) {
    const Shape& shape = part.shape();
    require<ShapeError>(shape.rank() == front.rank() && shape.with(at, 0) == front.with(at, 0), "concat: ", front,
                        " and ", shape, " differ in more than axis ", at);
    extent += shape[at];
  }
  Tensor<T, D> y(front.with(at, extent));
  const Strides strides = strides_of(y);
  using Inputs = FunctionInputs<T, T, D>;
  std::vector<Edge<T, D>> edges;
  std::vector<Shape> shapes;
  std::int64_t first = 0;
  for (const auto& part : parts) {
    apply_function<Function::identity>(part.shape(), Inputs{.x = Strided<T, D>::of(part.rows())},
                                       StridedTarget<T, D>{{y, strides, first * strides[to_size(at)]}});
    edges.push_back(part.row_edge());
    shapes.push_back(part.shape());
    first += part.shape()[at];
  }
  return record(
      {"concat", {{"axis", std::int64_t{at}}}}, std::move(y),
      [edges, shapes, strides, at](Tensor<T, D> dy) {
        std::int64_t begin = 0;
        for (std::size_t i = 0; i < edges.size(); ++i) {
          if (edges[i].needed()) {
            const auto target = edges[i].sink(shapes[i]);
            apply_function<Function::identity>(shapes[i], Inputs{.x = {dy, strides, begin * strides[to_size(at)]}},
                                               StridedTarget<T, D>::of(target));
          }
          begin += shapes[i][at];
        }
      },
      parts.front(), std::vector<Variable<T, D>>(parts.begin() + 1, parts.end()));
}

/// The same of a list, concat({x, y}, -1).
template <class T, class D>
[[nodiscard]] Variable<T, D> concat(std::initializer_list<Variable<T, D>> parts, int axis) {
  return concat(std::vector<Variable<T, D>>(parts), axis);
}

}  // namespace lpw::inline LPW_ABI
