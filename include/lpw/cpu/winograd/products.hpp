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

/// All rows of one panel, or of two, of which the first begins at b.
template <int Vectors, class Left>
void multiply_panel(const Left& a, std::int64_t rows, const float* b, float* c, std::int64_t c_stride,
                    std::int64_t depth, bool accumulate) {
  constexpr int most = panels::most_rows_of(Vectors);
  const panels::RowGroups groups(rows, most);
  const panels::Panel columns{b, std::min<std::int64_t>(Vectors, 2) * lanes, panel * depth};
  const auto multiply_groups = [&](std::int64_t begin, std::int64_t end) {
    if (begin == end) return;
    panels::detail::with_rows<most>(groups.length(begin), [&](auto count) {
      for (std::int64_t first = groups.first(begin), g = begin; g < end; ++g, first += count)
        panels::detail::multiply_block<count, Vectors>(a.from_row(first), columns, c + first * c_stride, c_stride,
                                                       depth, accumulate);
    });
  };
  multiply_groups(0, groups.longer);
  multiply_groups(groups.longer, groups.count);
}

}  // namespace detail

/// c [rows, columns] (+)= a [rows, depth] b [depth, columns], b in panels, columns a multiple of the lanes.
template <class Left>
void multiply(const Left& a, std::int64_t rows, const float* b, std::int64_t columns, float* c, std::int64_t depth,
              bool accumulate) {
  std::int64_t first = 0;
  const auto multiply_panels = [&]<int Vectors>(std::integral_constant<int, Vectors>) {
    for (; columns - first >= Vectors * lanes; first += Vectors * lanes)
      detail::multiply_panel<Vectors>(a, rows, b + first * depth, c + first, columns, depth, accumulate);
  };
  if constexpr (panels::pairs_panels) multiply_panels(std::integral_constant<int, panels::pair_vectors>());
  multiply_panels(std::integral_constant<int, 2>());
  multiply_panels(std::integral_constant<int, 1>());
}

}  // namespace lpw::inline LPW_ABI::winograd
