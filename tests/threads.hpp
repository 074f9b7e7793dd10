// Whether a computation gives the same bits on any number of threads.
#pragma once

#include <lpw/cpu/parallel.hpp>

namespace lpw::test {

/// True if results(), any value with ==, is the same on 1, 2 and 3 threads. Restores the number of threads.
template <class Results>
[[nodiscard]] bool same_on_any_threads(Results&& results) {
  const int before = max_threads();
  set_max_threads(1);
  const auto one = results();
  bool same = true;
  for (const int threads : {2, 3}) {
    set_max_threads(threads);
    same = same && results() == one;
  }
  set_max_threads(before);
  return same;
}

}  // namespace lpw::test
