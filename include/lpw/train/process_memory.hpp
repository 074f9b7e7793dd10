// How much memory a process has taken.
#pragma once

#include <sys/resource.h>

#include <lpw/tensor/abi.hpp>

namespace lpw::inline LPW_ABI::train {

/// The largest resident memory of this process so far, in MB (1e6 bytes).
[[nodiscard]] inline double peak_process_memory() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<double>(usage.ru_maxrss) * 1024 / 1e6;
}

}  // namespace lpw::inline LPW_ABI::train
