// C (+)= A B of floats of any size and orientation, bfloat16 among the operands widened as they are packed, on all
// threads. multiply.hpp has the definitions, which lpw::compiled holds.
//
// The depth is cut into blocks, whose products are added to C in order. Of a block, B is packed into panels that all
// threads read; C is cut into items of rows by panels, which threads take as they come, each with its rows of A packed
// in the thread's cache. All cuts are by shape alone, so that an element's sum is the same for any number of threads.
#pragma once

#include <algorithm>
#include <cassert>
#include <vector>

#include <lpw/cpu/base/matrix.hpp>
#include <lpw/cpu/panels/block.hpp>

namespace lpw::inline LPW_ABI::panels {

namespace detail {

/// How a product is cut.
struct Blocking {
  std::int64_t columns, depth, depth_blocks, panels, row_blocks, column_blocks = 1;
  RowGroups groups;

  Blocking(std::int64_t rows, std::int64_t all_columns, std::int64_t all_depth)
      : columns(all_columns),
        depth(all_depth),
        depth_blocks(ceil(depth, most_depth)),
        panels(ceil(columns, panel)),
        groups(rows) {
    const std::int64_t wanted =
        std::clamp<std::int64_t>(products_cost(rows * columns * depth) / depth_blocks / least_item_cost, 1, most_items);
    row_blocks = ceil(groups.count, most_rows / block_rows);
    if (row_blocks >= std::min(wanted, enough_items)) return;
    column_blocks = std::clamp<std::int64_t>(ceil(wanted, row_blocks), 1, ceil(panels, 2));
    row_blocks = std::clamp<std::int64_t>(std::min(wanted, enough_items) / column_blocks, row_blocks, groups.count);
  }

  [[nodiscard]] std::int64_t items() const { return row_blocks * column_blocks; }
  [[nodiscard]] std::int64_t first_step(std::int64_t block) const { return part_begin(depth, depth_blocks, block); }
  [[nodiscard]] std::int64_t steps(std::int64_t block) const { return first_step(block + 1) - first_step(block); }
  [[nodiscard]] std::int64_t most_steps() const { return ceil(depth, depth_blocks); }
  [[nodiscard]] std::int64_t first_group(std::int64_t row_block) const {
    return part_begin(groups.count, row_blocks, row_block);
  }
  [[nodiscard]] std::int64_t most_groups() const { return ceil(groups.count, row_blocks); }
  /// A block begins with a pair, where panels are taken in pairs.
  [[nodiscard]] std::int64_t first_panel(std::int64_t column_block) const {
    constexpr std::int64_t unit = pairs_panels ? 2 : 1;
    return std::min(panels, unit * part_begin(ceil(panels, unit), column_blocks, column_block));
  }
  /// Columns of the matrix in a panel.
  [[nodiscard]] std::int64_t columns_of(std::int64_t which) const { return std::min(panel, columns - which * panel); }
  /// Floats of B's packed panels, for a number of steps.
  [[nodiscard]] std::int64_t packed_size(std::int64_t steps) const { return panels * panel * steps; }

 private:
  // A panel of so many steps, and as many of some groups of rows, lie in a core's second-level cache.
  static constexpr std::int64_t most_depth = 512, most_rows = 96;
  static constexpr std::int64_t least_item_cost = 1 << 17, enough_items = 16, most_items = 64;

  /// At least 1: what is empty has one empty part.
  [[nodiscard]] static std::int64_t ceil(std::int64_t count, std::int64_t unit) {
    return std::max<std::int64_t>(1, (count + unit - 1) / unit);
  }
};

/// A block of B's depth: panels that are whole, `panel_stride` apart, and one that is not, packed.
struct RightBlock {
  const float* whole;
  std::int64_t panel_stride, step_stride, whole_panels;
  Panel rest;

  [[nodiscard]] Panel operator()(std::int64_t which) const {
    return which < whole_panels ? Panel{whole + which * panel_stride, step_stride, panel_stride} : rest;
  }
  /// Whether it and the next one are whole.
  [[nodiscard]] bool pair_from(std::int64_t which) const { return which + 1 < whole_panels; }
};

}  // namespace detail

/// c = a b, or c += a b: a [M, K], b [K, N], c [M, N] with contiguous rows; A and B are float or bfloat16.
template <class A, class B>
void multiply(MatrixView<const A> a, MatrixView<const B> b, MatrixView<float> c, bool accumulate);

/// A matrix b [K, N], packed for many products.
class PackedRight {
 public:
  /// For products of `rows` rows.
  template <class B>
  PackedRight(MatrixView<const B> b, std::int64_t rows);

  /// c = a b, or c += a b, for an a [rows, K] of float or bfloat16.
  template <class A>
  void multiply(MatrixView<const A> a, MatrixView<float> c, bool accumulate = false) const;

 private:
  detail::Blocking cut_;
  Tensor<float, Cpu> memory_;
  std::vector<detail::RightBlock> blocks_;
};

}  // namespace lpw::inline LPW_ABI::panels
