// Element by element, over tensors of any layout: arithmetic, functions, sums over axes, and copies from one layout to
// another. Operands and targets lie along the axes of one shape by strides: an operand with stride 0 along an axis is
// repeated along it, a target with stride 0 is what is summed over it.
//
// apply_function(shape, inputs, target):
//   target (+)= f(x, y, b) at each index of the shape, for the Function f that is its template argument; computed in W.
// sum_function(shape, inputs, target):
//   target (+)= the sum of f(x, y, b) over the axes along which the target has stride 0; summed in W or wider, in an
//   order that depends on the shapes alone.
#pragma once

#include <algorithm>
#include <array>

#include <lpw/primitives/function.hpp>
#include <lpw/primitives/gradient.hpp>

namespace lpw::inline LPW_ABI {

/// Elements from one index to the next along each axis of a shape.
using Strides = std::array<std::int64_t, Shape::max_rank>;

/// The strides of a tensor along its own axes.
template <class T, class Device>
[[nodiscard]] Strides strides_of(const Tensor<T, Device>& tensor) {
  Strides strides{};
  for (int axis = 0; axis < tensor.shape().rank(); ++axis)
    strides[to_size(axis)] = axis ? tensor.shape().size_from(axis + 1) : tensor.row_stride();
  return strides;
}

/// A tensor along the axes of a shape, from the element `first` on.
template <class T, class Device>
struct Strided {
  Tensor<T, Device> tensor = {};  // where it lies
  Strides strides = {};           // elements along each axis; 0: repeated
  std::int64_t first = 0;         // element of the tensor's memory

  /// As it lies.
  [[nodiscard]] static Strided of(const Tensor<T, Device>& tensor) { return {tensor, strides_of(tensor)}; }
  /// Its first element, or null where there is no tensor.
  [[nodiscard]] const T* data() const { return tensor.empty() ? nullptr : tensor.data() + first; }
  /// The same to be written: throws Error where the tensor is read_only().
  [[nodiscard]] T* data() { return tensor.data() + first; }
};

/// What a function takes. Those that it does not read may be empty. B is T, or W as of parameters.
template <class T, class B, class Device>
struct FunctionInputs {
  Strided<T, Device> x = {}, y = {};  // of the shape, or repeated along axes of it
  Strided<B, Device> b = {};          // as of parameters
  double scale = 1, shift = 0;        // numbers of affine functions
};

/// Where a function's values go.
template <class T, class Device>
struct StridedTarget {
  Strided<T, Device> to;    // where they go
  bool accumulate = false;  // adds to what is there

  /// Such a tensor as it lies.
  [[nodiscard]] static StridedTarget of(const Gradient<T, Device>& gradient) {
    return {Strided<T, Device>::of(gradient.tensor), gradient.accumulate};
  }
};

/// The walk over a shape with elements, whose axes are put together where all tensors go on in one stride.
template <class T, class B, class Out, class Device>
[[nodiscard]] Walk walk_over(const Shape& shape, const FunctionInputs<T, B, Device>& inputs,
                             const StridedTarget<Out, Device>& target) {
  const Strides* strides[] = {&inputs.x.strides, &inputs.y.strides, &inputs.b.strides, &target.to.strides};
  Walk walk;
  for (int axis = 0; axis < shape.rank(); ++axis) {
    if (shape[axis] == 1) continue;
    bool joins = walk.rank > 0;
    for (int tensor = 0; joins && tensor < Walk::tensors; ++tensor)
      joins = walk.stride[tensor][walk.rank - 1] == (*strides[tensor])[to_size(axis)] * shape[axis];
    if (!joins) walk.extent[walk.rank++] = 1;
    walk.extent[walk.rank - 1] *= shape[axis];
    for (int tensor = 0; tensor < Walk::tensors; ++tensor)
      walk.stride[tensor][walk.rank - 1] = (*strides[tensor])[to_size(axis)];
  }
  return walk;
}

/// The axes of a walk along which the result is summed, or the others.
[[nodiscard]] inline Walk part_of(const Walk& walk, bool summed) {
  Walk part;
  for (int axis = 0; axis < walk.rank; ++axis) {
    if ((walk.stride[Walk::result][axis] == 0) != summed) continue;
    part.extent[part.rank] = walk.extent[axis];
    for (int tensor = 0; tensor < Walk::tensors; ++tensor) part.stride[tensor][part.rank] = walk.stride[tensor][axis];
    ++part.rank;
  }
  return part;
}

}  // namespace lpw::inline LPW_ABI
