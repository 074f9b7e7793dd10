// Values as text: messages, tables, metrics. Numbers are written as C and C++ write them where no locale is set
// ("0.25", "1234"), whatever locale the program has: files are read again, and a message is to name a number as it was
// given.
#pragma once

#include <charconv>
#include <iomanip>
#include <ios>
#include <locale>
#include <sstream>
#include <string>

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
