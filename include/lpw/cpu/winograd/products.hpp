// The matrix products between the transforms, on the calling thread: C (+)= A B, with A's rows or columns contiguous
// and B in panels, which the transforms write as such. Accumulators stay in registers over the whole depth, so every
// element is one sum in the order of the depth, whatever rows it is computed with.
#pragma once

#include <algorithm>
#include <utility>

#include <lpw/cpu/base/parallel.hpp>
#include <lpw/cpu/winograd/vector.hpp>

namespace lpw::inline LPW_ABI::winograd {

/// Columns of a panel of B, and rows of A that go with it: 2 vectors by as many rows as the accumulators of 16 (or
/// AVX-512's 32) registers.
inline constexpr std::int64_t panel = 2 * lanes;
inline constexpr int block_rows = sizeof(Lanes) == 64 ? 12 : 6;

/// Element (row, step) lies at data[row row_stride + step step_stride].
struct LeftMatrix {
  const float* data;
  std::int64_t row_stride, step_stride;
};

/// Where element (step, column) of a B [depth, columns] lies: panels of [depth, panel] one after another, the last as
/// narrow as is left.
[[nodiscard]] inline std::int64_t panel_offset(std::int64_t step, std::int64_t column, std::int64_t depth,
                                               std::int64_t columns) {
  const std::int64_t first = column / panel * panel, width = std::min(panel, columns - first);
  return first * depth + step * width + (column - first);
}

namespace detail {

/// A block of C; depth >= 1.
template <int Rows, int Vectors>
void multiply_block(LeftMatrix a, const float* b, float* c, std::int64_t c_stride, std::int64_t depth,
                    bool accumulate) {
  Lanes sum[to_size(Rows)][to_size(Vectors)];
#pragma GCC unroll 12
  for (int r = 0; r < Rows; ++r)
#pragma GCC unroll 2
    for (int j = 0; j < Vectors; ++j) sum[r][j] = zeros();
#pragma GCC unroll 12
  for (int r = 0; r < Rows; ++r)
#pragma GCC unroll 2
    for (int j = 0; j < Vectors; ++j) will_write(c + r * c_stride + j * lanes);
  do {
    Lanes right[to_size(Vectors)];
#pragma GCC unroll 2
    for (int j = 0; j < Vectors; ++j) right[j] = load(b + j * lanes);
#pragma GCC unroll 12
    for (int r = 0; r < Rows; ++r)
#pragma GCC unroll 2
      for (int j = 0; j < Vectors; ++j) sum[r][j] += a.data[r * a.row_stride] * right[j];
    a.data += a.step_stride;
    b += Vectors * lanes;
  } while (--depth > 0);
#pragma GCC unroll 12
  for (int r = 0; r < Rows; ++r, c += c_stride)
#pragma GCC unroll 2
    for (int j = 0; j < Vectors; ++j) store(c + j * lanes, accumulate ? load(c + j * lanes) + sum[r][j] : sum[r][j]);
}

/// One panel: the rows in nearly equal groups of at most block_rows.
template <int Vectors>
void multiply_panel(const LeftMatrix& a, std::int64_t rows, const float* b, float* c, std::int64_t c_stride,
                    std::int64_t depth, bool accumulate) {
  const std::int64_t groups = (rows + block_rows - 1) / block_rows;
  for (std::int64_t g = 0; g < groups; ++g) {
    const std::int64_t first = part_begin(rows, groups, g), count = part_begin(rows, groups, g + 1) - first;
    const LeftMatrix left{a.data + first * a.row_stride, a.row_stride, a.step_stride};
    const auto run = [&]<int... Less>(std::integer_sequence<int, Less...>) {
      ((count == Less + 1
            ? multiply_block<Less + 1, Vectors>(left, b, c + first * c_stride, c_stride, depth, accumulate)
            : void()),
       ...);
    };
    run(std::make_integer_sequence<int, block_rows>());
  }
}

}  // namespace detail

/// c [rows, columns] (+)= a [rows, depth] b [depth, columns], b in panels, columns a multiple of the lanes.
inline void multiply(const LeftMatrix& a, std::int64_t rows, const float* b, std::int64_t columns, float* c,
                     std::int64_t depth, bool accumulate) {
  for (std::int64_t first = 0; first < columns; first += panel) {
    if (columns - first >= panel) {
      detail::multiply_panel<2>(a, rows, b + first * depth, c + first, columns, depth, accumulate);
    } else {
      detail::multiply_panel<1>(a, rows, b + first * depth, c + first, columns, depth, accumulate);
    }
  }
}

}  // namespace lpw::inline LPW_ABI::winograd
