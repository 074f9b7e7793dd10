// main() of a trainer: the processes that it is one of, the command line, the device and the element type that it asks
// for, and errors as one line.
#pragma once

#include <csignal>
#include <exception>
#include <new>
#include <string>

#include "command_line.hpp"
#include "fingerprint.hpp"
#include "offered_programs.hpp"
#include "processes.hpp"

namespace example {

template <class Example>
int trainer_main(int argc, char** argv) {
  using Options = typename Example::Options;
  // Where output goes to a file that may not grow any more (ulimit -f), what is printed is lost, and not the run.
  std::signal(SIGXFSZ, SIG_IGN);
  Processes processes;
  try {
    auto& together = processes.start();
    CommandLine<Options> line(run_on_cuda<Example> != nullptr, together.leads());
    line.options.processes = &together;
    if (!line.parse(argc, argv)) return 0;
    if (together.several()) {
      lpw::distributed::require_same(together, {{"the program", fingerprint_of_program()}});
      lpw::distributed::require_same(together, line.settings());
    }
    return run_offered<Example>(line.options, line.config());
  } catch (const UsageError& error) {
    return processes.fail(Options::program, error.what(), 2);
  } catch (const std::bad_alloc&) {
    return processes.fail(Options::program, "out of memory; try a smaller --batch, --member-chunk or network", 1);
  } catch (const std::exception& error) {
    return processes.fail(Options::program, with_option_names(option_table<Options>(), error.what()), 1);
  }
}

}  // namespace example
