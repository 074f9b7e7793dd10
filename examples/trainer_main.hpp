// main() of a trainer: the command line, the device and the element type that it asks for, and errors as one line.
#pragma once

#include <cstdio>
#include <exception>
#include <new>
#include <string>

#include <omp.h>

#include "command_line.hpp"
#include "trainer_program.hpp"

namespace example {

/// Defined in <trainer>_cuda.cpp, where the program is built with CUDA; see cuda_program.hpp.
template <class Example>
int run_on_cuda(const typename Example::Options& options, const std::string& config);

template <class Example>
int run_on_cpu(const typename Example::Options& options, const std::string& config) {
  if (options.threads > 0) omp_set_num_threads(options.threads);
  lpw::convolution() = options.convolution == "direct" ? lpw::Convolution::direct : lpw::Convolution::winograd;
  return options.precision == "bf16" ? TrainerProgram<Example, lpw::bfloat16, lpw::Cpu>(options, config).run()
                                     : TrainerProgram<Example, float, lpw::Cpu>(options, config).run();
}

template <class Example>
int trainer_main(int argc, char** argv) {
  using Options = typename Example::Options;
  try {
    CommandLine<Options> line;
    if (const auto exit = line.parse(argc, argv)) return *exit;
    if constexpr (with_cuda)
      if (line.options.device == "cuda") return run_on_cuda<Example>(line.options, line.config());
    return run_on_cpu<Example>(line.options, line.config());
  } catch (const std::bad_alloc&) {
    std::fprintf(stderr, "%s: out of memory; try a smaller --batch, --member-chunk or network\n", Options::program);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s: %s\n", Options::program, error.what());
  }
  return 1;
}

}  // namespace example
