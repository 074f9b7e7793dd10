// Options in a file: lines of `name = value`, the part of TOML that options need. CLI11 has a reader of its own, which skips what it does
// not know and tells no line numbers; a misspelt option would train for days without it.
#pragma once

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <filesystem>
#include <map>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include <CLI/CLI.hpp>

#include <lpw/io/file.hpp>

#include "numbers.hpp"

namespace config_file {

struct Setting {
  std::string name, value;
  int line;
};

namespace detail {

inline std::string_view trimmed(std::string_view text) {
  const auto first = text.find_first_not_of(" \t\r");
  return first == std::string_view::npos ? std::string_view() : text.substr(first, text.find_last_not_of(" \t\r") - first + 1);
}

/// Takes an escape sequence of a "string" off the front of `text`, which follows its backslash. False if it is none.
inline bool take_escape(std::string_view& text, std::string& value) {
  constexpr std::string_view letters = "\"\\ntrbf", meanings = "\"\\\n\t\r\b\f";
  if (text.empty()) return false;
  if (const auto found = letters.find(text.front()); found != std::string_view::npos) {
    value += meanings[found];
    text.remove_prefix(1);
    return true;
  }
  unsigned code = 0;
  if (text.front() != 'u' || text.size() < 5) return false;
  const auto [end, error] = std::from_chars(text.data() + 1, text.data() + 5, code, 16);
  if (error != std::errc() || end != text.data() + 5 || code == 0 || code >= 0x80) return false;  // others stand for themselves
  value += static_cast<char>(code);
  text.remove_prefix(5);
  return true;
}

/// Takes a value off the front of `text`: a "string" with escapes, a 'string' without, or a bare word. False if it is none.
inline bool take_value(std::string_view& text, std::string& value) {
  const char quote = text.empty() ? '\0' : text.front();
  if (quote != '"' && quote != '\'') {
    const auto end = std::min(text.find_first_of(" \t#"), text.size());
    value = text.substr(0, end);
    text.remove_prefix(end);
    return !value.empty() && value.find_first_of("[]{}=,\"'") == std::string::npos;
  }
  text.remove_prefix(1);
  while (!text.empty() && text.front() != quote) {
    const bool escape = quote == '"' && text.front() == '\\';
    if (!escape) value += text.front();
    text.remove_prefix(1);
    if (escape && !take_escape(text, value)) return false;
  }
  if (text.empty()) return false;
  text.remove_prefix(1);
  return true;
}

inline bool printable(std::string_view text) {
  return std::none_of(text.begin(), text.end(), [](unsigned char c) { return c < ' ' && c != '\t'; });
}

inline bool parse_line(std::string_view line, Setting& setting) {
  const auto equals = line.find('=');
  if (equals == std::string_view::npos) return false;
  setting.name = trimmed(line.substr(0, equals));
  line = trimmed(line.substr(equals + 1));
  if (setting.name.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789-") != std::string::npos || setting.name.empty()) return false;
  if (!take_value(line, setting.value)) return false;
  line = trimmed(line);
  return line.empty() || line.front() == '#';
}

}  // namespace detail

/// The settings in a text, in its order. Throws FileError with `source` and the line for what is not `name = value` and for a name given
/// twice.
[[nodiscard]] inline std::vector<Setting> parse(std::string_view text, const std::string& source) {
  constexpr std::size_t longest = 4096;  // of a line: whatever is longer is no list of options
  lpw::require<lpw::FileError>(!text.starts_with("\xff\xfe") && !text.starts_with("\xfe\xff"), source,
                               ": is written in UTF-16; save it as UTF-8");
  if (text.starts_with("\xef\xbb\xbf")) text.remove_prefix(3);  // a mark with which some editors begin a file
  std::vector<Setting> settings;
  std::map<std::string, int> lines;
  for (int number = 1; !text.empty(); ++number) {
    const auto end = std::min(text.find('\n'), text.size());
    const std::string_view line = detail::trimmed(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
    if (line.empty() || line.front() == '#') continue;
    Setting setting{"", "", number};
    lpw::require<lpw::FileError>(line.size() <= longest && detail::printable(line) && detail::parse_line(line, setting), source, ':',
                                 number, ": expected an option as name = value, such as epochs = 200 or model = \"wrn-28-10\"");
    const auto [first, is_new] = lines.emplace(setting.name, number);
    lpw::require<lpw::FileError>(is_new, source, ':', number, ": ", setting.name, " is set in line ", first->second, " already");
    settings.push_back(std::move(setting));
  }
  return settings;
}

/// Sets every option of the file that the command line did not set. Throws FileError naming file and line for an option that there is not,
/// that belongs on the command line (CLI::Option::configurable(false)), or whose value its checks refuse.
inline void apply(CLI::App& app, const std::filesystem::path& path) {
  const auto bytes = lpw::io::read_file(path);
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  for (const Setting& setting : parse(text, path.string())) {
    const auto where = lpw::to_text(path.string(), ':', setting.line, ": ");
    CLI::Option* option = app.get_option_no_throw("--" + setting.name);
    lpw::require<lpw::FileError>(option != nullptr, where, "there is no option ", setting.name, "; --help lists them");
    lpw::require<lpw::FileError>(option->get_configurable(), where, setting.name, " belongs on the command line, not into a file");
    if (option->count() > 0) continue;
    try {
      option->add_result(setting.value);
      option->run_callback();
    } catch (const CLI::ParseError& error) {
      lpw::fail<lpw::FileError>(where, error.what());
    }
  }
}

/// A line of such a file. Numbers read back exactly.
template <class T>
[[nodiscard]] std::string line(const std::string& name, const T& value) {
  std::string text = name + " = ";
  if constexpr (std::is_convertible_v<T, std::string>) {
    text += '"';
    for (const char c : std::string(value)) {
      char escape[8];
      std::snprintf(escape, sizeof escape, "\\u%04x", static_cast<unsigned>(static_cast<unsigned char>(c)));
      const bool control = static_cast<unsigned char>(c) < ' ' || c == 0x7f;
      if (c == '"' || c == '\\') text += '\\';
      text += control ? std::string(escape) : std::string(1, c);
    }
    text += '"';
  } else if constexpr (std::is_same_v<T, bool>) {
    text += value ? "true" : "false";
  } else {
    text += lpw::shortest(value);
  }
  return text + '\n';
}

}  // namespace config_file
