// Threads on the CPU are OpenMP's. Loops are written as pragmas where they stand; this file holds the few questions one asks about threads,
// with answers for a compiler without OpenMP. Our own loops cut work by shape, never by thread count, so that their results do not depend
// on it; oneDNN's may.
#pragma once

#include <cstdint>

#if defined(_OPENMP)
#include <omp.h>
#endif

namespace lpw {

/// The number of threads that the next parallel loop runs on.
[[nodiscard]] inline int max_threads() {
#if defined(_OPENMP)
  return omp_get_max_threads();
#else
  return 1;
#endif
}

/// Sets that number; without OpenMP it is always 1.
inline void set_max_threads([[maybe_unused]] int threads) {
#if defined(_OPENMP)
  omp_set_num_threads(threads);
#endif
}

/// This thread's number within its parallel loop, from 0.
[[nodiscard]] inline int thread_number() {
#if defined(_OPENMP)
  return omp_get_thread_num();
#else
  return 0;
#endif
}

/// The first item of part `part` when `count` items are cut into `parts` nearly equal runs.
[[nodiscard]] constexpr std::int64_t part_begin(std::int64_t count, std::int64_t parts, std::int64_t part) { return count * part / parts; }

}  // namespace lpw
