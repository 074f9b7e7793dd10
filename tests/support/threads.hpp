// The number of threads, set for a while, and whether a computation gives the same bits on any number of them.
#pragma once

#include <lpw/cpu/base/parallel.hpp>

namespace lpw::test {

/// Parallel loops run on `threads` threads until the end of the scope; if `all`, those too that are too small for it to
/// pay.
class ThreadScope {
 public:
  explicit ThreadScope(int threads, bool all = false)
      : before_(max_threads()), cost_(lpw::detail::least_shared_cost()) {
    set_max_threads(threads);
    if (all) lpw::detail::least_shared_cost() = 0;
  }
  ThreadScope(const ThreadScope&) = delete;
  ThreadScope& operator=(const ThreadScope&) = delete;
  ~ThreadScope() {
    set_max_threads(before_);
    lpw::detail::least_shared_cost() = cost_;
  }

 private:
  int before_;
  std::int64_t cost_;
};

/// results() on that many threads, every loop shared.
template <class Results>
[[nodiscard]] auto on_threads(int threads, Results&& results) {
  const ThreadScope scope(threads, true);
  return results();
}

/// True if results(), any value with ==, is the same on 1, 2 and 3 threads.
template <class Results>
[[nodiscard]] bool same_on_any_threads(Results&& results) {
  const auto one = on_threads(1, results);
  const std::int64_t before = lpw::detail::thread_pool().shared_loops();
  const bool same = on_threads(2, results) == one && on_threads(3, results) == one;
  return same && lpw::detail::thread_pool().shared_loops() > before;  // else nothing was tried
}

}  // namespace lpw::test
