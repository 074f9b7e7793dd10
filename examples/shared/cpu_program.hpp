// Programs on the CPU. A trainer's cpu_float.cpp and cpu_bfloat16.cpp include this and call offer_cpu for its Example.
#pragma once

#include <cstdlib>

#include <lpw/distributed/processors.hpp>

#include "offered_programs.hpp"
#include "trainer_program.hpp"

namespace example {

/// What run_on_cpu is.
template <class Example, class T>
int start_on_cpu(const typename Example::Options& options, const std::string& config) {
  if (options.threads > 0) lpw::set_max_threads(options.threads);
  if constexpr (requires { options.processes; })
    if (options.threads == 0 && options.processes->several() && std::getenv("OMP_NUM_THREADS") == nullptr)
      lpw::set_max_threads(lpw::distributed::threads_of_process(*options.processes));
  if constexpr (requires { options.convolution; })
    lpw::convolution() = options.convolution == "direct" ? lpw::Convolution::direct : lpw::Convolution::winograd;
  return typename ProgramOf<Example, T, lpw::Cpu>::type(options, config).run();
}

/// Returns true.
template <class Example, class T>
[[nodiscard]] bool offer_cpu() {
  run_on_cpu<Example, T> = start_on_cpu<Example, T>;
  return true;
}

}  // namespace example
