// A fence that is missing, or a load that may be stale, is an error that names the place, under every order of threads;
// each broken kernel has a sound twin that passes.
#include "emulator/emulator.hpp"

#include <lpw/kernels/device.cuh>

#include <vector>

#include "catch.hpp"
#include "support/errors.hpp"

using namespace lpw;
using namespace lpw::test;
using Catch::Contains;
using emulator::emulate;
using emulator::LaunchOptions;

namespace {

constexpr int orders = 16, blocks = 3, block_threads = 64;

/// What a kernel leaves out of the order that one block's stores need to be seen by another.
enum class Missing { nothing, writers_fence, readers_fence, barrier_before_fence, fresh_load, fresh_store };

/// Lines of the kernel below.
int store_line = 0, load_line = 0;

/// Blocks leave a number for each thread, and the last to arrive adds them up.
template <Missing missing>
__global__ void add_up(int* partial, unsigned* counter, int* sum) {
  kernels::SharedMemory memory;
  unsigned* last = memory.take<unsigned>(1);
  int* mine = partial + blockIdx.x * blockDim.x + threadIdx.x;
  if constexpr (missing == Missing::fresh_store) {
    *mine = 1;
  } else {
    store_line = __LINE__ + 1;
    kernels::store_fresh(mine, 1);
  }
  if constexpr (missing != Missing::barrier_before_fence) __syncthreads();
  if (threadIdx.x == 0) {
    if constexpr (missing != Missing::writers_fence) __threadfence();
    *last = atomicAdd(counter, 1u) + 1 == gridDim.x;
    if constexpr (missing != Missing::readers_fence) __threadfence();
  }
  __syncthreads();
  if (!*last) return;
  const int* const first = partial + threadIdx.x;
  int total = 0;
  for (unsigned block = 0; block < gridDim.x; ++block)
    if constexpr (missing == Missing::fresh_load) {
      load_line = __LINE__ + 1;
      total += kernels::load_vector<1>(first + block * blockDim.x)[0];
    } else {
      load_line = __LINE__ + 1;
      total += kernels::load_fresh(first + block * blockDim.x);
    }
  atomicAdd(sum, total);
}

/// What add_up leaves, or the error that it ends in, under each order of threads.
template <Missing missing>
[[nodiscard]] std::vector<std::string> outcomes() {
  std::vector<std::string> result;
  for (std::uint64_t seed = 0; seed < orders; ++seed)
    for (const bool cooperative : {false, true}) {
      std::vector<int> partial(blocks * block_threads);
      unsigned counter = 0;
      int sum = 0;
      const LaunchOptions options{
          .grid = blocks, .block = block_threads, .shared_bytes = 16, .seed = seed, .cooperative = cooperative};
      const std::string message =
          message_of<Error>([&] { emulate(options, [&] { add_up<missing>(partial.data(), &counter, &sum); }); });
      result.push_back(message.empty() ? to_text(sum) : message);
    }
  return result;
}

[[nodiscard]] std::string place(const char* what, int line) { return to_text(what, " at memory_order.cpp:", line); }

/// That all outcomes hold each of the texts.
void check_all(const std::vector<std::string>& outcomes, const std::vector<std::string>& texts) {
  for (const auto& outcome : outcomes)
    for (const auto& text : texts) CHECK_THAT(outcome, Contains(text));
}

/// The message that a launch of two blocks, resident together, ends in under each order of threads; "" if in none.
template <class Kernel>
[[nodiscard]] std::vector<std::string> errors_of(const Kernel& kernel) {
  std::vector<std::string> result;
  for (std::uint64_t seed = 0; seed < orders; ++seed)
    result.push_back(message_of<Error>([&] {
      emulate({.grid = 2, .block = block_threads, .shared_bytes = 16, .seed = seed, .cooperative = true}, kernel);
    }));
  return result;
}

}  // namespace

TEST_CASE("blocks see each other's stores after a fence, an atomic operation and a fence") {
  for (const auto& outcome : outcomes<Missing::nothing>()) CHECK(outcome == to_text(blocks * block_threads));
}

TEST_CASE("a missing fence of the block that wrote is an error at the load") {
  const auto found = outcomes<Missing::writers_fence>();
  check_all(found, {place("reads", load_line) + " what block (", place("has written", store_line),
                    "a __threadfence() is missing in the block that wrote"});
}

TEST_CASE("a missing fence of the block that reads is an error at the load") {
  const auto found = outcomes<Missing::readers_fence>();
  check_all(found, {place("reads", load_line) + " what block (", place("has written", store_line),
                    "a __threadfence() is missing in this block"});
}

TEST_CASE("a fence before the barrier that the block's stores need covers one warp's alone") {
  for (const auto& outcome : outcomes<Missing::barrier_before_fence>())
    CHECK_THAT(outcome, Contains("a __threadfence() is missing in the block that wrote, between the store (of other "
                                 "warps: the __syncthreads() after it)") ||
                            Contains("of a word that no thread has written by store_fresh"));
}

TEST_CASE("a cached load of what another block has stored is an error, and a load in passing finds NaN") {
  const auto messages = outcomes<Missing::fresh_load>();
  check_all(messages, {place("a plain load", load_line) + " of what block (",
                       place("has written", store_line) + " for other blocks", "read by load_fresh"});
  std::vector<float> word(1), found(1);
  unsigned counter = 0;
  CHECK(errors_of([&] {
          if (blockIdx.x == 0 && threadIdx.x == 0) kernels::store_fresh(word.data(), 1.f);
          kernels::group_barrier(&counter, 2, blockIdx.x);
          if (blockIdx.x == 1 && threadIdx.x == 0) found[0] = word[0];
        }) == std::vector<std::string>(orders));
  CHECK(found[0] != found[0]);
  CHECK(word[0] == 1.f);  // when the launch is over
}

TEST_CASE("a fresh load of what was stored in passing is an error") {
  const auto found = outcomes<Missing::fresh_store>();
  check_all(found, {place("load_fresh", load_line) + " of a word that no thread has written"});
}

TEST_CASE("a store that no atomic operation tells of is an error, unless its own block reads it after a barrier") {
  std::vector<int> words(2 * block_threads), found(2 * block_threads);
  const auto hand_over = [&](unsigned distance, bool barrier) {
    return errors_of([&] {
      const unsigned at = blockIdx.x * block_threads + threadIdx.x;
      kernels::store_fresh(words.data() + at, 1);
      if (barrier) __syncthreads();
      found[at] = kernels::load_fresh(words.data() + (at + distance) % (2 * block_threads));
    });
  };
  for (const auto& message : hand_over(block_threads, true))
    CHECK_THAT(message, Contains("nothing says that it has done so") ||
                            Contains("of a word that no thread has written by store_fresh"));
  CHECK(hand_over(0, false) == std::vector<std::string>(orders));
  for (const auto& message : errors_of([&] {
         kernels::store_fresh(words.data() + threadIdx.x + blockIdx.x * block_threads, 1);
         if (threadIdx.x >= 32) __syncwarp();
         const unsigned other = (threadIdx.x + 32) % block_threads + blockIdx.x * block_threads;
         found[other] = kernels::load_fresh(words.data() + other);
       }))
    CHECK_THAT(message, Contains("without a __syncthreads() between") ||
                            Contains("of a word that no thread has written by store_fresh"));
}

TEST_CASE("what a block has learned of others it hands on with its own stores") {
  std::vector<int> words(2);
  unsigned first = 0, second = 0;
  int found = 0;
  for (std::uint64_t seed = 0; seed < orders; ++seed) {
    first = second = 0;
    emulate({.grid = 3, .block = 32, .seed = seed, .cooperative = true}, [&] {
      if (threadIdx.x != 0) return;
      const auto tell = [](unsigned* counter) {
        __threadfence();
        atomicAdd(counter, 1u);
      };
      const auto hear = [](unsigned* counter) {
        kernels::spin_while([=] { return kernels::load_fresh(counter) == 0; });
        __threadfence();
      };
      if (blockIdx.x == 0) {
        kernels::store_fresh(words.data(), 5);
        atomicAdd(&second, 0u);  // there is such a word
        tell(&first);
      } else if (blockIdx.x == 1) {
        atomicAdd(&first, 0u);
        hear(&first);
        kernels::store_fresh(words.data() + 1, kernels::load_fresh(words.data()) + 1);
        tell(&second);
      } else {
        atomicAdd(&second, 0u);
        hear(&second);
        found = kernels::load_fresh(words.data()) + kernels::load_fresh(words.data() + 1);
      }
    });
    CHECK(found == 11);
  }
}

TEST_CASE("words that blocks count on are no others, and their stores do not cross") {
  std::vector<unsigned> word(2);
  const auto once = [&](const auto& kernel) {
    return message_of<Error>([&] { emulate({.grid = 1, .block = 32}, kernel); });
  };
  CHECK_THAT(once([&] {
               if (threadIdx.x != 0) return;
               kernels::store_fresh(word.data(), 1u);
               atomicAdd(word.data(), 1u);
             }),
             Contains("an atomic operation on a word that store_fresh has written in this launch"));
  CHECK_THAT(once([&] {
               if (threadIdx.x != 0) return;
               atomicAdd(word.data(), 1u);
               kernels::store_fresh(word.data(), 1u);
             }),
             Contains("to a word that blocks count on in this launch"));
  for (const auto& message : errors_of([&] {
         if (threadIdx.x == 0) kernels::store_fresh(word.data(), blockIdx.x);
       }))
    CHECK_THAT(message, Contains("writes at memory_order.cpp:") && Contains("nothing says that it has done so"));
}
