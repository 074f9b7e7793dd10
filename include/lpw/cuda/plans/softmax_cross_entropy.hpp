// How the softmax cross-entropy kernels are launched for a given size.
#pragma once

#include <lpw/cuda/plans/launch.hpp>

namespace lpw::inline LPW_ABI {

/// The numbers of kernels::SoftmaxTiling, and the launch of forward; backward's takes no shared memory.
struct SoftmaxPlan {
  bool block_per_row;  // a block a row, not a warp
  int resident;        // classes of a row that shared memory keeps
  LaunchPlan launch;   // of forward
};

/// For logits [K, B, classes] as `rows` = K B rows. `kept` floats of a block's shared memory hold exponentials: of 32
/// KB each, the element_blocks of a multiprocessor take 128 of its 228 KB. Up to 1024 classes a warp takes a row, which
/// needs no barriers.
[[nodiscard]] constexpr SoftmaxPlan plan_softmax(int multiprocessors, std::int64_t rows, std::int64_t classes,
                                                 int kept = 8192) {
  constexpr int warps = LaunchPlan::block / 32;
  const bool block_per_row = classes > 1024;
  const int teams = block_per_row ? 1 : warps, most = kept / teams / 8 * 8;
  const int resident = static_cast<int>(std::min<std::int64_t>(detail::blocks_for(classes, 8) * 8, most));
  LaunchPlan launch = plan_elements(multiprocessors, rows * (LaunchPlan::block / teams), 1, kernels::element_blocks);
  launch.shared_bytes = std::size_t{4} * static_cast<std::size_t>(teams * resident) + 4 * warps + 16;
  return {block_per_row, resident, launch};
}

}  // namespace lpw::inline LPW_ABI
