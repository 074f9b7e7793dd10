// The command line of a program that is no trainer, as its table of options says, and main() around it. Such a
// program's Options has
//   program, purpose                       its name, and what it does in a sentence
//   static const OptionTable<Options>& table()
#pragma once

#include <cstdio>
#include <exception>
#include <new>
#include <optional>

#include <lpw/train/printable.hpp>

#include "declare_option.hpp"

namespace example {

/// Fills `options`. Returns an exit code where the program should end: --help, --version, or a mistake, which has been
/// printed. Throws OptionError for an option that does nothing beside the others.
template <class Options>
std::optional<int> parse_options(Options& options, int argc, char** argv) {
  CLI::App app(Options::purpose);
  app.option_defaults()->multi_option_policy(CLI::MultiOptionPolicy::TakeLast);
  declare_version(app, Options::program);
  for (const auto& row : Options::table()) row.visit(options, [&](auto& value) { declare_option(app, row, value); });
  try {
    app.parse(argc, argv);
  } catch (const CLI::CallForHelp&) {
    std::fputs(app.help().c_str(), stdout);
    return 0;
  } catch (const CLI::CallForVersion&) {
    std::printf("%s\n", app.version().c_str());
    return 0;
  } catch (const CLI::ParseError& error) {
    std::fprintf(stderr, "%s: %s (see --help)\n", Options::program, lpw::train::one_line(error.what()).c_str());
    return 2;
  }
  for (const auto& row : Options::table())
    if (const auto why = row.idle_in(options); why && app.get_option("--" + row.name)->count() > 0)
      lpw::fail<lpw::OptionError>(refusal(row.name, *why));
  return std::nullopt;
}

/// Runs a program and returns its exit code: run(options)'s, or 1 for an error, which it prints as one line. `less` is
/// what to try where memory runs out.
template <class Options, class Run>
int main_with_options(int argc, char** argv, const char* less, Run&& run) {
  try {
    Options options;
    if (const auto exit = parse_options(options, argc, argv)) return *exit;
    return run(options);
  } catch (const std::bad_alloc&) {
    std::fprintf(stderr, "%s: out of memory; try %s\n", Options::program, less);
  } catch (const std::exception& error) {
    const auto message = with_option_names(Options::table(), error.what());
    std::fprintf(stderr, "%s: %s\n", Options::program, lpw::train::one_line(message).c_str());
  }
  return 1;
}

}  // namespace example
