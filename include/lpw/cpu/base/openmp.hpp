// The OpenMP runtime that others brought along: lpw needs none, but oneDNN may be built on one, and so may Eigen where
// a program is compiled with -fopenmp. Inside of our loops their work runs on the thread that calls them: threads of
// two kinds would fight for the processors, and both libraries cut their sums by the number of theirs.
#pragma once

#include <dlfcn.h>

#include <lpw/tensor/abi.hpp>

namespace lpw::inline LPW_ABI::detail {

/// What calls of the program's OpenMP runtime resolve to; null where it has none.
struct OpenMpRuntime {
  int (*max_threads)();
  void (*set_threads)(int);  // of the calling thread's parallel regions
};

[[nodiscard]] inline const OpenMpRuntime& openmp_runtime() {
  static const OpenMpRuntime runtime{reinterpret_cast<int (*)()>(dlsym(RTLD_DEFAULT, "omp_get_max_threads")),
                                     reinterpret_cast<void (*)(int)>(dlsym(RTLD_DEFAULT, "omp_set_num_threads"))};
  return runtime;
}

/// The calling thread's OpenMP regions run on it alone, while this lives.
class SerialOpenMp {
 public:
  SerialOpenMp() {
    const OpenMpRuntime& runtime = openmp_runtime();
    if (!runtime.max_threads || !runtime.set_threads) return;
    before_ = runtime.max_threads();
    if (before_ != 1) runtime.set_threads(1);
  }
  SerialOpenMp(const SerialOpenMp&) = delete;
  SerialOpenMp& operator=(const SerialOpenMp&) = delete;
  ~SerialOpenMp() {
    if (before_ > 1) openmp_runtime().set_threads(before_);
  }

 private:
  int before_ = 0;
};

}  // namespace lpw::inline LPW_ABI::detail
