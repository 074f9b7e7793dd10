// main() of a trainer: the command line, the device and the element type that it asks for, and errors as one line.
#pragma once

#include <csignal>
#include <cstdio>
#include <exception>
#include <new>
#include <string>

#include "command_line.hpp"

namespace example {

/// Defined in a trainer's cuda.cpp, where the program is built with CUDA; see cuda_program.hpp.
template <class Example>
int run_on_cuda(const typename Example::Options& options, const std::string& config);

/// Runs a trainer on the CPU. Defined in its cpu_float.cpp and cpu_bfloat16.cpp, which are compiled side by side; see
/// cpu_program.hpp.
template <class Example, class T>
int run_on_cpu(const typename Example::Options& options, const std::string& config);

template <class Example>
int trainer_main(int argc, char** argv) {
  using Options = typename Example::Options;
  // Where output goes to a file that may not grow any more (ulimit -f), what is printed is lost, and not the run.
  std::signal(SIGXFSZ, SIG_IGN);
  try {
    CommandLine<Options> line;
    if (const auto exit = line.parse(argc, argv)) return *exit;
    if constexpr (with_cuda)
      if (line.options.device == "cuda") return run_on_cuda<Example>(line.options, line.config());
    if (line.options.precision == "bf16") return run_on_cpu<Example, lpw::bfloat16>(line.options, line.config());
    return run_on_cpu<Example, float>(line.options, line.config());
  } catch (const std::bad_alloc&) {
    std::fprintf(stderr, "%s: out of memory; try a smaller --batch, --member-chunk or network\n", Options::program);
  } catch (const std::exception& error) {
    const auto message = with_option_names(option_table<Options>(), error.what());
    std::fprintf(stderr, "%s: %s\n", Options::program, lpw::train::one_line(message).c_str());
  }
  return 1;
}

}  // namespace example
