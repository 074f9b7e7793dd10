// The loop over [K, M, C] that the element-wise and batch-norm primitives share: blocks of rows of one member, in parallel.
#pragma once

#include <lpw/tensor/layout.hpp>

namespace lpw {

/// Calls f(member, offset, rows) for every block, in parallel: `rows` rows of C elements from element `offset` on, all of one member.
template <class F>
void for_each_row_block(const MemberRows& view, F&& f) {
  const auto blocks = RowBlocks::of(view);
#pragma omp parallel for schedule(static) if (view.size() > 8192)
  for (std::int64_t item = 0; item < view.members * blocks.count; ++item) {
    const std::int64_t k = item / blocks.count, b = item % blocks.count;
    f(k, (k * view.rows + blocks.first(b)) * view.channels, blocks.last(b) - blocks.first(b));
  }
}

}  // namespace lpw
