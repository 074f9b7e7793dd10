// Shape: the extents of a tensor, at most six, row-major (the last axis is contiguous).
#pragma once

#include <array>
#include <cstdint>
#include <initializer_list>
#include <limits>
#include <ostream>
#include <string>
#include <string_view>

#include <lpw/tensor/error.hpp>
#include <lpw/tensor/to_size.hpp>

namespace lpw::inline LPW_ABI {

/// Extents, outermost first: Shape{4, 128, 32}. Zero extents are allowed; rank 0 is a single element. The extents that
/// are not zero multiply to no more than 2^63 - 1, so that no product of some of them overflows.
class Shape {
 public:
  static constexpr int max_rank = 6;  // most axes

  constexpr Shape() = default;
  /// Throws as append.
  constexpr Shape(std::initializer_list<std::int64_t> extents) {
    for (auto extent : extents) append(extent);
  }

  /// Adds an axis at the end. Throws ShapeError past six axes, for a negative extent, or for more elements than can be
  /// counted.
  constexpr void append(std::int64_t extent) {
    if (rank_ == max_rank) fail<ShapeError>("shape: more than ", max_rank, " axes");
    extents_[to_size(rank_++)] = extent;
    require_countable();
  }

  /// Number of axes.
  [[nodiscard]] constexpr int rank() const { return rank_; }
  /// Extent of an axis that there is; negative axes count from the end. Not checked: kernels' loops ask for it.
  [[nodiscard]] constexpr std::int64_t operator[](int axis) const {
    return extents_[to_size(axis < 0 ? rank_ + axis : axis)];
  }
  /// The extents in their order, for loops.
  [[nodiscard]] constexpr const std::int64_t* begin() const { return extents_.data(); }
  [[nodiscard]] constexpr const std::int64_t* end() const { return extents_.data() + rank_; }

  /// Number of elements (1 for rank 0).
  [[nodiscard]] constexpr std::int64_t size() const { return size_from(0); }
  /// Number of elements in the axes from `axis` on.
  [[nodiscard]] constexpr std::int64_t size_from(int axis) const {
    std::int64_t product = 1;
    for (int i = axis; i < rank_; ++i) product *= extents_[to_size(i)];
    return product;
  }

  /// The same shape with one axis' extent replaced. Throws as append does.
  [[nodiscard]] constexpr Shape with(int axis, std::int64_t extent) const {
    Shape result = *this;
    result.extents_[to_size(axis < 0 ? rank_ + axis : axis)] = extent;
    result.require_countable();
    return result;
  }
  /// The axes [first, last).
  [[nodiscard]] constexpr Shape slice(int first, int last) const {
    Shape result;
    for (int i = first; i < last; ++i) result.append(extents_[to_size(i)]);
    return result;
  }
  /// A new first axis in front.
  [[nodiscard]] constexpr Shape prepend(std::int64_t extent) const {
    Shape result{extent};
    for (auto e : *this) result.append(e);
    return result;
  }

  friend constexpr bool operator==(const Shape& a, const Shape& b) {
    if (a.rank_ != b.rank_) return false;
    for (int i = 0; i < a.rank_; ++i)
      if (a[i] != b[i]) return false;
    return true;
  }

 private:
  constexpr void require_countable() const {
    std::int64_t room = std::numeric_limits<std::int64_t>::max();
    for (const std::int64_t extent : *this) {
      if (extent < 0) fail<ShapeError>("shape: negative extent ", extent);
      if (extent > room) fail<ShapeError>("shape: ", text(), " has more than 2^63 - 1 elements");
      if (extent > 0) room /= extent;
    }
  }
  [[nodiscard]] std::string text() const;

  std::array<std::int64_t, max_rank> extents_{};
  int rank_ = 0;
};

/// The indices [first, first + count) of an axis.
struct AxisPart {
  std::int64_t first, count;  // of the axis

  /// Whether an axis of that extent has them all, of numbers of any size.
  [[nodiscard]] constexpr bool within(std::int64_t extent) const {
    return first >= 0 && count >= 0 && count <= extent && first <= extent - count;
  }
};

/// "[2, 5)".
inline std::ostream& operator<<(std::ostream& out, const AxisPart& part) {
  std::int64_t end = 0;
  if (__builtin_add_overflow(part.first, part.count, &end)) return out << part.count << " from " << part.first << " on";
  return out << '[' << part.first << ", " << end << ')';
}

/// "[4 128 32]", or with axis names such as "KBC": "[K=4 B=128 C=32]".
[[nodiscard]] inline std::string describe(const Shape& shape, std::string_view axes = {}) {
  std::string text = "[";
  for (int i = 0; i < shape.rank(); ++i) {
    if (i) text += ' ';
    if (static_cast<int>(axes.size()) == shape.rank()) text += std::string(1, axes[to_size(i)]) + '=';
    text += std::to_string(shape[i]);
  }
  return text + "]";
}

inline std::string Shape::text() const { return describe(*this); }

/// As describe() writes it.
inline std::ostream& operator<<(std::ostream& out, const Shape& shape) { return out << describe(shape); }

}  // namespace lpw::inline LPW_ABI
