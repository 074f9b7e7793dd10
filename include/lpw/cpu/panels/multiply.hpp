// The definitions of product.hpp.
#pragma once

#include <algorithm>
#include <cassert>
#include <type_traits>

#include <lpw/cpu/base/product_cut.hpp>
#include <lpw/cpu/panels/packing.hpp>
#include <lpw/cpu/panels/product.hpp>

namespace lpw::inline LPW_ABI::panels {

namespace detail {

/// The block of b from step `first` on, packed into `to`.
template <class B>
[[nodiscard]] RightBlock pack_block(const Blocking& cut, MatrixView<const B> b, std::int64_t block, float* to) {
  const std::int64_t first = cut.first_step(block), steps = cut.steps(block);
  const auto rows = b.row_range(first, first + steps);
  parallel_runs(cut.panels, 2 * panel * steps, [&](std::int64_t begin, std::int64_t end) {
    pack_panels(rows, begin, end, to + begin * panel * steps);
  });
  const std::int64_t whole = cut.columns / panel;
  return {to, panel * steps, panel, whole, {to + whole * panel * steps, panel_width(cut.columns - whole * panel)}};
}

/// The block as it lies, but for what is no whole vector; `to` has room for that.
[[nodiscard]] inline RightBlock block_as_it_lies(const Blocking& cut, MatrixView<const float> b, std::int64_t block,
                                                 float* to) {
  const std::int64_t first = cut.first_step(block), whole = cut.columns / panel;
  const auto rows = b.row_range(first, first + cut.steps(block));
  if (cut.columns % lanes == 0)
    return {rows.data, panel, b.row_stride, whole, {rows.data + whole * panel, b.row_stride}};
  pack_panels(rows, whole, cut.panels, to);
  return {rows.data, panel, b.row_stride, whole, {to, panel_width(cut.columns - whole * panel)}};
}

/// A block of which each panel is read by one item only, and packed by that in its thread's cache.
template <class B>
struct PanelsAsNeeded {
  MatrixView<const B> rows;
  float* scratch;

  /// Floats of a thread's, for blocks of so many steps.
  [[nodiscard]] static constexpr std::int64_t size(std::int64_t steps) {
    return (pairs_panels ? 2 : 1) * panel * steps;
  }
  [[nodiscard]] Panel operator()(std::int64_t which) const {
    float* const to = scratch + thread_number() * size(rows.rows);
    pack_panels(rows, which, which + (pairs_panels && pair_from(which) ? 2 : 1), to);
    return {to, panel_width(std::min(panel, rows.columns - which * panel)), panel * rows.rows};
  }
  [[nodiscard]] bool pair_from(std::int64_t which) const { return (which + 2) * panel <= rows.columns; }
};

/// c (+)= a b for a panel's `columns`, or those of two panels, and one group of rows.
template <class Left>
void multiply_tile(const Left& a, std::int64_t rows, const Panel& b, std::int64_t columns, float* c,
                   std::int64_t c_stride, std::int64_t steps, bool accumulate) {
  if constexpr (pairs_panels)
    if (columns > panel) return multiply_group<pair_vectors>(a, rows, b, c, c_stride, steps, accumulate);
  const std::int64_t width = panel_width(columns);
  const auto multiply = [&](float* to, std::int64_t stride, bool add) {
    width == panel ? multiply_group<2>(a, rows, b, to, stride, steps, add)
                   : multiply_group<1>(a, rows, b, to, stride, steps, add);
  };
  if (columns == width) return multiply(c, c_stride, accumulate);
  float tile[block_rows * panel];
  multiply(tile, width, false);
  for (std::int64_t i = 0; i < rows; ++i)
    for (std::int64_t j = 0; j < columns; ++j) {
      float& to = c[i * c_stride + j];
      to = accumulate ? to + tile[i * width + j] : tile[i * width + j];
    }
}

/// Asks for part `part` of `parts` of `count` panels from panel `which` on: the processor's own prefetching begins with
/// a panel.
inline void will_read(const RightBlock& right, std::int64_t which, std::int64_t count, std::int64_t part,
                      std::int64_t parts) {
  constexpr std::int64_t line = 64 / sizeof(float);
  if (right.step_stride != panel) return;  // as it lies
  const float* const next = right.whole + which * right.panel_stride;
  const std::int64_t lines = count * right.panel_stride / line;
  for (std::int64_t i = part_begin(lines, parts, part); i < part_begin(lines, parts, part + 1); ++i)
    __builtin_prefetch(next + i * line, 0, 2);
}
template <class B>
void will_read(const PanelsAsNeeded<B>&, std::int64_t, std::int64_t, std::int64_t, std::int64_t) {}

/// Asks for a group of A's rows, each a run of `steps`, which lie too far apart for the processor's own prefetching.
inline void will_read(const LeftMatrix& a, std::int64_t rows, std::int64_t steps) {
  for (std::int64_t r = 0; r < rows; ++r) simd::will_read(a.from_row(r).data, steps);
}
/// Packed, or narrow.
inline void will_read(const LeftColumns&, std::int64_t, std::int64_t) {}

/// An item of c; left(group) is A's part.
template <class Left, class Right>
void multiply_item(const Blocking& cut, std::int64_t row_block, std::int64_t column_block, Left&& left,
                   const Right& right, MatrixView<float> c, std::int64_t steps, bool accumulate) {
  const std::int64_t begin = cut.first_group(row_block), end = cut.first_group(row_block + 1),
                     last = cut.first_panel(column_block + 1);
  const bool rows_once = cut.column_blocks == 1;  // else other items read them too, and they may be in a cache
  std::int64_t count = 1;
  for (std::int64_t p = cut.first_panel(column_block); p < last; p += count) {
    const bool pair = pairs_panels && p + 1 < last && right.pair_from(p);
    count = pair ? 2 : 1;
    const std::int64_t columns = pair ? 2 * panel : cut.columns_of(p), next = p + count;
    const Panel of_b = right(p);
    for (std::int64_t g = begin; g < end; ++g) {
      if (next < last) will_read(right, next, std::min(count, last - next), g - begin, end - begin);
      if (rows_once && p == cut.first_panel(column_block) && g + 1 < end)
        will_read(left(g + 1), cut.groups.length(g + 1), steps);
      multiply_tile(left(g), cut.groups.length(g), of_b, columns,
                    c.data + cut.groups.first(g) * c.row_stride + p * panel, c.row_stride, steps, accumulate);
    }
  }
}

/// c (+)= a b for a block of the depth, of which a has the columns.
template <class A, class Right>
void multiply_block_of_depth(const Blocking& cut, MatrixView<const A> a, const Right& right, MatrixView<float> c,
                             bool accumulate, float* scratch) {
  const std::int64_t steps = a.columns, size = group_size(steps);
  const std::int64_t cost = products_cost(c.rows * cut.columns * steps) / cut.items();
  const bool shared = cut.column_blocks > 1;
  if (shared)
    parallel_runs(cut.groups.count, 2 * block_rows * steps, [&](std::int64_t first, std::int64_t last) {
      pack_groups(a, cut.groups, first, last, scratch + first * size);
    });
  parallel_for(cut.items(), cost, [&](std::int64_t item) {
    const std::int64_t row_block = item % cut.row_blocks, first = cut.first_group(row_block);
    float* const mine = shared ? scratch + first * size : scratch + thread_number() * cut.most_groups() * size;
    if (!shared) pack_groups(a, cut.groups, first, cut.first_group(row_block + 1), mine);
    multiply_item(
        cut, row_block, item / cut.row_blocks,
        [&](std::int64_t g) {
          return LeftColumns{mine + (g - first) * size, cut.groups.length(g)};
        },
        right, c, steps, accumulate);
  });
}

/// The same without packing, where it does not pay.
template <class Left, class Right>
void multiply_unpacked(const Blocking& cut, const Left& a, const Right& right, MatrixView<float> c, std::int64_t steps,
                       bool accumulate) {
  parallel_for(cut.items(), products_cost(c.rows * cut.columns * steps) / cut.items(), [&](std::int64_t item) {
    multiply_item(
        cut, item % cut.row_blocks, item / cut.row_blocks,
        [&](std::int64_t g) { return a.from_row(cut.groups.first(g)); }, right, c, steps, accumulate);
  });
}

/// Whether a block of a matrix's steps, `stride` apart and each contiguous, lies in a core's cache as it is.
[[nodiscard]] constexpr bool is_narrow(std::int64_t stride) { return stride <= 128; }

/// Whether a is read as it lies. Rows are read so seldom by blocks of two panels that packing never paid; others pay
/// for it with many columns.
template <class A>
[[nodiscard]] bool reads_unpacked(const Blocking& cut, MatrixView<const A> a) {
  constexpr std::int64_t few_panels = 4;
  if (!std::is_same_v<A, float>) return false;
  return a.row_major() ? pairs_panels || cut.panels <= few_panels : is_narrow(a.column_stride);
}

/// c (+)= a b, where right(block) makes the blocks of b's depth.
template <class A, class Right>
void multiply_blocks(const Blocking& cut, MatrixView<const A> a, MatrixView<float> c, bool accumulate, Right&& right) {
  const bool unpacked = reads_unpacked(cut, a);
  const std::int64_t size = group_size(cut.most_steps());
  Tensor<float, Cpu> scratch;
  if (!unpacked)
    scratch =
        Tensor<float, Cpu>({(cut.column_blocks > 1 ? cut.groups.count : max_threads() * cut.most_groups()) * size});
  for (std::int64_t block = 0; block < cut.depth_blocks; ++block) {
    const std::int64_t first = cut.first_step(block);
    const auto steps = a.column_range(first, first + cut.steps(block));
    const auto of_b = right(block);
    const bool add = accumulate || block > 0;
    if constexpr (std::is_same_v<A, float>) {
      if (unpacked) {
        if (a.row_major())
          multiply_unpacked(cut, LeftMatrix{steps.data, a.row_stride, 1}, of_b, c, steps.columns, add);
        else
          multiply_unpacked(cut, LeftColumns{steps.data, a.column_stride}, of_b, c, steps.columns, add);
        continue;
      }
    }
    multiply_block_of_depth(cut, steps, of_b, c, add, scratch.data());
  }
}

/// c = 0 where there is no depth and nothing to add to; returns whether there are no products.
[[nodiscard]] inline bool nothing_to_multiply(MatrixView<float> c, std::int64_t depth, bool accumulate) {
  if (c.rows == 0 || c.columns == 0) return true;
  if (depth > 0) return false;
  if (!accumulate)
    for (std::int64_t i = 0; i < c.rows; ++i) std::fill_n(c.data + i * c.row_stride, c.columns, 0.f);
  return true;
}

template <class A, class B>
void multiply_in_blocks(MatrixView<const A> a, MatrixView<const B> b, MatrixView<float> c, bool accumulate) {
  const Blocking cut(c.rows, c.columns, a.columns);
  constexpr std::int64_t few_groups = 4;
  if constexpr (std::is_same_v<B, float>) {
    if (b.row_major() && (cut.groups.count <= few_groups || (!a.row_major() && is_narrow(b.row_stride)))) {
      Tensor<float, Cpu> rest({panel * cut.most_steps()});
      return multiply_blocks(cut, a, c, accumulate,
                             [&](std::int64_t block) { return block_as_it_lies(cut, b, block, rest.data()); });
    }
  }
  if (cut.row_blocks == 1) {
    Tensor<float, Cpu> scratch({max_threads() * PanelsAsNeeded<B>::size(cut.most_steps())});
    return multiply_blocks(cut, a, c, accumulate, [&](std::int64_t block) {
      const std::int64_t first = cut.first_step(block);
      return PanelsAsNeeded<B>{b.row_range(first, first + cut.steps(block)), scratch.data()};
    });
  }
  Tensor<float, Cpu> packed({cut.packed_size(cut.most_steps())});
  multiply_blocks(cut, a, c, accumulate, [&](std::int64_t block) { return pack_block(cut, b, block, packed.data()); });
}

}  // namespace detail

template <class A, class B>
void multiply(MatrixView<const A> a, MatrixView<const B> b, MatrixView<float> c, bool accumulate) {
  assert(a.columns == b.rows && a.rows == c.rows && b.columns == c.columns && c.row_major());
  if (detail::nothing_to_multiply(c, a.columns, accumulate)) return;
  using lpw::detail::ProductCut;
  constexpr std::int64_t small = 1 << 15;  // elements of c that parts of the depth may each have
  // Rows that are contiguous are samples, whose bits must not depend on how many there are.
  if (a.row_major() || c.rows * c.columns > small ||
      ProductCut::of(c.rows, c.columns, a.columns).side != ProductCut::Side::depth)
    return detail::multiply_in_blocks(a, b, c, accumulate);
  lpw::detail::multiply_in_parts(a, b, c, accumulate, [](auto left, auto right, auto product, bool add) {
    detail::multiply_in_blocks(left, right, product, add);
  });
}

template <class B>
PackedRight::PackedRight(MatrixView<const B> b, std::int64_t rows)
    : cut_(rows, b.columns, b.rows), memory_({cut_.packed_size(b.rows)}) {
  for (std::int64_t block = 0; block < cut_.depth_blocks; ++block)
    blocks_.push_back(detail::pack_block(cut_, b, block, memory_.data() + cut_.packed_size(cut_.first_step(block))));
}

template <class A>
void PackedRight::multiply(MatrixView<const A> a, MatrixView<float> c, bool accumulate) const {
  assert(a.rows == cut_.groups.rows && a.columns == cut_.depth && c.row_major());
  if (detail::nothing_to_multiply(c, cut_.depth, accumulate)) return;
  detail::multiply_blocks(cut_, a, c, accumulate, [&](std::int64_t block) { return blocks_[to_size(block)]; });
}

}  // namespace lpw::inline LPW_ABI::panels
