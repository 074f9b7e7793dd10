// The matrix products between the transforms, on the calling thread: C (+)= A B, with A's rows or columns contiguous
// and B in panels, which the transforms write as such.
#pragma once

#include <algorithm>

#include <lpw/cpu/panels/block.hpp>
#include <lpw/cpu/winograd/vector.hpp>

namespace lpw::inline LPW_ABI::winograd {

using panels::LeftColumns, panels::LeftMatrix, panels::block_rows, panels::panel;

/// Where element (step, column) of a B [depth, columns] lies: panels of [depth, panel] one after another, the last as
/// narrow as is left.
[[nodiscard]] inline std::int64_t panel_offset(std::int64_t step, std::int64_t column, std::int64_t depth,
                                               std::int64_t columns) {
  const std::int64_t first = column / panel * panel, width = std::min(panel, columns - first);
  return first * depth + step * width + (column - first);
}

namespace detail {

/// All rows of one panel.
template <int Vectors, class Left>
void multiply_panel(const Left& a, std::int64_t rows, const float* b, float* c, std::int64_t c_stride,
                    std::int64_t depth, bool accumulate) {
  const panels::RowGroups groups(rows);
  for (std::int64_t g = 0; g < groups.count; ++g) {
    const std::int64_t first = groups.first(g);
    panels::multiply_group<Vectors>(a.from_row(first), groups.length(g), b, Vectors * lanes, c + first * c_stride,
                                    c_stride, depth, accumulate);
  }
}

}  // namespace detail

/// c [rows, columns] (+)= a [rows, depth] b [depth, columns], b in panels, columns a multiple of the lanes.
template <class Left>
void multiply(const Left& a, std::int64_t rows, const float* b, std::int64_t columns, float* c, std::int64_t depth,
              bool accumulate) {
  for (std::int64_t first = 0; first < columns; first += panel) {
    if (columns - first >= panel) {
      detail::multiply_panel<2>(a, rows, b + first * depth, c + first, columns, depth, accumulate);
    } else {
      detail::multiply_panel<1>(a, rows, b + first * depth, c + first, columns, depth, accumulate);
    }
  }
}

}  // namespace lpw::inline LPW_ABI::winograd
