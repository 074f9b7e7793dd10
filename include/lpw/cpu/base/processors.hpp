// How many threads a process may use to advantage.
#pragma once

#include <sched.h>

#include <cmath>
#include <cstdlib>
#include <thread>
#include <vector>

#include <lpw/tensor/control_groups.hpp>

namespace lpw::inline LPW_ABI {

namespace detail {

/// The processors that the calling thread may run on.
[[nodiscard]] inline int processors_in_mask() {
  for (std::size_t size = 1024; size <= (1 << 20);
       size *= 2) {  // the kernel refuses a mask that is too short for its machine
    std::vector<unsigned long> bits(size / 8 /
                                    sizeof(unsigned long));  // nvcc 13 fails on vectors of cpu_set_t, which has no name
    auto* const mask = static_cast<cpu_set_t*>(static_cast<void*>(bits.data()));
    if (sched_getaffinity(0, size / 8, mask) == 0) return CPU_COUNT_S(size / 8, mask);
  }
  return static_cast<int>(std::thread::hardware_concurrency());
}

/// The first number of a value like OMP_NUM_THREADS has, as 4 or 4,2; 0 for anything else.
[[nodiscard]] inline int first_count(const char* text) {
  char* end = nullptr;
  const long value = text ? std::strtol(text, &end, 10) : 0;
  while (end && (*end == ' ' || *end == '\t')) ++end;
  return value > 0 && value <= 65536 && (*end == '\0' || *end == ',') ? static_cast<int>(value) : 0;
}

}  // namespace detail

/// The threads that loops run on unless set_max_threads says otherwise: OMP_NUM_THREADS where it is set, which users of
/// other programs know; else as many as there are processors for the process, by its mask and by the quota of its
/// control groups, rounded up.
[[nodiscard]] inline int default_threads(const char* asked, int processors, const GroupLimits& limits) {
  if (const int count = detail::first_count(asked)) return count;
  const double quota = limits.processors ? std::ceil(*limits.processors) : processors;
  return std::max(1, quota < processors ? static_cast<int>(quota) : processors);
}
[[nodiscard]] inline int default_threads() {
  return default_threads(std::getenv("OMP_NUM_THREADS"), detail::processors_in_mask(), group_limits());
}

}  // namespace lpw::inline LPW_ABI
