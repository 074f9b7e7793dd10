// main() of a trainer: the command line, the device and the element type that it asks for, and errors as one line.
#pragma once

#include <csignal>
#include <cstdio>
#include <exception>
#include <new>
#include <string>

#include "command_line.hpp"
#include "offered_programs.hpp"

namespace example {

template <class Example>
int trainer_main(int argc, char** argv) {
  using Options = typename Example::Options;
  // Where output goes to a file that may not grow any more (ulimit -f), what is printed is lost, and not the run.
  std::signal(SIGXFSZ, SIG_IGN);
  try {
    CommandLine<Options> line(run_on_cuda<Example> != nullptr);
    if (const auto exit = line.parse(argc, argv)) return *exit;
    return run_offered<Example>(line.options, line.config());
  } catch (const std::bad_alloc&) {
    std::fprintf(stderr, "%s: out of memory; try a smaller --batch, --member-chunk or network\n", Options::program);
  } catch (const std::exception& error) {
    const auto message = with_option_names(option_table<Options>(), error.what());
    std::fprintf(stderr, "%s: %s\n", Options::program, lpw::train::one_line(message).c_str());
  }
  return 1;
}

}  // namespace example
