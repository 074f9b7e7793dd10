// Numbers out of text, whatever the locale.
#pragma once

#include <charconv>
#include <locale>
#include <optional>
#include <sstream>
#include <string>
#include <string_view>
#include <system_error>

#include <lpw/tensor/abi.hpp>

namespace lpw::inline LPW_ABI {

/// The decimal number that all of `text` is, infinity and NaN included where the library reads them; nothing for any
/// other text, or a number out of range.
[[nodiscard]] inline std::optional<double> parse_double(std::string_view text) {
  double value = 0;
#if defined(__cpp_lib_to_chars)
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
#else  // libc++ before version 20
  if (text.empty() || text.find_first_not_of("0123456789.-+eE") != text.npos || text[0] == '+') return std::nullopt;
  std::istringstream stream{std::string(text)};
  stream.imbue(std::locale::classic());
  stream >> value;
  if (!stream || stream.peek() != std::istringstream::traits_type::eof()) return std::nullopt;
#endif
  return value;
}

}  // namespace lpw::inline LPW_ABI
