// Text of unknown origin (file names, values of options, what a file says of itself) on its way to a terminal: nothing
// in it moves the cursor or starts an escape sequence, and what is meant to be one line is one.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <string>
#include <string_view>

#include <lpw/tensor/abi.hpp>

namespace lpw::inline LPW_ABI::train {

namespace detail {

/// Length of the printable UTF-8 character beyond ASCII with which `text` begins; 0 if there is none.
[[nodiscard]] inline std::size_t utf8_length(std::string_view text) {
  const auto at = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const std::size_t length = at(0) >= 0xf0 && at(0) < 0xf5   ? 4
                             : at(0) >= 0xe0 && at(0) < 0xf0 ? 3
                             : at(0) >= 0xc2 && at(0) < 0xe0 ? 2
                                                             : 0;
  if (length == 0 || length > text.size()) return 0;
  std::uint32_t code = at(0) & (0xffu >> (length + 1));
  for (std::size_t i = 1; i < length; ++i) {
    if ((at(i) & 0xc0) != 0x80) return 0;
    code = code << 6 | (at(i) & 0x3fu);
  }
  const bool overlong = (length == 3 && code < 0x800) || (length == 4 && code < 0x10000),
             surrogate = code >= 0xd800 && code < 0xe000;
  // What ends a line, or changes the direction of what follows, unseen.
  const bool unseen = code == 0xad || (code >= 0x200b && code < 0x2010) || (code >= 0x2028 && code < 0x202f) ||
                      (code >= 0x2060 && code < 0x2070) || code == 0xfeff || (code >= 0xfff0 && code < 0xfffc);
  return code >= 0xa0 && code < 0x110000 && !overlong && !surrogate && !unseen ? length
                                                                               : 0;  // from 0x80 to 0x9f: controls
}

/// `text` with every byte that is neither in `kept` nor part of a printable character written as \xNN.
[[nodiscard]] inline std::string escaped(std::string_view text, std::string_view kept) {
  std::string result;
  while (!text.empty()) {
    const auto byte = static_cast<unsigned char>(text.front());
    const bool ascii = (byte >= ' ' && byte < 0x7f) || kept.find(text.front()) != std::string_view::npos;
    const std::size_t length = ascii ? 1 : utf8_length(text);
    char escape[8];
    std::snprintf(escape, sizeof escape, "\\x%02x", byte);
    result += length > 0 ? text.substr(0, length) : std::string_view(escape);
    text.remove_prefix(std::max<std::size_t>(length, 1));
  }
  return result;
}

}  // namespace detail

/// A text with its lines and tabs; every other byte that is not part of a printable UTF-8 character is written as \xNN.
[[nodiscard]] inline std::string printable(std::string_view text) { return detail::escaped(text, "\n\t"); }

/// The same for what belongs into a single line, such as a name: ends of lines and tabs are written as \x0a and \x09
/// too.
[[nodiscard]] inline std::string one_line(std::string_view text) { return detail::escaped(text, ""); }

}  // namespace lpw::inline LPW_ABI::train
