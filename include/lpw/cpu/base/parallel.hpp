// Parallel loops on the CPU. Work is cut by shape, never by the number of threads, so that results do not depend on it;
// what the threads then take of it, as they come, is chance.
//
// A loop states what it costs, in passes: the time in which a simple loop reads and writes one element that lies in a
// core's cache, about a quarter of a nanosecond. A loop too small to be shared runs on the thread that calls it, and so
// does one inside of another.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <type_traits>

#include <lpw/cpu/base/processors.hpp>
#include <lpw/cpu/base/thread_pool.hpp>

namespace lpw::inline LPW_ABI {

namespace detail {

[[nodiscard]] inline std::atomic<int>& thread_count() {
  static std::atomic<int> count = default_threads();
  return count;
}

/// Items handed out at a time: some sixty-fourth of all, but that costs at least a quarter of a loop worth sharing, so
/// that handing out does not weigh, and at most some 60 microseconds where items are small enough, for a thread may
/// lose its processor.
[[nodiscard]] inline std::int64_t run_length(std::int64_t count, std::int64_t cost) {
  constexpr std::int64_t most = 1 << 18;
  const std::int64_t wanted = std::clamp(count * cost / 64, std::min(most, least_shared_cost() / 4), most);
  return std::max<std::int64_t>(1, wanted / std::max<std::int64_t>(cost, 1));
}

}  // namespace detail

/// What so many multiply-adds of matrix products cost, in passes.
[[nodiscard]] constexpr std::int64_t products_cost(std::int64_t products) { return products / 16; }

/// The most threads that a loop runs on: by default default_threads().
[[nodiscard]] inline int max_threads() { return detail::thread_count().load(std::memory_order_relaxed); }

/// Sets that number, at least 1, for the whole process; not while a primitive runs.
inline void set_max_threads(int threads) { detail::thread_count() = std::max(1, threads); }

/// This thread's number within its loop, from 0, below max_threads(): it says whose scratch memory is whose.
[[nodiscard]] inline int thread_number() { return detail::thread_place().number; }

/// Calls f(first, last) for runs of the items [0, count), which together are all of them, in parallel; an item costs
/// `cost` passes. Runs are of any length: what f does with an item must not depend on the run. What f throws is
/// rethrown here, after which some items may not have been visited. Throws Error where the system has no thread.
template <class F>
void parallel_runs(std::int64_t count, std::int64_t cost, F&& f) {
  if (count <= 0) return;
  const int threads = max_threads();
  if (threads == 1 || count == 1 || count * cost < detail::least_shared_cost() || detail::thread_place().in_loop) {
    f(std::int64_t{0}, count);
    return;
  }
  using Body = std::remove_reference_t<F>;
  detail::Loop loop{[](const void* body, std::int64_t first, std::int64_t last) {
                      (*const_cast<Body*>(static_cast<const Body*>(body)))(first, last);
                    },
                    &f, count, detail::run_length(count, cost), threads};
  detail::thread_pool().run(loop);
}

/// Calls f(item) for all items [0, count) in parallel; otherwise as parallel_runs.
template <class F>
void parallel_for(std::int64_t count, std::int64_t cost, F&& f) {
  parallel_runs(count, cost, [&f](std::int64_t first, std::int64_t last) {
    for (std::int64_t item = first; item < last; ++item) f(item);
  });
}

/// Calls f(first, last) for runs of elements [0, size) that begin at multiples of 4096; an element costs `cost` passes.
template <class F>
void parallel_elements(std::int64_t size, std::int64_t cost, F&& f) {
  constexpr std::int64_t block = 4096;
  parallel_runs((size + block - 1) / block, block * cost,
                [&f, size](std::int64_t first, std::int64_t last) { f(first * block, std::min(size, last * block)); });
}

/// The first item of part `part` when `count` items are cut into `parts` nearly equal runs.
[[nodiscard]] constexpr std::int64_t part_begin(std::int64_t count, std::int64_t parts, std::int64_t part) {
  return count * part / parts;
}

}  // namespace lpw::inline LPW_ABI
