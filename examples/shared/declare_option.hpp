// A row of a table of options as an option of a command line.
#pragma once

#include <string>
#include <type_traits>

#include <CLI/CLI.hpp>

#include <lpw/cpu/base/instructions.hpp>
#include <lpw/version.hpp>

#include "option_table.hpp"

namespace example {

/// What a program says of itself: "cifar, lpw 0.1.0 for AVX2".
[[nodiscard]] inline std::string version_text(const char* program) {
  return lpw::to_text(program, ", lpw ", LPW_VERSION_MAJOR, '.', LPW_VERSION_MINOR, '.', LPW_VERSION_PATCH, " for ",
                      lpw::instruction_set());
}

/// Declares --version, for which parsing ends by CLI::CallForVersion.
inline void declare_version(CLI::App& app, const char* program) {
  app.set_version_flag("-V,--version", version_text(program), "Print the version and the instruction set, and exit");
}

/// Declares --NAME with its help, default, check and group. What the command line says goes to `value`.
template <class Options, class T>
void declare_option(CLI::App& app, const Option<Options>& row, T& value) {
  const std::string name = "--" + row.name;
  CLI::Option* option = nullptr;
  Check check = row.check;
  if constexpr (std::is_same_v<T, bool>) {
    option = app.add_flag(name, value, row.help);
    check = truth();
  } else {
    option = app.add_option(name, value, row.help)->capture_default_str();
    if (row.repeated) option->join('\n');
  }
  if (check.complaint) option->transform(CLI::Validator(check.complaint, check.choices));
  for (const auto& section : section_names)
    if (section.section == row.section) option->group(std::string(section.heading));
}

}  // namespace example
