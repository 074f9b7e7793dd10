// The same elements under another shape.
#pragma once

#include <initializer_list>

#include <lpw/autograd/tape.hpp>

namespace lpw::inline LPW_ABI {

namespace detail {

/// Extents of a tensor of so many elements, of which one, -1, is what the others leave.
[[nodiscard]] inline Shape complete_extents(const Shape& of, std::initializer_list<std::int64_t> extents) {
  const auto text = [&] {
    std::string list;
    for (const std::int64_t extent : extents) list += (list.empty() ? "" : " ") + std::to_string(extent);
    return '[' + list + ']';
  };
  std::int64_t open = 0, others = 1;
  for (const std::int64_t extent : extents) extent == -1 ? void(++open) : void(others *= extent);
  if (open == 0) return extents;
  require<ShapeError>(open == 1, "reshape: ", text(), " leaves ", open, " extents open; expected one -1 at most");
  require<ShapeError>(others > 0 && of.size() % others == 0, "reshape: ", of, " has ", of.size(),
                      " elements, for which no extent completes ", text());
  Shape shape;
  for (const std::int64_t extent : extents) shape.append(extent == -1 ? of.size() / others : extent);
  return shape;
}

}  // namespace detail

/// x in row-major order as `shape`; shares memory. Throws ShapeError unless the sizes are equal.
template <class T, class D>
[[nodiscard]] Variable<T, D> reshape(const Variable<T, D>& x, const Shape& shape) {
  return record(
      "reshape", x.value().reshaped(shape),
      [in = x.shape(), dx = x.edge()](Tensor<T, D> dy) { dx.add(dy.reshaped(in)); }, x);
}
/// The same; one of the extents may be -1: as many as the others leave. Throws ShapeError where none fits.
template <class T, class D>
[[nodiscard]] Variable<T, D> reshape(const Variable<T, D>& x, std::initializer_list<std::int64_t> extents) {
  return reshape(x, detail::complete_extents(x.shape(), extents));
}

}  // namespace lpw::inline LPW_ABI
