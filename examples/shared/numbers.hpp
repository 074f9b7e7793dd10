// Numbers as users write them: decimal, and nothing beside the number. CLI11 reads 010 as eight, 08 as nothing, and an
// integer that is too large as the largest there is; all that takes a number here goes through read_number.
#pragma once

#include <charconv>
#include <concepts>
#include <optional>
#include <string_view>

#include <lpw/tensor/float_bits.hpp>
#include <lpw/tensor/parse_double.hpp>

namespace example {

/// The decimal number that is the whole text, with or without a sign; nothing where it is none or does not fit into T.
template <class T>
  requires std::integral<T> || std::same_as<T, double>
[[nodiscard]] std::optional<T> read_number(std::string_view text) {
  if (text.starts_with('+') && !text.starts_with("+-")) text.remove_prefix(1);
  if constexpr (std::same_as<T, double>) {
    const auto value = lpw::parse_double(text);
    if (!value || !lpw::is_finite(*value)) return {};
    return *value + 0.0;  // of two zeros the one without a sign
  } else {
    T value{};
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc() || end != text.data() + text.size()) return {};
    return value;
  }
}

}  // namespace example
