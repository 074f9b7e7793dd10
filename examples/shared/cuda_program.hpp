// Programs on the GPU. A trainer's cuda.cpp, which nvcc compiles, includes this first and calls offer_cuda for its
// Example before main() begins. oneDNN's header is not for nvcc, so nothing here may call the CPU's convolutions or
// matrix products: the program has them compiled with oneDNN elsewhere.
#pragma once

#include <lpw/cuda/cuda.hpp>
#include <lpw/data/device_loader.hpp>
#include <lpw/data/device_text.hpp>
#include <lpw/distributed/gpus.hpp>
#include <lpw/distributed/nccl.hpp>

// nvcc's files are without oneDNN, and lpw's types are others there: what takes one is compiled here once more.
#include "export.cpp"
#include "offered_programs.hpp"
#include "trainer_program.hpp"

namespace example {

template <>
struct Machine<lpw::Cuda> {
  static std::string engine() { return lpw::to_text("cuDNN ", cudnnGetVersion()); }
  static std::string description() { return lpw::to_text(lpw::cuda::device_name(), " (", engine(), ")"); }
};

/// Trains on the GPU that the process has.
template <class Example>
int run_on_gpu(const typename Example::Options& options, const std::string& config) {
  static_cast<void>(lpw::cuda::stream());  // says so where there is no GPU, before data is read
  if (options.precision == "bf16")
    return typename ProgramOf<Example, lpw::bfloat16, lpw::Cuda>::type(options, config).run();
  return typename ProgramOf<Example, float, lpw::Cuda>::type(options, config).run();
}

/// The same with processes that have a GPU each, which sum by NCCL; without it, by way of the host.
template <class Example>
int run_over_gpus(typename Example::Options options, const std::string& config) {
  lpw::distributed::take_gpu(*options.processes);
#if defined(LPW_WITH_NCCL) && LPW_WITH_NCCL
  lpw::distributed::Nccl gpus(*options.processes);
  lpw::distributed::AnyCommunicatorOf processes(gpus);
  options.processes = &processes;
#endif
  return run_on_gpu<Example>(options, config);
}

/// What run_on_cuda is in a program with CUDA.
template <class Example>
int start_on_cuda(const typename Example::Options& options, const std::string& config) {
  auto& settings = lpw::cuda::settings();
  settings.tf32 = options.precision == "tf32";
  settings.deterministic = options.deterministic;
  if constexpr (requires { options.processes; })
    if (options.processes->several()) return run_over_gpus<Example>(options, config);
  return run_on_gpu<Example>(options, config);
}

/// Returns true.
template <class Example>
[[nodiscard]] bool offer_cuda() {
  run_on_cuda<Example> = start_on_cuda<Example>;
  return true;
}

}  // namespace example
