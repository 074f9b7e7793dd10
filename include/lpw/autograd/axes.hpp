// Axes by number, as operations are told of them, and how a smaller operand lies along those of a larger one.
#pragma once

#include <bit>
#include <optional>
#include <string>
#include <vector>

#include <lpw/autograd/tape.hpp>
#include <lpw/primitives/mapping.hpp>

namespace lpw::inline LPW_ABI {

/// Along which axes of the first operand the second is repeated. It has extent 1 there, or lacks these axes, all of
/// them; its other axes are the first's. The members' axis, 0, is not among them: as every parameter, the second
/// operand has one row, which the members share, or a row for each. With no axes named it is [1 or K, ...].
struct Broadcast {
  std::vector<int> over = {};  // axes of the first operand; negative ones count from its end
};

namespace detail {

/// A bit for each of the axes, of which negative ones count from the end. Throws ShapeError for one that x has not, or
/// twice.
[[nodiscard]] inline unsigned axis_bits(const char* operation, const Shape& x, const std::vector<int>& axes) {
  unsigned bits = 0;
  for (const int axis : axes) {
    const int from_front = axis < 0 ? axis + x.rank() : axis;
    require<ShapeError>(from_front >= 0 && from_front < x.rank(), operation, ": there is no axis ", axis, " in ", x,
                        "; axes are counted from 0, or from the end as -1, -2");
    require<ShapeError>((bits >> from_front & 1u) == 0, operation, ": axis ", axis, " is named twice");
    bits |= 1u << from_front;
  }
  return bits;
}

/// The same for one axis: its number from the front.
[[nodiscard]] inline int axis_of(const char* operation, const Shape& x, int axis) {
  const unsigned bits = axis_bits(operation, x, {axis});
  int from_front = 0;
  while ((bits >> from_front & 1u) == 0) ++from_front;
  return from_front;
}

/// What a traced operation says of axes: a bit for each.
[[nodiscard]] inline std::int64_t axes_attribute(unsigned bits) { return static_cast<std::int64_t>(bits); }

/// The strides of an operand along the axes of a larger one, or none where it does not fit them.
[[nodiscard]] inline std::optional<Strides> strides_along(const Shape& larger, const Shape& shape,
                                                          const Strides& strides, unsigned over) {
  const int rank = larger.rank(), named = std::popcount(over);
  const bool kept = shape.rank() == rank;
  if (rank == 0 || shape.rank() == 0 || (!kept && shape.rank() != rank - named)) return {};
  if (shape[0] != 1 && shape[0] != larger[0]) return {};
  Strides along{};
  along[0] = shape[0] == larger[0] ? strides[0] : 0;
  int own = 1;
  for (int axis = 1; axis < rank; ++axis) {
    const bool repeated = over >> axis & 1u;
    if (repeated && !kept) continue;
    if (shape[own] != (repeated ? 1 : larger[axis])) return {};
    along[to_size(axis)] = repeated ? 0 : strides[to_size(own)];
    ++own;
  }
  return along;
}

/// "{1, 2}".
[[nodiscard]] inline std::string axes_text(unsigned bits) {
  std::string text;
  for (int axis = 0; axis < Shape::max_rank; ++axis)
    if (bits >> axis & 1u) text += (text.empty() ? "" : ", ") + std::to_string(axis);
  return '{' + text + '}';
}

/// What to write for operands that differ, if there is something.
[[nodiscard]] inline std::string broadcast_advice(const char* operation, const Shape& a, const Shape& b) {
  for (unsigned over = 0; a.rank() > 0 && over < 1u << a.rank(); over += 2)  // the members' axis is not named
    if (strides_along(a, b, {}, over))
      return to_text("to repeat b along axes of a, name them: ", operation, "(a, b, {.over = ", axes_text(over), "})");
  if (b.size() > a.size()) return "a must be the larger of them";
  if (a.rank() > 0 && b.rank() > 0 && a[0] == 1 && b[0] > 1)
    return to_text("b has ", b[0], " member rows, a one; pass a [", b[0], " ...], what each member has");
  return "b fits no axes of a";
}

/// The strides of operand b of an operation along the axes of a. Throws ShapeError where it does not fit.
[[nodiscard]] inline Strides broadcast_strides(const char* operation, const Shape& a, const Shape& b,
                                               const Strides& strides, const Broadcast& broadcast) {
  const unsigned over = axis_bits(operation, a, broadcast.over);
  require<ShapeError>((over & 1u) == 0, operation,
                      ": axis 0 is the members', along which b is repeated where it has one row; name others");
  const auto along = strides_along(a, b, strides, over);
  if (!along) [[unlikely]]
    fail<ShapeError>(operation, ": b ", b, " is not a ", a, " without axes ", axes_text(over), ", or with extent 1; ",
                     broadcast_advice(operation, a, b));
  return *along;
}

/// Throws ShapeError unless the shapes are equal, with what to write instead.
inline void require_equal(const char* operation, const Shape& a, const Shape& b) {
  if (a == b) return;
  fail<ShapeError>(operation, ": a ", a, " and b ", b, " differ, and nothing is broadcast in silence; ",
                   broadcast_advice(operation, a, b));
}

}  // namespace detail

}  // namespace lpw::inline LPW_ABI
