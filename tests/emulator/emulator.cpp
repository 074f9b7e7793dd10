// The emulator must catch broken kernels: each of these breaks one rule, and has a sound twin that passes.
#include "emulator/emulator.hpp"

#include <lpw/kernels/device.cuh>

#include <functional>
#include <numeric>
#include <set>
#include <vector>

#include "catch.hpp"
#include "support/errors.hpp"

using namespace lpw;
using namespace lpw::test;
using Catch::Contains;
using emulator::emulate;
using emulator::LaunchOptions;

namespace {

constexpr int schedules = 8;

/// The message of the lpw::Error that the launch ends in, or "".
template <class Kernel>
[[nodiscard]] std::string error_of(const LaunchOptions& options, const Kernel& kernel) {
  return message_of<Error>([&] { emulate(options, kernel); });
}

/// Under how many of the schedules the launch leaves something else than `expected` in `out`, which it starts as zeros.
template <class V, class Kernel>
[[nodiscard]] int wrong_seeds(LaunchOptions options, std::vector<V>& out, const std::vector<V>& expected,
                              const Kernel& kernel) {
  int wrong = 0;
  for (int seed = 0; seed < schedules; ++seed) {
    options.seed = static_cast<std::uint64_t>(seed);
    std::fill(out.begin(), out.end(), V(0));
    emulate(options, kernel);
    wrong += out != expected;
  }
  return wrong;
}

/// out[i] = in[n - 1 - i] within each block, through shared memory.
template <bool Barrier>
__global__ void reverse(const int* in, int* out) {
  kernels::SharedMemory memory;
  int* tile = memory.take<int>(blockDim.x);
  const unsigned first = blockIdx.x * blockDim.x;
  tile[threadIdx.x] = in[first + threadIdx.x];
  if constexpr (Barrier) __syncthreads();
  out[first + threadIdx.x] = tile[blockDim.x - 1 - threadIdx.x];
}

/// total[i] = the number of threads of the grid, in every thread i, whose sums pass a barrier between all blocks.
__global__ void two_stages(int* partial, unsigned* counter, int* total) {
  const unsigned id = blockIdx.x * blockDim.x + threadIdx.x, threads = gridDim.x * blockDim.x;
  kernels::store_fresh(partial + id, 1);
  kernels::group_barrier(counter, gridDim.x, blockIdx.x);
  int all = 0;
  for (unsigned i = 0; i < threads; ++i) all += kernels::load_fresh(partial + i);
  total[id] = all;
  kernels::group_barrier(counter, gridDim.x, blockIdx.x);
  kernels::store_fresh(partial + id, 0);
}

/// result[0] = the number of threads of the grid, summed by the block that is last.
__global__ void last_sums(int* partial, unsigned* counter, int* result) {
  kernels::SharedMemory memory;
  unsigned* flag = memory.take<unsigned>(1);
  kernels::store_fresh(partial + blockIdx.x * blockDim.x + threadIdx.x, 1);
  const bool last = kernels::arrives_last(counter, gridDim.x, flag);
  if (threadIdx.x == 0) *flag = 0;  // it is free again
  if (!last) return;
  int all = 0;
  for (unsigned i = threadIdx.x; i < gridDim.x * blockDim.x; i += blockDim.x) all += kernels::load_fresh(partial + i);
  atomicAdd(result, all);
}

/// out[i] = in[i] through shared memory, copied asynchronously in two groups.
template <bool Wait>
__global__ void copy_through(const float* in, float* out) {
  using Vector = kernels::Vector<float, 4>;
  kernels::SharedMemory memory;
  Vector* tile = memory.take<Vector>(2 * blockDim.x);
  for (unsigned half = 0; half < 2; ++half) {
    kernels::copy_async(tile + half * blockDim.x + threadIdx.x, in + (half * blockDim.x + threadIdx.x) * 4);
    kernels::commit_copies();
  }
  if constexpr (Wait) kernels::wait_copies<1>();
  kernels::store_vector(out + threadIdx.x * 4, tile[threadIdx.x]);
  kernels::wait_copies<0>();
  kernels::store_vector(out + (blockDim.x + threadIdx.x) * 4, tile[blockDim.x + threadIdx.x]);
}

}  // namespace

TEST_CASE("every thread of a three-dimensional grid runs once, with its own indices") {
  std::set<std::vector<unsigned>> seen;
  emulate({.grid = {3, 2, 2}, .block = {4, 3, 2}}, [&] {
    seen.insert({blockIdx.x, blockIdx.y, blockIdx.z, threadIdx.x, threadIdx.y, threadIdx.z});
    CHECK(
        (gridDim.x == 3 && gridDim.y == 2 && gridDim.z == 2 && blockDim.x == 4 && blockDim.y == 3 && blockDim.z == 2));
  });
  CHECK(seen.size() == 12 * 24);
}

TEST_CASE("a seed fixes the order of threads and blocks, and another seed changes it") {
  const auto order = [](std::uint64_t seed) {
    std::vector<unsigned> ran;
    emulate({.grid = 5, .block = 64, .seed = seed}, [&] { ran.push_back(blockIdx.x * 64 + threadIdx.x); });
    return ran;
  };
  CHECK(order(1) == order(1));
  CHECK(order(1) != order(2));
}

TEST_CASE("a missing barrier gives wrong results") {
  std::vector<int> in(3 * 96), out(in.size()), expected(in.size());
  std::iota(in.begin(), in.end(), 1);
  for (int i = 0; i < 3 * 96; ++i) expected[i] = in[i / 96 * 96 + 95 - i % 96];
  const LaunchOptions options{.grid = 3, .block = 96, .shared_bytes = kernels::shared_bytes<int>(96)};
  CHECK(wrong_seeds(options, out, expected, [&] { reverse<true>(in.data(), out.data()); }) == 0);
  CHECK(wrong_seeds(options, out, expected, [&] { reverse<false>(in.data(), out.data()); }) == schedules);
}

TEST_CASE("a warp far ahead of another is among the orders") {
  // Warp 0 takes many steps before it writes, so a scheduler that advanced all warps alike would always let warp 1 read
  // too early.
  const auto race = [](int steps_of_writer, int steps_of_reader) {
    std::vector<int> out(1);
    int early = 0;
    for (int seed = 0; seed < 32; ++seed) {
      emulate({.grid = 1, .block = 64, .shared_bytes = 16, .seed = static_cast<std::uint64_t>(seed)}, [&] {
        kernels::SharedMemory memory;
        int* flag = memory.take<int>(1);
        if (threadIdx.x == 0) *flag = 0;
        __syncthreads();
        for (int i = 0; i < (kernels::warp_index() == 0 ? steps_of_writer : steps_of_reader); ++i) __syncwarp();
        if (threadIdx.x == 0) *flag = 1;
        if (threadIdx.x == 32) out[0] = *flag;
      });
      early += out[0] == 0;
    }
    return early;
  };
  for (const auto& [writer, reader] : {std::pair{8, 0}, std::pair{0, 8}}) {
    const int early = race(writer, reader);
    CHECK(early > 4);
    CHECK(early < 28);
  }
}

TEST_CASE("a barrier that not all threads reach is an error") {
  const std::string returned = error_of({.grid = 2, .block = 64}, [] {
    if (threadIdx.x == 5) return;
    __syncthreads();
  });
  CHECK_THAT(returned, Contains("__syncthreads at emulator.cpp:") &&
                           Contains("is reached by 63 of the 64 threads: thread (5, 0, 0) has returned"));

  const std::string elsewhere = error_of({.grid = 1, .block = 64}, [] {
    if (threadIdx.x < 32) __syncwarp(threadIdx.x == 7 ? 0x80u : ~0x80u);
    if (threadIdx.x < 60) {
      __syncthreads();
    } else if (threadIdx.x < 63) {
      __syncwarp(0xf0000000u);
    }
  });
  CHECK_THAT(elsewhere, Contains("block (0, 0, 0): __syncwarp") &&
                            Contains("is reached by 3 of the 4 lanes of its mask: thread (63, 0, 0) has returned"));
}

TEST_CASE("a barrier in divergent code is an error") {
  const std::string message = error_of({.grid = 1, .block = 32}, [] {
    if (threadIdx.x < 16) {
      __syncthreads();
    } else {
      __syncthreads();
    }
  });
  CHECK_THAT(message, Contains("__syncthreads in divergent code: thread (0, 0, 0) waits at emulator.cpp:") &&
                          Contains("thread (16, 0, 0) at emulator.cpp:"));
}

TEST_CASE("a shuffle that not all lanes of its mask reach is an error") {
  CHECK_THAT(error_of({.grid = 1, .block = 32},
                      [] {
                        if (threadIdx.x != 9) static_cast<void>(kernels::warp_sum(1));
                      }),
             Contains("__shfl_xor_sync at device.cuh:") &&
                 Contains("is reached by 31 of the 32 lanes of its mask: thread (9, 0, 0) has returned"));
  CHECK_THAT(error_of({.grid = 1, .block = 40}, [] { static_cast<void>(kernels::warp_sum(1)); }),
             Contains("the mask holds lanes that the block, of 40 threads, lacks"));
  CHECK_THAT(error_of({.grid = 1, .block = 32}, [] { static_cast<void>(__shfl_sync(0xffu, 1, 0)); }),
             Contains("the mask does not hold the calling lane"));
  CHECK_THAT(error_of({.grid = 1, .block = 32},
                      [] {
                        if (threadIdx.x < 8) static_cast<void>(__shfl_sync(0xffu, 1, 8));
                      }),
             Contains("reads lane 8, which the mask does not hold"));
  CHECK_THAT(error_of({.grid = 1, .block = 32},
                      [] {
                        if (threadIdx.x < 8) {
                          static_cast<void>(__ballot_sync(~0u, 1));
                        } else {
                          static_cast<void>(__shfl_sync(~0u, 1, 0));
                        }
                      }),
             Contains(" meets __"));
}

TEST_CASE("warp-wide calls give what CUDA's give") {
  std::vector<int> wrong(64);
  for (int seed = 0; seed < schedules; ++seed)
    emulate({.grid = 1, .block = 64, .seed = static_cast<std::uint64_t>(seed)}, [&] {
      const int lane = kernels::lane_index(), id = static_cast<int>(threadIdx.x);
      int bad = kernels::shuffle_xor(id, 5) != (id ^ 5);
      bad += kernels::shuffle_down(id, 3) != (lane < 29 ? id + 3 : id);
      bad += kernels::shuffle_down<8>(id, 3) != (lane % 8 < 5 ? id + 3 : id);
      bad += __shfl_up_sync(~0u, id, 2, 16) != (lane % 16 < 2 ? id : id - 2);
      bad += kernels::shuffle(id, 7) != id / 32 * 32 + 7;
      bad += __shfl_sync(~0u, id, 3, 8) != id / 8 * 8 + 3;
      bad += kernels::warp_sum(1.5f * static_cast<float>(lane)) != 1.5f * 496;
      bad += __ballot_sync(~0u, lane % 3 == 0) != 0x49249249u;
      bad += __any_sync(~0u, lane == 31) != 1 || __any_sync(~0u, lane == 32) != 0;
      bad += __all_sync(~0u, lane < 32) != 1 || __all_sync(~0u, lane < 31) != 0;
      if (lane % 2 == 0) bad += __shfl_xor_sync(0x55555555u, double(id), 2) != (id ^ 2);  // one half of the warp alone
      wrong[threadIdx.x] += bad;
    });
  CHECK(wrong == std::vector<int>(64));
}

TEST_CASE("block_reduce returns the same bits to every thread, under any order") {
  std::set<float> results;
  std::set<int> largest;
  for (int seed = 0; seed < schedules; ++seed)
    emulate({.grid = 1, .block = 96, .shared_bytes = 32, .seed = static_cast<std::uint64_t>(seed)}, [&] {
      kernels::SharedMemory memory;
      float* scratch = memory.take<float>(3);
      int* integers = memory.take<int>(3);
      results.insert(kernels::block_sum(1.f / static_cast<float>(threadIdx.x + 1), scratch));
      largest.insert(kernels::block_reduce(static_cast<int>(threadIdx.x * 37 % 96), kernels::Maximum(), integers));
      integers[threadIdx.x / 32] = 1000;  // the scratch is free again
    });
  CHECK(results.size() == 1);
  CHECK(*results.begin() == Approx(5.1468).epsilon(1e-4));  // the harmonic number of 96
  CHECK(largest == std::set<int>{95});
}

TEST_CASE("a barrier between blocks works in a cooperative launch, again and again") {
  unsigned counter = 0;
  std::vector<int> partial(4 * 64), total(4 * 64);
  for (int launch = 0; launch < 5; ++launch)  // the counter needs no reset
    CHECK(wrong_seeds({.grid = 4, .block = 64, .cooperative = true, .resident_blocks = 4}, total,
                      std::vector<int>(4 * 64, 4 * 64),
                      [&] { two_stages(partial.data(), &counter, total.data()); }) == 0);
}

TEST_CASE("a barrier between blocks without enough resident blocks is an error") {
  unsigned counter = 0;
  std::vector<int> partial(6 * 64), total(6 * 64);
  const auto kernel = [&] { two_stages(partial.data(), &counter, total.data()); };
  CHECK_THAT(
      error_of({.grid = 6, .block = 64}, kernel),
      Contains("spins at device.cuh:") && Contains("1 of 6 is; a barrier between blocks needs a cooperative launch"));
  CHECK_THAT(error_of({.grid = 6, .block = 64, .cooperative = true, .resident_blocks = 5}, kernel),
             Contains("a cooperative launch of 6 blocks, of which only 5 can be resident at once"));
  counter = 0;
  CHECK_THAT(error_of({.grid = 6, .block = 64, .cooperative = true},
                      [&] {
                        if (blockIdx.x != 3) two_stages(partial.data(), &counter, total.data());
                      }),
             Contains("for ever: all 6 blocks have returned or wait"));
}

TEST_CASE("a barrier between blocks that does not wait for all threads of its own block gives wrong results") {
  int wrong = 0;
  for (std::uint64_t seed = 0; seed < 32; ++seed) {
    std::vector<int> partial(2 * 64);
    unsigned arrived = 0;
    emulate({.grid = 2, .block = 64, .seed = seed, .cooperative = true}, [&] {
      if (threadIdx.x < 32) partial[blockIdx.x * 64 + threadIdx.x] = 1;
      __syncthreads();
      if (threadIdx.x >= 32) partial[blockIdx.x * 64 + threadIdx.x] = 1;
      if (threadIdx.x == 0) {  // too early: the other warp may not have written
        atomicAdd(&arrived, 1u);
        kernels::spin_while([&] { return kernels::load_fresh(&arrived) < 2; });
      }
      __syncthreads();
      wrong += partial[(1 - blockIdx.x) * 64 + threadIdx.x] == 0;
    });
  }
  CHECK(wrong > 0);
}

TEST_CASE(
    "the last block to arrive is told so in all its threads and sees what the others wrote, and the counter is reset") {
  unsigned counter = 0;
  for (const bool cooperative : {false, true})
    for (std::uint64_t seed = 0; seed < 4 * schedules; ++seed) {
      std::vector<int> partial(5 * 64);
      int sum = 0;
      emulate({.grid = 5, .block = 64, .shared_bytes = 16, .seed = seed, .cooperative = cooperative},
              [&] { last_sums(partial.data(), &counter, &sum); });
      CHECK(sum == 5 * 64);
      CHECK(counter == 0);
    }
}

TEST_CASE("integer atomics return what was there") {
  int sum = 0, largest = -1;
  unsigned long long wide = 0;
  unsigned lock = 0, winners = 0, exchanged = 0;
  emulate({.grid = 4, .block = 32}, [&] {
    atomicAdd(&sum, 1);
    atomicAdd(&wide, 1ull << 32);
    atomicMax(&largest, static_cast<int>(threadIdx.x));
    winners += atomicCAS(&lock, 0u, 1u + threadIdx.x) == 0u;
    atomicExch(&exchanged, 7u);
  });
  CHECK(sum == 128);
  CHECK(wide == 128ull << 32);
  CHECK(largest == 31);
  CHECK(winners == 1);
  CHECK(exchanged == 7);
}

TEST_CASE(
    "an uninitialised shared read shows: shared memory starts as NaN, or as another pattern under odd schedules") {
  std::set<std::uint32_t> sums;
  for (int seed = 0; seed < schedules; ++seed) {
    float sum = 0;
    emulate({.grid = 1, .block = 32, .shared_bytes = 256, .seed = static_cast<std::uint64_t>(seed)}, [&] {
      kernels::SharedMemory memory;
      float* tile = memory.take<float>(64);
      tile[threadIdx.x] = 1;  // the upper half is forgotten
      __syncthreads();
      if (threadIdx.x == 0) sum = std::accumulate(tile, tile + 64, 0.f);
    });
    CHECK(std::isnan(sum) == (seed % 2 == 0));
    sums.insert(std::bit_cast<std::uint32_t>(sum));
  }
  CHECK(sums.size() == 2);
}

TEST_CASE("a missing wait for an asynchronous copy gives wrong results") {
  std::vector<float> in(2 * 32 * 4), out(in.size());
  std::iota(in.begin(), in.end(), 1.f);
  const LaunchOptions options{.grid = 1, .block = 32, .shared_bytes = 2 * 32 * 16};
  CHECK(wrong_seeds(options, out, in, [&] { copy_through<true>(in.data(), out.data()); }) == 0);
  CHECK(wrong_seeds(options, out, in, [&] { copy_through<false>(in.data(), out.data()); }) == schedules);
  CHECK_THAT(error_of(options,
                      [&] {
                        kernels::SharedMemory memory;
                        auto* tile = memory.take<kernels::Vector<float, 4>>(32);
                        kernels::copy_async(tile + threadIdx.x, in.data());
                        kernels::commit_copies();
                      }),
             Contains("asynchronous copies that it has not waited for"));
}

TEST_CASE("misaligned vectors and too little shared memory are errors") {
  alignas(16) float values[8] = {};
  CHECK_THAT(
      error_of({.grid = 1, .block = 1}, [&] { static_cast<void>(kernels::load_vector<4>(values + 1)); }),
      Contains(
          "block (0, 0, 0), thread (0, 0, 0): an access of 16 bytes to an address that is 4 past a multiple of 16"));
  CHECK_THAT(error_of({.grid = 1, .block = 1}, [&] { kernels::store_vector(values + 2, kernels::Vector<float, 4>{}); }),
             Contains("8 past"));
  CHECK_THAT(error_of({.grid = 1, .block = 1, .shared_bytes = 32},
                      [&] {
                        kernels::SharedMemory memory;
                        static_cast<void>(memory.take<float>(3));
                        static_cast<void>(memory.take<float>(5));
                      }),
             Contains("takes at least 48 bytes of shared memory, the launch gives 32"));
}

TEST_CASE("launches that no GPU accepts are errors") {
  CHECK_THAT(error_of({.grid = 1, .block = 1025}, [] {}), Contains("a block has 1 to 1024 threads, not 1025"));
  CHECK_THAT(error_of({.grid = 0, .block = 32}, [] {}), Contains("an empty grid"));
  CHECK_THAT(error_of({.grid = 1, .block = 32, .shared_bytes = 300000}, [] {}), Contains("at most 232448"));
}

TEST_CASE("after a failed launch the next one runs as if nothing had happened") {
  for (int round = 0; round < 3; ++round) {
    CHECK(error_of({.grid = 4, .block = 128, .shared_bytes = 64, .cooperative = true}, [] {
            if (blockIdx.x == 2 && threadIdx.x == 77) fail("a kernel's own error");
            __syncthreads();
          }) == "a kernel's own error");
    int count = 0;
    emulate({.grid = 4, .block = 128}, [&] {
      __syncthreads();
      ++count;
    });
    CHECK(count == 4 * 128);
  }
}
