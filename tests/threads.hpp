// The number of threads, set for a while, and whether a computation gives the same bits on any number of them.
#pragma once

#include <lpw/cpu/parallel.hpp>

namespace lpw::test {

/// Parallel loops run on `threads` threads until the end of the scope.
class ThreadScope {
 public:
  explicit ThreadScope(int threads) : before_(max_threads()) { set_max_threads(threads); }
  ThreadScope(const ThreadScope&) = delete;
  ThreadScope& operator=(const ThreadScope&) = delete;
  ~ThreadScope() { set_max_threads(before_); }

 private:
  int before_;
};

/// results() on that many threads.
template <class Results>
[[nodiscard]] auto on_threads(int threads, Results&& results) {
  const ThreadScope scope(threads);
  return results();
}

/// True if results(), any value with ==, is the same on 1, 2 and 3 threads.
template <class Results>
[[nodiscard]] bool same_on_any_threads(Results&& results) {
  const auto one = on_threads(1, results);
  return on_threads(2, results) == one && on_threads(3, results) == one;
}

}  // namespace lpw::test
