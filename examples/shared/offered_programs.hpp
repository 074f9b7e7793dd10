// The programs that a binary holds for element types and devices, each compiled in a file of its own.
#pragma once

#include <string>

#include <lpw/tensor/dtype.hpp>
#include <lpw/tensor/error.hpp>

namespace example {

/// Runs a program and returns the exit code. Its cuda.cpp, cpu_float.cpp and cpu_bfloat16.cpp set these
/// (cuda_program.hpp, cpu_program.hpp), before main() begins: a program that is built without one of them is the same
/// but for that.
template <class Example>
inline int (*run_on_cuda)(const typename Example::Options& options, const std::string& config) = nullptr;
template <class Example, class T>
inline int (*run_on_cpu)(const typename Example::Options& options, const std::string& config) = nullptr;

/// Throws OptionError for --device cuda where there is none.
inline void require_device(const std::string& device, bool with_cuda) {
  lpw::require<lpw::OptionError>(with_cuda || device != "cuda",
                                 "--device cuda: this program was built without CUDA; build it where nvcc, "
                                 "cuBLAS and cuDNN are (cmake --preset cuda), or take --device cpu");
}

/// Runs the one that --device and --precision ask for.
template <class Example>
int run_offered(const typename Example::Options& options, const std::string& config) {
  require_device(options.device, run_on_cuda<Example> != nullptr);
  if (options.device == "cuda") return run_on_cuda<Example>(options, config);
  const auto run = options.precision == "bf16" ? run_on_cpu<Example, lpw::bfloat16> : run_on_cpu<Example, float>;
  lpw::require<lpw::OptionError>(run != nullptr, "--precision ", options.precision,
                                 ": this program was built without it, as those with sanitizers are; take fp32");
  return run(options, config);
}

}  // namespace example
