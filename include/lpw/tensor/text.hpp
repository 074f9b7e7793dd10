// Values as text: messages, tables, metrics. Numbers are written as C and C++ write them where no locale is set
// ("0.25", "1234"), whatever locale the program has: files are read again, and a message is to name a number as it was
// given.
#pragma once

#include <charconv>
#include <cstddef>
#include <iomanip>
#include <ios>
#include <locale>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

#include <lpw/tensor/abi.hpp>

namespace lpw::inline LPW_ABI {

/// A stream into a string that no locale changes.
[[nodiscard]] inline std::ostringstream text_stream() {
  std::ostringstream out;
  out.imbue(std::locale::classic());
  return out;
}

/// Streams all parts into one string.
template <class... Parts>
[[nodiscard]] std::string to_text(const Parts&... parts) {
  std::ostringstream out = text_stream();
  (out << ... << parts);
  return out.str();
}

/// The parts of a text between separators, empty ones too: one more than there are separators. They view the text.
[[nodiscard]] inline std::vector<std::string_view> split_text(std::string_view text, char separator) {
  std::vector<std::string_view> parts;
  for (std::size_t at = 0;;) {
    const std::size_t next = text.find(separator, at);
    parts.push_back(text.substr(at, next - at));
    if (next == std::string_view::npos) return parts;
    at = next + 1;
  }
}

/// x with `digits` digits after the point: printf's %.<digits>f.
[[nodiscard]] inline std::string fixed(double x, int digits) {
  return to_text(std::fixed, std::setprecision(digits), x);
}

/// x with up to `digits` digits in all: printf's %.<digits>g.
[[nodiscard]] inline std::string significant(double x, int digits) { return to_text(std::setprecision(digits), x); }

/// The shortest text that reads back exactly.
template <class T>
[[nodiscard]] std::string shortest(T value) {
  char digits[64];
  return {digits, std::to_chars(digits, digits + sizeof digits, value).ptr};
}

}  // namespace lpw::inline LPW_ABI
