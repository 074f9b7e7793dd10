// Small tensors and small GPUs with which batch norm's plans reach all that they do on a large GPU with large tensors.
// Plain C++: a test of the emulator's holds the plans to this for every GPU of interest.
#pragma once

#include <algorithm>
#include <ostream>

#include <lpw/cuda/plans/batch_norm.hpp>

namespace lpw::test {

enum class Direction { forward, backward };

/// x [K, M, C], M being `rows` for floats and twice as many for types of two bytes, so that the bytes are the same.
struct RegimeCase {
  std::int64_t members, rows, channels;
  GpuLimits limits;  // below those of every GPU of interest

  [[nodiscard]] constexpr std::int64_t rows_of(int element_bytes) const { return rows * 4 / element_bytes; }
};

/// A GPU on which each of a multiprocessor's blocks may take so many KB.
[[nodiscard]] constexpr GpuLimits small_gpu(int multiprocessors, int kilobytes_of_block, int resident_blocks = 2,
                                            std::int64_t l2_bytes = 1024) {
  const std::int64_t block = 1024 * kilobytes_of_block;
  return {.multiprocessors = multiprocessors,
          .shared_per_multiprocessor = resident_blocks * (block + 1024),
          .shared_per_block = block,
          .l2_bytes = l2_bytes,
          .resident_blocks = resident_blocks};
}

/// An item for each block, or for each group of blocks, whose rows stay in shared memory or not; as many items as
/// groups, or more.
inline constexpr RegimeCase regime_cases[] = {
    // A block an item, then several items; once with what is written small enough to stay in L2, once of scalars.
    {1, 67, 16, small_gpu(1, 32)},
    {1, 67, 16, small_gpu(1, 32, 2, 1 << 20)},
    {3, 67, 16, small_gpu(1, 32)},
    {3, 101, 3, small_gpu(1, 8)},
    // A group an item, then several items, with more than 48 KB a block.
    {1, 701, 8, small_gpu(3, 24)},
    {1, 801, 5, small_gpu(4, 8)},
    {4, 3001, 8, small_gpu(3, 80)},
    // Two sweeps in a block, of one and several items.
    {2, 1201, 8, small_gpu(1, 24)},
    {3, 601, 3, small_gpu(1, 5)},
    // Two sweeps in a group.
    {1, 1201, 16, small_gpu(1, 24)},
    {1, 401, 17, small_gpu(1, 5)},
    {3, 2501, 8, small_gpu(1, 24)},
    // The same where a multiprocessor holds one block.
    {2, 67, 16, small_gpu(1, 32, 1)},
    {1, 1501, 8, small_gpu(1, 112, 1)},
    {1, 151, 40, small_gpu(4, 32, 1)},
    {2, 3001, 8, small_gpu(3, 80, 1)},
    {1, 1201, 8, small_gpu(1, 24, 1)},
    {1, 1201, 16, small_gpu(2, 24, 1)},
    {2, 3501, 8, small_gpu(3, 24, 1)},
};

/// The first layer of a WRN-28-10 of two members, whose rows stay in no GPU's shared memory, with a large GPU's own
/// limits: two sweeps over items that take all its blocks, one after another.
inline constexpr std::int64_t large_members = 2, large_rows = 65536, large_channels = 160;

[[nodiscard]] constexpr BatchNormWork regime_work(const RegimeCase& c, int element_bytes, Direction direction) {
  const int widest = 16 / element_bytes;
  return {.element_bytes = element_bytes,
          .vector = c.channels % widest == 0 ? widest : 1,
          .read_twice = direction == Direction::forward ? 1 : 2};
}

/// The plan that the case's limits give where a multiprocessor holds `resident_blocks` of the kernel's.
[[nodiscard]] constexpr BatchNormPlan regime_plan(const RegimeCase& c, int element_bytes, Direction direction,
                                                  int resident_blocks = kernels::member_blocks) {
  GpuLimits gpu = c.limits;
  gpu.resident_blocks = std::min(gpu.resident_blocks, resident_blocks);
  return plan_batch_norm(gpu, c.members, c.rows_of(element_bytes), c.channels,
                         regime_work(c, element_bytes, direction));
}

inline std::ostream& operator<<(std::ostream& out, const RegimeCase& c) {
  return out << "members " << c.members << " rows of floats " << c.rows << " channels " << c.channels
             << " multiprocessors " << c.limits.multiprocessors << " shared bytes of a block "
             << c.limits.shared_per_block << " resident blocks " << c.limits.resident_blocks;
}

}  // namespace lpw::test
