// How batch norm's kernels are launched for a given size: a pure function, so that the emulator runs what a GPU would
// run.
//
// The three regimes are one kernel with different numbers: a block's chunk fits its shared memory and it shares its
// item with none (one read, no barrier); items are shared by a group of blocks, whose chunks fit (one read); chunks do
// not fit, and the rest is read again (two sweeps). The plan weighs, over all group sizes, the bytes that the busiest
// block moves plus what barriers cost, in bytes.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include <lpw/cuda/plans/launch.hpp>

namespace lpw::inline LPW_ABI {

/// Who reads a channel's rows: one block, which keeps them; a group of blocks that wait for each other; or any blocks,
/// in two sweeps over memory.
enum class BatchNormRegime { block, group, two_sweeps };

/// How a batch norm is launched: how many blocks share a channel's rows, and what each keeps.
struct BatchNormPlan {
  kernels::MemberTiling tiling;    // how x is shared out
  BatchNormRegime regime;          // who normalises a channel's rows
  LaunchPlan launch;               // of one kernel
  std::size_t group_sums;          // floats
  std::size_t barriers, arrivals;  // words, zero before their first use
};

/// What a kernel does with its tensors.
struct BatchNormWork {
  int element_bytes;  // 2 or 4
  int vector;         // elements of an access: 16 bytes, or 1 where C or an address does not allow that
  int read_twice;     // tensors that both sweeps read: 1 forward (x), 2 backward (x, dy); 0: there is one sweep only
  bool sums = true;   // false: nothing is summed over rows (evaluation forward)
};

/// The thresholds. Estimated from the machine's figures, to be replaced by measurements: a barrier between blocks takes
/// about 1.5 us, in which a block's share of an H100's bandwidth (3.35 TB/s over 264 blocks) is 19 KB; L2 serves reads
/// about twice as fast as DRAM.
struct BatchNormTuning {
  std::int64_t barriers_cost = 2 * 19 * 1024;  // of the two between blocks, in bytes of the busiest block
  std::int64_t item_cost = 8 * 1024;           // of an item's start and of the reduction inside the block
  std::int64_t l2_cost_percent = 50;           // of a second read that hits L2
  std::int64_t l2_share_percent = 60;          // of L2 that survives between the sweeps
  int slab_channels = 256;                     // at most
};

namespace detail {

/// What runs of so many contiguous bytes reach of the bandwidth, in percent.
[[nodiscard]] constexpr int run_efficiency(std::int64_t bytes) {
  return bytes >= 512 ? 100 : bytes >= 256 ? 97 : bytes >= 128 ? 92 : bytes >= 64 ? 80 : bytes >= 32 ? 50 : 25;
}

[[nodiscard]] constexpr std::int64_t ceil_div(std::int64_t a, std::int64_t b) { return (a + b - 1) / b; }

/// Vectors of a slab: long runs, few idle threads, few columns past the end. A slab of whole rows is one run.
[[nodiscard]] constexpr int batch_norm_slab(int vectors, int vector, int element_bytes, const BatchNormTuning& tuning) {
  const int widest = std::min({vectors, tuning.slab_channels / vector, kernels::member_threads});
  int best = widest;
  double best_score = 0;
  for (int slab = widest; slab >= 1; --slab) {
    const std::int64_t slabs = ceil_div(vectors, slab);
    const double busy = double(kernels::member_threads / slab * slab) / kernels::member_threads,
                 used = double(vectors) / double(slabs * slab);
    const double score = busy * used * (slabs == 1 ? 100 : run_efficiency(std::int64_t{slab} * vector * element_bytes));
    if (score <= best_score) continue;
    best = slab;
    best_score = score;
  }
  return best;
}

/// Shared memory of a block besides the resident rows: as the kernels take it.
[[nodiscard]] constexpr std::int64_t batch_norm_fixed_shared(const kernels::MemberTiling& tiling) {
  const auto piece = [](std::int64_t bytes) { return ceil_div(bytes, 16) * 16; };
  return piece(4 * tiling.scratch_floats()) + piece(4 * 2 * tiling.width()) + piece(4);
}

/// Cuts each item over `group` blocks or a few less, with as many items at once as fit.
[[nodiscard]] constexpr kernels::MemberTiling with_group(kernels::MemberTiling tiling, std::int64_t group,
                                                         std::int64_t blocks, std::int64_t most_resident) {
  tiling.chunk = static_cast<int>(ceil_div(tiling.rows, group));
  tiling.group = static_cast<int>(ceil_div(tiling.rows, tiling.chunk));
  tiling.groups = static_cast<int>(std::min<std::int64_t>(tiling.items(), blocks / tiling.group));
  tiling.resident = static_cast<int>(std::min(ceil_div(tiling.chunk, tiling.pass()), most_resident));
  return tiling;
}

/// Bytes that the busiest block moves, with the cost of waiting in bytes.
[[nodiscard]] constexpr std::int64_t batch_norm_cost(const kernels::MemberTiling& tiling, const GpuLimits& gpu,
                                                     const BatchNormWork& work, const BatchNormTuning& tuning) {
  const std::int64_t pass_bytes = std::int64_t{tiling.pass()} * tiling.width() * work.element_bytes;
  const std::int64_t passes = ceil_div(tiling.chunk, tiling.pass()),
                     again = work.read_twice * (passes - tiling.resident) * pass_bytes;
  const bool in_l2 = std::int64_t{tiling.groups} * tiling.group * again <= gpu.l2_bytes * tuning.l2_share_percent / 100;
  const std::int64_t bytes =
      (work.read_twice + 1) * passes * pass_bytes + (in_l2 ? again * tuning.l2_cost_percent / 100 : again);
  const std::int64_t waits = tuning.item_cost + (tiling.group > 1 && work.sums ? tuning.barriers_cost : 0);
  return ceil_div(tiling.items(), tiling.groups) * (bytes + waits);
}

}  // namespace detail

/// The launch for x [K, M, C]. Every block of the grid is resident at once if a multiprocessor holds
/// `gpu.resident_blocks` of the kernel's, which a cooperative launch checks.
[[nodiscard]] constexpr BatchNormPlan plan_batch_norm(const GpuLimits& gpu, std::int64_t members, std::int64_t rows,
                                                      std::int64_t channels, const BatchNormWork& work,
                                                      const BatchNormTuning& tuning = {}) {
  using namespace detail;
  kernels::MemberTiling base;
  base.members = static_cast<int>(members);
  base.rows = static_cast<int>(rows);
  base.channels = static_cast<int>(channels);
  base.vector = work.vector;
  const int vectors = base.channels / base.vector;
  base.slab = batch_norm_slab(vectors, base.vector, work.element_bytes, tuning);
  base.slabs = static_cast<int>(ceil_div(vectors, base.slab));

  const std::int64_t blocks = std::int64_t{gpu.multiprocessors} * gpu.resident_blocks,
                     fixed = batch_norm_fixed_shared(base), room = gpu.shared_of_resident() - fixed;
  const std::int64_t step_bytes =
      std::int64_t{kernels::member_threads} * work.vector * work.element_bytes * work.read_twice;
  const std::int64_t most_resident = step_bytes ? std::max<std::int64_t>(0, room / step_bytes) : 0;

  kernels::MemberTiling best = with_group(base, 1, blocks, most_resident);
  for (std::int64_t group = 2; group <= std::min(blocks, ceil_div(rows, base.pass())); ++group) {
    const auto tiling = with_group(base, group, blocks, most_resident);
    if (batch_norm_cost(tiling, gpu, work, tuning) < batch_norm_cost(best, gpu, work, tuning)) best = tiling;
  }
  while (best.lanes < 32 && best.lanes < best.group) best.lanes *= 2;
  best.streaming = members * rows * channels * work.element_bytes > gpu.l2_bytes * tuning.l2_share_percent / 100;

  BatchNormPlan plan{};
  plan.tiling = best;
  const bool again = work.read_twice > 0 && best.resident < ceil_div(best.chunk, best.pass());
  plan.regime = again ? BatchNormRegime::two_sweeps : best.group > 1 ? BatchNormRegime::group : BatchNormRegime::block;
  plan.launch.grid_x = static_cast<unsigned>(best.groups * best.group);
  plan.launch.shared_bytes = static_cast<std::size_t>(fixed + best.resident * step_bytes);
  plan.launch.cooperative = best.group > 1 && work.sums;
  plan.group_sums = plan.launch.cooperative ? static_cast<std::size_t>(best.groups) * best.group_floats() : 0;
  plan.barriers = plan.launch.cooperative ? best.groups : 0;
  plan.arrivals = static_cast<std::size_t>(best.slabs);
  return plan;
}

}  // namespace lpw::inline LPW_ABI
