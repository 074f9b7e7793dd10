// A row of a table of options as an option of a command line.
#pragma once

#include <string>
#include <type_traits>

#include <CLI/CLI.hpp>

#include "option_table.hpp"

namespace example {

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
