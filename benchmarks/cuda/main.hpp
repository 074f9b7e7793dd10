// The main function of the programs that measure kernels.
#pragma once

#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "beside_device.hpp"

namespace benchmarks {

namespace detail {

/// Takes --limit=SECONDS, after which no benchmark begins, out of the arguments.
inline void take_limit(int& argc, char** argv) {
  constexpr const char name[] = "--limit=";
  int kept = 0;
  for (int i = 0; i < argc; ++i) {
    if (std::strncmp(argv[i], name, std::strlen(name)) == 0) {
      deadline() = Clock::now() +
                   std::chrono::milliseconds(static_cast<std::int64_t>(1e3 * std::atof(argv[i] + std::strlen(name))));
    } else {
      argv[kept++] = argv[i];
    }
  }
  argc = kept;
}

/// Names are listed on any machine.
[[nodiscard]] inline bool lists_only(int argc, char** argv) {
  for (int i = 1; i < argc; ++i)
    if (std::strncmp(argv[i], "--benchmark_list_tests", 22) == 0) return true;
  return false;
}

}  // namespace detail

/// Runs what is registered, or says that there is no GPU (exit status 77).
inline int run_device_benchmarks(int argc, char** argv) {
  detail::take_limit(argc, argv);
  const bool lists = detail::lists_only(argc, argv);
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
  if (!lists && !lpw::cuda::available()) {
    std::puts("SKIPPED: there is no NVIDIA GPU here");
    return 77;
  }
  if (!lists) benchmark::AddCustomContext("gpu", lpw::cuda::device_name());
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}

}  // namespace benchmarks
