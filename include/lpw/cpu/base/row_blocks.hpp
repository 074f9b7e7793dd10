// The loop over [K, M, C] that the element-wise and batch-norm primitives share: blocks of rows of one member, in
// parallel.
#pragma once

#include <lpw/cpu/base/parallel.hpp>
#include <lpw/primitives/layout.hpp>

namespace lpw::inline LPW_ABI {

/// What a pass over a block costs.
[[nodiscard]] inline std::int64_t block_cost(const MemberRows& view, const RowBlocks& blocks) {
  return std::min(blocks.length, view.rows) * view.channels;
}

/// Calls f(member, offset, rows) for every block, in parallel: `rows` rows of C elements from element `offset` on, all
/// of one member.
template <class F>
void for_each_row_block(const MemberRows& view, F&& f) {
  const auto blocks = RowBlocks::of(view);
  parallel_for(view.members * blocks.count, block_cost(view, blocks), [&](std::int64_t item) {
    const std::int64_t k = item / blocks.count, b = item % blocks.count;
    f(k, (k * view.rows + blocks.first(b)) * view.channels, blocks.last(b) - blocks.first(b));
  });
}

}  // namespace lpw::inline LPW_ABI
