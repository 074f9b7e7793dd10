// The tests' own kernel, which takes as much shared memory as it is given.
#pragma once

#include <cstdint>

#include <lpw/kernels/device.cuh>
#include <lpw/kernels/member_tiling.cuh>

namespace lpw::test {

struct SharedSum {
  std::int32_t* sums;  // (block)
  int words;           // of shared memory
};

/// Each block fills its shared memory to the last word and adds it up. `Number` makes kernels that were not allowed
/// anything yet.
template <int Number>
__global__ void __launch_bounds__(kernels::member_threads, kernels::member_blocks) shared_sum(const SharedSum p) {
  kernels::SharedMemory memory;
  auto* words = memory.take<std::int32_t>(p.words);
  for (int i = static_cast<int>(threadIdx.x); i < p.words; i += kernels::member_threads) words[i] = i % 3;
  __syncthreads();
  if (threadIdx.x > 0) return;
  std::int32_t sum = 0;
  for (int i = 0; i < p.words; ++i) sum += words[i];
  p.sums[blockIdx.x] = sum;
}

}  // namespace lpw::test
