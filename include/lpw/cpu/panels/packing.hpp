// Matrices rearranged for the inner loops: the right one in panels of columns, the left one in groups of rows, in both
// step after step of the depth. What is bfloat16 is widened on the way.
#pragma once

#include <algorithm>

#include <lpw/cpu/base/matrix.hpp>
#include <lpw/cpu/panels/block.hpp>

namespace lpw::inline LPW_ABI::panels {

/// Columns of a panel that has `columns` of the matrix: whole vectors, the rest zeros.
[[nodiscard]] constexpr std::int64_t panel_width(std::int64_t columns) { return columns > lanes ? panel : lanes; }

/// Floats that a packed group takes: whole vectors are written, the last one past the group's end.
[[nodiscard]] constexpr std::int64_t group_size(std::int64_t depth) { return block_rows * depth + lanes; }

namespace detail {

/// A square of the matrix whose rows, `count` of them, lie `stride` apart from `from` on; the other rows are zeros.
template <class T>
void load_square(const T* from, std::int64_t stride, std::int64_t count, Lanes (&square)[lanes]) {
#pragma GCC unroll 16
  for (std::int64_t i = 0; i < lanes; ++i) square[i] = i < count ? simd::load(from + i * stride) : simd::zeros();
  simd::transpose(square);
}

/// Rows are contiguous: they are copied.
template <class T>
void pack_panel_rows(MatrixView<const T> b, std::int64_t width, float* to) {
  const std::int64_t whole = b.columns / lanes * lanes;
  for (std::int64_t k = 0; k < b.rows; ++k, to += width) {
    const T* row = b.data + k * b.row_stride;
    for (std::int64_t j = 0; j < whole; j += lanes) simd::store(to + j, simd::load(row + j));
    for (std::int64_t j = whole; j < width; ++j) to[j] = j < b.columns ? float(row[j]) : 0.f;
  }
}

/// Columns are contiguous: squares are transposed.
template <class T>
void pack_panel_columns(MatrixView<const T> b, std::int64_t width, float* to) {
  const std::int64_t whole = b.rows / lanes * lanes;
  for (std::int64_t first = 0; first < width; first += lanes) {
    const T* columns = b.data + first * b.column_stride;
    const std::int64_t count = std::min(lanes, b.columns - first);
    for (std::int64_t k = 0; k < whole; k += lanes) {
      Lanes square[lanes];
      load_square(columns + k, b.column_stride, count, square);
#pragma GCC unroll 16
      for (std::int64_t i = 0; i < lanes; ++i) simd::store(to + (k + i) * width + first, square[i]);
    }
    for (std::int64_t k = whole; k < b.rows; ++k)
      for (std::int64_t j = 0; j < lanes; ++j)
        to[k * width + first + j] = j < count ? float(columns[j * b.column_stride + k]) : 0.f;
  }
}

/// Columns are contiguous: a group's rows of each are copied, as whole vectors where `readable` rows lie there.
template <int Rows, class T>
void pack_group_columns(MatrixView<const T> a, std::int64_t readable, float* to) {
  constexpr std::int64_t whole = (Rows + lanes - 1) / lanes * lanes;
  const T* from = a.data;
  if (readable >= whole) {
    for (std::int64_t k = 0; k < a.columns; ++k, from += a.column_stride, to += Rows)
#pragma GCC unroll 3
      for (std::int64_t r = 0; r < whole; r += lanes) simd::store(to + r, simd::load(from + r));
    return;
  }
  for (std::int64_t k = 0; k < a.columns; ++k, from += a.column_stride, to += Rows)
    for (std::int64_t r = 0; r < Rows; ++r) to[r] = float(from[r]);
}

/// Rows are contiguous: squares are transposed, of which a step's vectors overwrite what the step before left past its
/// end.
template <int Rows, class T>
void pack_group_rows(MatrixView<const T> a, float* to) {
  constexpr std::int64_t squares = (Rows + lanes - 1) / lanes;
  const std::int64_t whole = a.columns / lanes * lanes;
  for (std::int64_t k = 0; k < whole; k += lanes) {
    Lanes square[to_size(squares)][lanes];
    for (std::int64_t s = 0; s < squares; ++s)
      load_square(a.data + s * lanes * a.row_stride + k, a.row_stride, std::min(lanes, Rows - s * lanes), square[s]);
#pragma GCC unroll 16
    for (std::int64_t i = 0; i < lanes; ++i)
      for (std::int64_t s = 0; s < squares; ++s) simd::store(to + (k + i) * Rows + s * lanes, square[s][i]);
  }
  for (std::int64_t k = whole; k < a.columns; ++k)
    for (std::int64_t r = 0; r < Rows; ++r) to[k * Rows + r] = float(a.data[r * a.row_stride + k]);
}

}  // namespace detail

/// Steps that are packed of all panels or groups before the next ones, where a step's elements are contiguous: they may
/// lie on as many pages.
inline constexpr std::int64_t page_steps = 16;

namespace detail {

/// Asks for the next page_steps rows of b from row `begin` on: runs too short for the processor's own prefetching.
template <class T>
void will_read_runs(MatrixView<const T> b, std::int64_t begin) {
  for (std::int64_t k = begin; k < std::min(b.rows, begin + page_steps); ++k)
    simd::will_read(b.data + k * b.row_stride, b.columns);
}

}  // namespace detail

/// Panels `first` to `last` of b [depth, columns], each as [depth, panel_width], `panel` times the depth apart from
/// `to` on.
template <class T>
void pack_panels(MatrixView<const T> b, std::int64_t first, std::int64_t last, float* to) {
  const auto each = [&](std::int64_t begin, std::int64_t end, auto&& pack) {
    for (std::int64_t p = first; p < last; ++p) {
      const auto columns = b.column_range(p * panel, std::min(b.columns, (p + 1) * panel));
      const std::int64_t width = panel_width(columns.columns);
      pack(columns.row_range(begin, end), width, to + (p - first) * panel * b.rows + begin * width);
    }
  };
  if (!b.row_major())
    return each(0, b.rows,
                [](auto part, std::int64_t width, float* at) { detail::pack_panel_columns(part, width, at); });
  const auto columns = b.column_range(first * panel, std::min(b.columns, last * panel));
  for (std::int64_t begin = 0; begin < b.rows; begin += page_steps) {
    detail::will_read_runs(columns, begin + page_steps);
    each(begin, std::min(b.rows, begin + page_steps),
         [](auto part, std::int64_t width, float* at) { detail::pack_panel_rows(part, width, at); });
  }
}

/// Groups of rows of a, from group `first` to `last`, each as [depth, rows], group_size(depth) apart from `to` on.
template <class T>
void pack_groups(MatrixView<const T> a, const RowGroups& groups, std::int64_t first, std::int64_t last, float* to) {
  const auto each = [&](std::int64_t begin, std::int64_t end, auto&& pack) {
    for (std::int64_t g = first; g < last; ++g)
      detail::with_rows<block_rows>(groups.length(g), [&](auto count) {
        pack(count, a.row_range(groups.first(g), groups.first(g + 1)).column_range(begin, end),
             a.rows - groups.first(g), to + (g - first) * group_size(a.columns) + begin * count);
      });
  };
  if (a.row_major()) {
    each(0, a.columns, [](auto count, auto part, std::int64_t, float* at) {
      detail::pack_group_rows<decltype(count)::value>(part, at);
    });
  } else {
    const auto rows = a.row_range(groups.first(first), groups.first(last));
    for (std::int64_t begin = 0; begin < a.columns; begin += page_steps) {
      detail::will_read_runs(rows.transposed(), begin + page_steps);
      each(begin, std::min(a.columns, begin + page_steps), [](auto count, auto part, std::int64_t readable, float* at) {
        detail::pack_group_columns<decltype(count)::value>(part, readable, at);
      });
    }
  }
}

}  // namespace lpw::inline LPW_ABI::panels
