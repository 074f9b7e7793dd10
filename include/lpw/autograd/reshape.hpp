// The same elements under another shape.
#pragma once

#include <lpw/autograd/tape.hpp>

namespace lpw::inline LPW_ABI {

/// x in row-major order as `shape`; shares memory. Throws ShapeError unless the sizes are equal.
template <class T, class D>
[[nodiscard]] Variable<T, D> reshape(const Variable<T, D>& x, const Shape& shape) {
  return record(
      "reshape", x.value().reshaped(shape),
      [in = x.shape(), dx = x.edge()](Tensor<T, D> dy) { dx.add(dy.reshaped(in)); }, x);
}

}  // namespace lpw::inline LPW_ABI
