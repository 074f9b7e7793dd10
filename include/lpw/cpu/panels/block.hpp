// The inner loops of matrix products, on the calling thread: C (+)= A B for some rows and a panel of columns.
// Accumulators stay in registers over the whole depth, so every element is one sum in the order of the depth, whatever
// rows it is computed with.
#pragma once

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
inline constexpr int block_rows = 12;
#else
inline constexpr int block_rows = sizeof(Lanes) == 64 ? 12 : 6;
#endif

/// Element (row, step) lies at data[row row_stride + step step_stride].
struct LeftMatrix {
  const float* data;
  std::int64_t row_stride, step_stride;

  [[nodiscard]] LeftMatrix from_row(std::int64_t row) const {
    return {data + row * row_stride, row_stride, step_stride};
  }
};

/// The same where rows lie side by side, which takes fewer registers.
struct LeftColumns {
  const float* data;
  std::int64_t step_stride;
  static constexpr std::int64_t row_stride = 1;

  [[nodiscard]] LeftColumns from_row(std::int64_t row) const { return {data + row, step_stride}; }
};

namespace detail {

/// A block of C; depth >= 1. Step k of B lies at b + k b_stride.
template <int Rows, int Vectors, class Left>
void multiply_block(Left a, const float* b, std::int64_t b_stride, float* c, std::int64_t c_stride, std::int64_t depth,
                    bool accumulate) {
  using simd::load, simd::store;
  Lanes sum[to_size(Rows)][to_size(Vectors)];
#pragma GCC unroll 12
  for (int r = 0; r < Rows; ++r)
#pragma GCC unroll 2
    for (int j = 0; j < Vectors; ++j) sum[r][j] = simd::zeros();
#pragma GCC unroll 12
  for (int r = 0; r < Rows; ++r)
#pragma GCC unroll 2
    for (int j = 0; j < Vectors; ++j) simd::will_write(c + r * c_stride + j * lanes);
  do {
    Lanes right[to_size(Vectors)];
#pragma GCC unroll 2
    for (int j = 0; j < Vectors; ++j) right[j] = load(b + j * lanes);
#pragma GCC unroll 12
    for (int r = 0; r < Rows; ++r)
#pragma GCC unroll 2
      for (int j = 0; j < Vectors; ++j) sum[r][j] += a.data[r * a.row_stride] * right[j];
    a.data += a.step_stride;
    b += b_stride;
  } while (--depth > 0);
#pragma GCC unroll 12
  for (int r = 0; r < Rows; ++r, c += c_stride)
#pragma GCC unroll 2
    for (int j = 0; j < Vectors; ++j) store(c + j * lanes, accumulate ? load(c + j * lanes) + sum[r][j] : sum[r][j]);
}

/// Calls f with a number of rows from 1 to block_rows as a constant.
template <class F>
void with_rows(std::int64_t rows, F&& f) {
  const auto run = [&]<int... Less>(std::integer_sequence<int, Less...>) {
    ((rows == Less + 1 ? f(std::integral_constant<int, Less + 1>()) : void()), ...);
  };
  run(std::make_integer_sequence<int, block_rows>());
}

}  // namespace detail

/// How rows are cut into nearly equal groups of at most block_rows.
struct RowGroups {
  std::int64_t rows, count;

  explicit RowGroups(std::int64_t all) : rows(all), count((all + block_rows - 1) / block_rows) {}
  [[nodiscard]] std::int64_t first(std::int64_t group) const { return part_begin(rows, count, group); }
  [[nodiscard]] std::int64_t length(std::int64_t group) const { return first(group + 1) - first(group); }
};

/// At most block_rows rows of one panel.
template <int Vectors, class Left>
void multiply_group(const Left& a, std::int64_t rows, const float* b, std::int64_t b_stride, float* c,
                    std::int64_t c_stride, std::int64_t depth, bool accumulate) {
  detail::with_rows(rows, [&](auto count) {
    detail::multiply_block<decltype(count)::value, Vectors>(a, b, b_stride, c, c_stride, depth, accumulate);
  });
}

}  // namespace lpw::inline LPW_ABI::panels
