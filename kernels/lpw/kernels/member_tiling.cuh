// How a launch of a per-channel reduction cuts [K, M, C] (member, row, channel) into blocks; plain numbers, shared by
// host and device.
//
// An item is a (member, slab): all rows of one member, `slab` neighbouring vectors of channels. A group of `group`
// blocks works on an item, block r of it on the rows [r chunk, (r + 1) chunk), and the `groups` groups of the grid take
// items in turn, member after member. In a block, thread t stands at vector t % slab of row t / slab, and goes down the
// chunk by pass() rows at a time; its first `resident` steps are kept in shared memory between the two sweeps over the
// data, the others are read again.
#pragma once

#include <cstddef>
#include <cstdint>

#include <lpw/tensor/dtype.hpp>

namespace lpw::inline LPW_ABI::kernels {

/// Threads of every block.
inline constexpr int member_threads = 256;
/// Blocks for which a multiprocessor has registers, by the kernels' __launch_bounds__: of reductions over rows, of
/// walks down the rows with the channels' coefficients in registers, and of walks over flat arrays.
inline constexpr int member_blocks = 2, row_blocks = 3, element_blocks = 4;

struct MemberTiling {
  int members = 1, rows = 1, channels = 1;  // K, M, C
  int vector = 1;                           // elements of an access
  int slab = 1, slabs = 1;                  // vectors of a slab, and slabs of a row
  int group = 1, groups = 1;                // blocks of an item, and items under way at once
  int chunk = 1;                            // rows of a block; the last of a group may have fewer, but has one
  int resident = 0;        // steps of a thread kept in shared memory, of each tensor that is read twice
  int lanes = 1;           // threads that share the sum over a group's blocks of one channel: a power of two up to 32
  bool streaming = false;  // what is written is larger than the L2 cache can hold for its reader

  [[nodiscard]] LPW_HOST_DEVICE constexpr int pass() const { return member_threads / slab; }
  [[nodiscard]] LPW_HOST_DEVICE constexpr int items() const { return members * slabs; }
  [[nodiscard]] LPW_HOST_DEVICE constexpr int width() const { return slab * vector; }
  [[nodiscard]] LPW_HOST_DEVICE constexpr int rows_of(int rank) const {
    const int left = rows - rank * chunk;
    return left < chunk ? left : chunk;
  }

  /// Pairs of threads whose sums meet in the first two steps of reduce_rows, which alternate between two pieces of
  /// scratch.
  [[nodiscard]] LPW_HOST_DEVICE constexpr int scratch_slots() const { return (pass() / 2 + (pass() + 1) / 4) * slab; }
  /// Floats of shared memory for reduce_rows.
  [[nodiscard]] LPW_HOST_DEVICE constexpr int scratch_floats() const { return (2 * vector + 1) * scratch_slots(); }
  /// Elements of shared memory that one tensor's resident rows take.
  [[nodiscard]] LPW_HOST_DEVICE constexpr int tile_vectors() const { return resident * member_threads; }
  /// Floats of global memory in which one group's blocks combine their sums.
  [[nodiscard]] LPW_HOST_DEVICE constexpr int group_floats() const { return 2 * width() * (group + 1); }
};

}  // namespace lpw::inline LPW_ABI::kernels
