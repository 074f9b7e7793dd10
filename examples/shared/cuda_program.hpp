// Programs on the GPU. A trainer's cuda.cpp, which nvcc compiles, includes this first and calls offer_cuda for its
// Example before main() begins. oneDNN's header is not for nvcc, so nothing here may call the CPU's convolutions or
// matrix products: the program has them compiled with oneDNN elsewhere.
#pragma once

#include <lpw/cuda/cuda.hpp>
#include <lpw/data/device_loader.hpp>
#include <lpw/data/device_text.hpp>

#include "offered_programs.hpp"
#include "trainer_program.hpp"

namespace example {

template <>
struct Machine<lpw::Cuda> {
  static std::string engine() { return lpw::to_text("cuDNN ", cudnnGetVersion()); }
  static std::string description() { return lpw::to_text(lpw::cuda::device_name(), " (", engine(), ")"); }
};

/// What run_on_cuda is in a program with CUDA.
template <class Example>
int start_on_cuda(const typename Example::Options& options, const std::string& config) {
  auto& settings = lpw::cuda::settings();
  settings.tf32 = options.precision == "tf32";
  settings.deterministic = options.deterministic;
  static_cast<void>(lpw::cuda::stream());  // says so where there is no GPU, before data is read
  if (options.precision == "bf16")
    return typename ProgramOf<Example, lpw::bfloat16, lpw::Cuda>::type(options, config).run();
  return typename ProgramOf<Example, float, lpw::Cuda>::type(options, config).run();
}

/// Returns true.
template <class Example>
[[nodiscard]] bool offer_cuda() {
  run_on_cuda<Example> = start_on_cuda<Example>;
  return true;
}

}  // namespace example
