// Files of options: TOML, as toml++ reads it. An option is a value; parts joined by commas may be an array; a table is
// a group of options. CLI11 has a reader of its own, which skips what it does not know and tells no line numbers; a
// misspelt option would train for days.
#pragma once

#include <concepts>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <lpw/tensor/text.hpp>

namespace config_file {

struct Setting {
  std::string name, value;  // of an array: its values joined by commas
  bool array = false;
  std::vector<std::string> parts = {};  // the values of an array
  std::int64_t line = 0;
};

/// The settings in a text, in its order. Throws FileError with `source` and the line for what is not TOML, a table that
/// is not one of `tables`, a name that is given twice, and what is no value of an option.
[[nodiscard]] std::vector<Setting> parse(std::string_view text, const std::string& source,
                                         std::span<const std::string_view> tables);

/// A line of such a file, which reads back exactly. Throws OptionError, naming the field, for a text that is not UTF-8.
[[nodiscard]] std::string line(const std::string& name, const std::string& value);
[[nodiscard]] std::string line(const std::string& name, std::uint64_t value);
/// The same of parts joined by commas, as an array; a part that is a whole number is one there.
[[nodiscard]] std::string list_line(const std::string& name, const std::string& parts);
/// The same of what was given several times, joined by ends of lines: an array of texts.
[[nodiscard]] std::string repeated_line(const std::string& name, const std::string& lines);
template <class T>
  requires(std::signed_integral<T> || std::same_as<T, double>)
[[nodiscard]] std::string line(const std::string& name, T value) { return name + " = " + lpw::shortest(value) + '\n'; }
template <std::same_as<bool> T>
[[nodiscard]] std::string line(const std::string& name, T value) {
  return name + (value ? " = true\n" : " = false\n");
}

}  // namespace config_file
