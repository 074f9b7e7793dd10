// The main function of the programs that measure kernels.
#pragma once

#include <cstdio>

#include "../beside.hpp"
#include "device_time.hpp"

namespace benchmarks {

/// Runs what register_all() registers, or says that there is no GPU (exit status 77).
template <class Register>
int run_device_benchmarks(int argc, char** argv, Register&& register_all) {
  if (!lpw::cuda::available()) {
    std::puts("SKIPPED: there is no NVIDIA GPU here");
    return 77;
  }
  register_all();
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
  benchmark::AddCustomContext("gpu", lpw::cuda::device_name());
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}

}  // namespace benchmarks
