// Grids for the kernels that are bound by memory: pure functions of sizes and the GPU, so that the emulator runs what a
// GPU would run. How a sum is cut into parts depends on its shape alone, never on the GPU: the same bits everywhere.
// (Batch norm, which is cut by the GPU's size, has a plan of its own.)
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <initializer_list>

#include <lpw/kernels/member_tiling.cuh>

namespace lpw::inline LPW_ABI {

/// What a plan must know of a GPU.
struct GpuLimits {
  int multiprocessors;                                       // on which blocks run
  std::int64_t shared_per_multiprocessor, shared_per_block;  // bytes; the latter with the opt-in for large blocks
  std::int64_t l2_bytes;                                     // of the second-level cache
  std::int64_t reserved_shared = 1024;                       // bytes that the system takes beside each block's
  int resident_blocks = kernels::member_blocks;              // of a cooperative kernel, at once on a multiprocessor

  /// Bytes of shared memory that each of `resident_blocks` may take.
  [[nodiscard]] constexpr std::int64_t shared_of_resident() const {
    return std::min(shared_per_multiprocessor / resident_blocks - reserved_shared, shared_per_block);
  }
  /// True if no figure is above those of `gpu`: what is planned for these runs there too.
  [[nodiscard]] constexpr bool within(const GpuLimits& gpu) const {
    return multiprocessors <= gpu.multiprocessors && shared_per_multiprocessor <= gpu.shared_per_multiprocessor &&
           shared_per_block <= gpu.shared_per_block && l2_bytes <= gpu.l2_bytes &&
           reserved_shared >= gpu.reserved_shared && resident_blocks <= gpu.resident_blocks;
  }
};

/// A launch of blocks of kernels::member_threads (256) threads.
struct LaunchPlan {
  unsigned grid_x = 1, grid_y = 1;  // blocks along each axis
  std::size_t shared_bytes = 0;     // dynamic shared memory of a block
  bool cooperative = false;         // blocks wait for each other

  static constexpr unsigned block = kernels::member_threads;  // threads
};

/// The share of a multiprocessor's memory that is to be shared memory rather than L1 cache, in percent, for `blocks`
/// of `shared_bytes` each to be resident at once.
[[nodiscard]] constexpr int shared_carveout(const GpuLimits& gpu, std::size_t shared_bytes, std::int64_t blocks) {
  const std::int64_t taken = blocks * (static_cast<std::int64_t>(shared_bytes) + gpu.reserved_shared),
                     whole = gpu.shared_per_multiprocessor;
  return static_cast<int>(std::min<std::int64_t>(100, (100 * taken + whole - 1) / whole));
}

/// Elements of an access to arrays of rows of `length` elements of T that begin at the given addresses: 16 bytes, or 1
/// element.
template <class T>
[[nodiscard]] inline int vector_width(std::int64_t length, std::initializer_list<const void*> addresses) {
  constexpr int widest = 16 / static_cast<int>(sizeof(T));
  const bool aligned = std::all_of(addresses.begin(), addresses.end(),
                                   [](const void* p) { return reinterpret_cast<std::uintptr_t>(p) % 16 == 0; });
  return aligned && length % widest == 0 ? widest : 1;
}

namespace detail {

[[nodiscard]] constexpr std::int64_t blocks_for(std::int64_t work, std::int64_t of_one) {
  return (work + of_one - 1) / of_one;
}

/// Vectors of a slab: all of a row up to 64 (512 bytes and more), else equal parts of at most 64, which leave at least
/// 4/5 of a block busy.
[[nodiscard]] constexpr int even_slab(int vectors) {
  const int slabs = (vectors + 63) / 64;
  return slabs ? (vectors + slabs - 1) / slabs : 1;
}

}  // namespace detail

/// A thread for each of `vectors` (and at least one), in each of `rows` independent rows, but no more blocks than are
/// resident at once with `blocks` on a multiprocessor, those of the kernel's __launch_bounds__: a thread then takes
/// several. Kernels loop in both directions.
[[nodiscard]] constexpr LaunchPlan plan_elements(int multiprocessors, std::int64_t vectors, std::int64_t rows,
                                                 int blocks) {
  const std::int64_t resident = std::int64_t{multiprocessors} * blocks,
                     grid_y = std::clamp<std::int64_t>(rows, 1, 65535);
  const std::int64_t wanted = detail::blocks_for(std::max<std::int64_t>(vectors, 1), LaunchPlan::block);
  return {static_cast<unsigned>(std::min(wanted, detail::blocks_for(resident, grid_y))), static_cast<unsigned>(grid_y)};
}

/// A launch over x [K, M, C], every block a chunk of one member's rows in one slab of channels.
struct MemberLaunch {
  kernels::MemberTiling tiling;  // how x is shared out
  LaunchPlan launch;             // of one kernel
};

/// Cuts each member's rows into chunks (tiling.group of them) so that there are some `blocks` in all, but none of less
/// than four steps. `sums`: the kernel adds up rows, and takes scratch for that. `vector` as from vector_width.
[[nodiscard]] constexpr MemberLaunch plan_member_rows(std::int64_t members, std::int64_t rows, std::int64_t channels,
                                                      int vector, bool sums, std::int64_t blocks = 1024) {
  kernels::MemberTiling tiling;
  tiling.members = static_cast<int>(members);
  tiling.rows = static_cast<int>(rows);
  tiling.channels = static_cast<int>(channels);
  tiling.vector = vector;
  const int vectors = tiling.channels / vector;
  tiling.slab = detail::even_slab(vectors);
  tiling.slabs = static_cast<int>(detail::blocks_for(vectors, tiling.slab));
  const std::int64_t most = std::max<std::int64_t>(1, detail::blocks_for(rows, 4 * tiling.pass()));
  const std::int64_t wanted = std::clamp<std::int64_t>(detail::blocks_for(blocks, tiling.items()), 1, most);
  tiling.chunk = static_cast<int>(std::max<std::int64_t>(1, detail::blocks_for(rows, wanted)));
  tiling.group = static_cast<int>(std::max<std::int64_t>(1, detail::blocks_for(rows, tiling.chunk)));
  tiling.groups = tiling.items();
  const auto piece = [](std::int64_t bytes) { return static_cast<std::size_t>(detail::blocks_for(bytes, 16) * 16); };
  const std::size_t shared = sums ? piece(4 * tiling.scratch_floats()) + piece(4) : 0;
  return {tiling, {static_cast<unsigned>(tiling.groups * tiling.group), 1, shared}};
}

}  // namespace lpw::inline LPW_ABI
