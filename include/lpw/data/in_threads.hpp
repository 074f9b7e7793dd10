// Work that is shared by threads of its own, beside those that compute: decoding files while a network trains.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <exception>
#include <limits>
#include <mutex>
#include <system_error>
#include <thread>
#include <vector>

#include <lpw/tensor/abi.hpp>

namespace lpw::inline LPW_ABI::data {

/// Calls f(item) for the items [0, count), each once, in up to `threads` threads, this one among them; where the system
/// starts none, in this one. Of what f throws, that of the first item is rethrown, so that it does not depend on the
/// threads; items after it may not have been visited.
template <class F>
void in_threads(int threads, std::int64_t count, F&& f) {
  std::atomic<std::int64_t> next = 0, failed = std::numeric_limits<std::int64_t>::max();
  std::mutex mutex;
  std::exception_ptr failure;
  const auto work = [&] {
    for (std::int64_t item; (item = next.fetch_add(1)) < std::min(count, failed.load());) {
      try {
        f(item);
      } catch (...) {
        const std::lock_guard lock(mutex);
        if (item < failed) failed = item, failure = std::current_exception();
      }
    }
  };
  std::vector<std::thread> others;
  try {
    for (std::int64_t i = 1; i < std::min<std::int64_t>(threads, count); ++i) others.emplace_back(work);
  } catch (const std::system_error&) {  // those that there are do it
  }
  work();
  for (auto& thread : others) thread.join();
  if (failure) std::rethrow_exception(failure);
}

}  // namespace lpw::inline LPW_ABI::data
