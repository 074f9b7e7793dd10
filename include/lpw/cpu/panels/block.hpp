// The inner loops of matrix products, on the calling thread: C (+)= A B for some rows and a panel of columns.
// Accumulators stay in registers over the whole depth, so every element is one sum in the order of the depth, whatever
// rows it is computed with.
#pragma once

#include <algorithm>
#include <utility>

#include <lpw/cpu/base/parallel.hpp>
#include <lpw/cpu/base/vector.hpp>
#include <lpw/tensor/to_size.hpp>

namespace lpw::inline LPW_ABI::panels {

using simd::Lanes, simd::lanes;

/// Columns of a panel of B, and rows of A that go with it: 2 vectors by as many rows as the accumulators of 16 (or
/// AVX-512's and AArch64's 32) registers.
inline constexpr std::int64_t panel = 2 * lanes;
#if defined(__aarch64__)
/// Rows of A that a block takes.
inline constexpr int block_rows = 12;
#else
/// Rows of A that a block takes.
inline constexpr int block_rows = sizeof(Lanes) == 64 ? 12 : 6;
#endif

/// Whether a block takes two panels at a time, and half the rows: it then reads fewer elements of A for as many
/// products. AVX2 has not the registers, and on AArch64 nothing is measured.
inline constexpr bool pairs_panels = sizeof(Lanes) == 64;

/// Vectors of a block of two panels, and the most rows of a block of `vectors`.
inline constexpr int pair_vectors = 4;
[[nodiscard]] constexpr int most_rows_of(int vectors) { return vectors == pair_vectors ? block_rows / 2 : block_rows; }

/// Element (row, step) lies at data[row row_stride + step step_stride].
struct LeftMatrix {
  const float* data;                     // of the first row and step
  std::int64_t row_stride, step_stride;  // in floats

  /// From that row on.
  [[nodiscard]] LeftMatrix from_row(std::int64_t row) const {
    return {data + row * row_stride, row_stride, step_stride};
  }
};

/// The same where rows lie side by side, which takes fewer registers.
struct LeftColumns {
  const float* data;                             // of the first row and step
  std::int64_t step_stride;                      // in floats
  static constexpr std::int64_t row_stride = 1;  // side by side

  /// From that row on.
  [[nodiscard]] LeftColumns from_row(std::int64_t row) const { return {data + row, step_stride}; }
};

/// A panel of B, its steps `stride` apart, and the panel after it `next` floats further on.
struct Panel {
  const float* data;              // of the first step
  std::int64_t stride, next = 0;  // in floats
};

namespace detail {

/// A block of C; depth >= 1.
template <int Rows, int Vectors, class Left>
[[gnu::always_inline]] inline void multiply_block(Left a, Panel b, float* c, std::int64_t c_stride, std::int64_t depth,
                                                  bool accumulate) {
  using simd::load, simd::store;
  constexpr int half = 6;
  Lanes sum[to_size(Rows)][to_size(Vectors)];
#pragma GCC unroll 12
  for (int r = 0; r < Rows; ++r)
#pragma GCC unroll 4
    for (int j = 0; j < Vectors; ++j) sum[r][j] = simd::zeros();
#pragma GCC unroll 12
  for (int r = 0; r < Rows; ++r)
#pragma GCC unroll 4
    for (int j = 0; j < Vectors; ++j) simd::will_write(c + r * c_stride + j * lanes);
  const float *upper = a.data, *lower = upper + (Rows > half ? half * a.row_stride : 0);
  asm("" : "+r"(lower));  // a compiler that knows how they differ takes one, and more registers than there are
  do {
    Lanes right[to_size(Vectors)];
#pragma GCC unroll 4
    for (int j = 0; j < Vectors; ++j) right[j] = load(b.data + j / 2 * b.next + j % 2 * lanes);
#pragma GCC unroll 12
    for (int r = 0; r < Rows; ++r)
#pragma GCC unroll 4
      for (int j = 0; j < Vectors; ++j)
        sum[r][j] += (r < half ? upper[r * a.row_stride] : lower[(r - half) * a.row_stride]) * right[j];
    upper += a.step_stride;
    lower += a.step_stride;
    b.data += b.stride;
  } while (--depth > 0);
  if (accumulate) {
#pragma GCC unroll 12
    for (int r = 0; r < Rows; ++r)
#pragma GCC unroll 4
      for (int j = 0; j < Vectors; ++j) sum[r][j] = load(c + r * c_stride + j * lanes) + sum[r][j];
  }
#pragma GCC unroll 12
  for (int r = 0; r < Rows; ++r)
#pragma GCC unroll 4
    for (int j = 0; j < Vectors; ++j) store(c + r * c_stride + j * lanes, sum[r][j]);
}

/// Calls f with a number of rows from 1 to Most as a constant; the most is the most frequent.
template <int Most, class F>
void with_rows(std::int64_t rows, F&& f) {
  const auto run = [&]<int... Less>(std::integer_sequence<int, Less...>) {
    (void)((rows == Most - Less && (f(std::integral_constant<int, Most - Less>()), true)) || ...);
  };
  run(std::make_integer_sequence<int, Most>());
}

}  // namespace detail

/// How rows are cut into nearly equal groups of at most `most`, the longer ones first. Divisions are few: products of
/// few steps are over soon.
struct RowGroups {
  std::int64_t rows;    // of all groups
  std::int64_t count;   // groups
  std::int64_t least;   // rows of a group
  std::int64_t longer;  // groups that have one more

  /// Of so many rows.
  explicit RowGroups(std::int64_t all, std::int64_t most = block_rows)
      : rows(all), count((all + most - 1) / most), least(count > 0 ? all / count : 0), longer(all - least * count) {}
  /// Its first row.
  [[nodiscard]] std::int64_t first(std::int64_t group) const { return group * least + std::min(group, longer); }
  /// Its rows.
  [[nodiscard]] std::int64_t length(std::int64_t group) const { return least + (group < longer); }
};

/// At most block_rows rows of one panel, or of two.
template <int Vectors, class Left>
void multiply_group(const Left& a, std::int64_t rows, const Panel& b, float* c, std::int64_t c_stride,
                    std::int64_t depth, bool accumulate) {
  constexpr int most = most_rows_of(Vectors);
  const std::int64_t first = rows > most ? rows - rows / 2 : rows;
  detail::with_rows<most>(first, [&](auto count) {
    detail::multiply_block<decltype(count)::value, Vectors>(a, b, c, c_stride, depth, accumulate);
  });
  if (first < rows)
    multiply_group<Vectors>(a.from_row(first), rows - first, b, c + first * c_stride, c_stride, depth, accumulate);
}

}  // namespace lpw::inline LPW_ABI::panels
