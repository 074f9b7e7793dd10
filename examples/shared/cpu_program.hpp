// Trainers on the CPU. A trainer's cpu_float.cpp and cpu_bfloat16.cpp include this and instantiate run_on_cpu for its
// Example.
#pragma once

#include "trainer_program.hpp"

namespace example {

/// Returns the exit code.
template <class Example, class T>
int run_on_cpu(const typename Example::Options& options, const std::string& config) {
  if (options.threads > 0) lpw::set_max_threads(options.threads);
  if constexpr (requires { options.convolution; })
    lpw::convolution() = options.convolution == "direct" ? lpw::Convolution::direct : lpw::Convolution::winograd;
  return TrainerProgram<Example, T, lpw::Cpu>(options, config).run();
}

}  // namespace example
