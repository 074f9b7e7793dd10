// Runs a grid of CUDA threads on fibers and finds what a GPU would answer with a hang or a wrong result.
//
// Order: between two barriers the warps of a block run one after another, and the blocks of a grid likewise, in an
// order drawn from the seed; lanes of a warp take turns at every warp-wide call, and after an atomic operation other
// blocks may come first. So of two accesses that no barrier separates, each comes first under about half of the seeds,
// and a missing barrier shows as a result that is wrong or depends on the seed. A wait that cannot end is an lpw::Error
// naming block and thread. Everything is sequential: the emulator shows races between threads, not between memory
// accesses; what these could do to stores that other blocks read, memory_order.hpp finds.
//
// grid.cpp has what a launch spends most of its time in, so that it is optimised where the tests are not.
#pragma once

#include <cstddef>
#include <cstdint>
#include <exception>
#include <memory>
#include <string_view>
#include <vector>

#include <lpw/tensor/error.hpp>

#include "emulator/cuda_types.hpp"
#include "emulator/memory_order.hpp"

namespace lpw::emulator {

struct LaunchOptions {
  dim3 grid, block;
  std::size_t shared_bytes = 0;     // dynamic shared memory of a block
  std::uint64_t seed = 0;           // of the order of threads; its parity chooses what fresh shared memory holds
  bool cooperative = false;         // all blocks are resident at once and may wait for each other
  unsigned resident_blocks = 1024;  // how many fit: multiprocessors times occupancy
};

/// What a thread is waiting for, if anything.
enum class State : std::uint8_t { ready, barrier, warp, spinning, returned };

/// A copy into shared memory that has been issued and not yet carried out.
struct PendingCopy {
  void* to;
  const void* from;
  std::size_t bytes;
  unsigned group;
};

class Fiber;
struct Block;

struct Thread {
  Block* block = nullptr;
  Fiber* fiber = nullptr;  // from its first step to its return
  unsigned rank = 0;       // in the block
  uint3 index = {};
  State state = State::ready;
  std::string_view call = {};  // what it waits in, and where that is
  Site site;
  std::uint32_t mask = 0;   // of the warp-wide call
  std::uint64_t value = 0;  // what it brings to that call, and takes from it
  int source = -1;          // the lane whose value it wants; -1: all lanes' votes
  unsigned groups = 0;      // of asynchronous copies, committed so far
  std::vector<PendingCopy> copies = {};
  ThreadOrder order = {};
};

struct Block {
  std::uint64_t number = 0;
  uint3 index = {};
  BlockOrder order = {};
  std::vector<Thread> threads = {};
  std::unique_ptr<std::byte[]> shared = nullptr;
  unsigned at_barrier = 0, returned = 0;

  [[nodiscard]] bool done() const { return returned == threads.size(); }
};

class Grid {
 public:
  using Kernel = void (*)(const void*);

  Grid(const LaunchOptions& options, Kernel kernel, const void* argument);

  void run();

  // What a running thread may ask for.

  [[nodiscard]] static Grid*& current();
  [[nodiscard]] static Thread& self() { return *current()->running_; }

  void barrier(const Site& site);

  /// One of the warp-wide calls: brings `value`, returns that of lane `source`, or with -1 the lanes' votes (value !=
  /// 0).
  [[nodiscard]] std::uint64_t warp_call(std::string_view call, std::uint32_t mask, std::uint64_t value, int source,
                                        const Site& site);

  template <class Condition>
  void spin_while(Condition condition, const Site& site) {
    if (!condition()) return;
    ++progress_;
    do wait(State::spinning, "spin_while", site);
    while (condition());
    ++progress_;
  }

  void fence();
  void store_fresh(void* to, const void* from, std::size_t bytes, const Site& site);
  void load_fresh(void* to, const void* from, std::size_t bytes, const Site& site);
  void check_access(const char* what, const void* address, std::size_t bytes, const Site& site) const;
  void check_alignment(const void* address, std::size_t bytes) const;

  /// After an atomic operation, by which blocks tell each other what they have done: lets the others go on right here,
  /// half of the time.
  void atomic_done(const void* address);

  [[nodiscard]] unsigned char* shared_piece(std::size_t first, std::size_t bytes);

  /// The hardware copies at some moment between issue and wait: here at one of the two.
  void copy_async(void* to, const void* from, std::size_t bytes, const Site& site);
  void commit_copies() { ++self().groups; }
  void wait_copies(unsigned pending);

 private:
  template <class... Parts>
  [[noreturn]] void fail_here(const Parts&... parts) const;

  [[nodiscard]] std::uint64_t random();
  template <class V>
  void shuffle(V& values);
  [[nodiscard]] Actor actor() const;

  void start(Block& block, std::uint64_t number);
  static void run_thread(void* argument);
  void resume(Thread& thread);
  void wait(State state, std::string_view call, const Site& site);

  void run_resident(const std::uint64_t* numbers, std::size_t count);
  /// Runs a block until none of its threads can go on, or others are to come first.
  void run(Block& block);
  void run_warp(Block& block, unsigned warp);
  bool release_barrier(Block& block);
  /// All lanes of `mask` have arrived; `last` is running, the others go on when their turn comes.
  void exchange(Thread* warp, std::uint32_t mask, const Thread& last);

  /// Throws an error that says why nothing can go on. A thread that spins holds up its own block, so blocks without one
  /// come first.
  [[noreturn]] void explain(const std::vector<Block*>& alive) const;
  [[nodiscard]] static const Thread* thread_in(const Block& block, State state);
  [[noreturn]] void explain(const Block& block, const Thread& waiting) const;

  /// Ends the kernels that are under way, so that their fibers can be used again.
  void abort();

  LaunchOptions options_;
  Kernel kernel_;
  const void* argument_;
  std::uint64_t random_, blocks_ = 0, progress_ = 0;
  unsigned threads_ = 0;
  std::vector<Block> resident_;
  std::vector<Thread*> order_;
  Thread* running_ = nullptr;
  MemoryOrder memory_;
  std::exception_ptr failure_ = nullptr;
  bool aborting_ = false, other_blocks_first_ = false;
};

}  // namespace lpw::emulator
