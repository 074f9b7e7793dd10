// Trainers on the GPU. A trainer's cuda.cpp, which nvcc compiles, includes this first and instantiates run_on_cuda for
// its Example. oneDNN's header is not for nvcc, so nothing here may call the CPU's convolutions or matrix products: the
// program has them compiled with oneDNN elsewhere.
#pragma once

#include <lpw/cuda/cuda.hpp>
#include <lpw/data/device_loader.hpp>
#include <lpw/data/device_text.hpp>

#include "trainer_program.hpp"

namespace example {

template <>
struct Machine<lpw::Cuda> {
  static std::string engine() { return lpw::to_text("cuDNN ", cudnnGetVersion()); }
  static std::string description() { return lpw::to_text(lpw::cuda::device_name(), " (", engine(), ")"); }
};

/// Runs a trainer of which --device cuda was asked. Returns the exit code.
template <class Example>
int run_on_cuda(const typename Example::Options& options, const std::string& config) {
  auto& settings = lpw::cuda::settings();
  settings.tf32 = options.precision == "tf32";
  settings.deterministic = options.deterministic;
  static_cast<void>(lpw::cuda::stream());  // says so where there is no GPU, before data is read
  return options.precision == "bf16" ? TrainerProgram<Example, lpw::bfloat16, lpw::Cuda>(options, config).run()
                                     : TrainerProgram<Example, float, lpw::Cuda>(options, config).run();
}

}  // namespace example
