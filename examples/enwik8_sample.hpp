// Text that a network makes up, byte by byte, and its way onto a terminal.
#pragma once

#include <algorithm>
#include <cstdint>
#include <string>
#include <string_view>

#include <lpw/cpu/softmax.hpp>
#include <lpw/nn/language_model.hpp>

namespace enwik8 {

/// A byte drawn by its probability softmax(logits / temperature), where `uniform` in [0, 1) falls; the most likely one at temperature 0.
template <class T>
[[nodiscard]] std::int32_t draw_byte(const lpw::Tensor<T, lpw::Cpu>& logits, double temperature, double uniform) {
  lpw::Tensor<double, lpw::Cpu> scaled({1, logits.size()});
  const T* best = std::max_element(logits.data(), logits.data() + logits.size());
  if (temperature == 0) return static_cast<std::int32_t>(best - logits.data());
  for (std::int64_t c = 0; c < scaled.size(); ++c)
    scaled.data()[c] = (static_cast<double>(logits.data()[c]) - static_cast<double>(*best)) / temperature;
  const auto probabilities = lpw::softmax_rows(scaled);
  std::int32_t byte = 0;
  for (const auto last = static_cast<std::int32_t>(scaled.size() - 1); byte < last; ++byte) {
    uniform -= probabilities.data()[byte];
    if (uniform < 0) break;
  }
  return byte;
}

/// `count` bytes as a plain network continues the beginning of a line, from a state of zeros.
template <class Network>
[[nodiscard]] std::string sample(Network& network, std::int64_t count, double temperature, const lpw::Philox& random) {
  using D = typename Network::device_type;
  const lpw::Philox draws = random.stream(lpw::Stream::sample);
  std::string text;
  auto states = network.start(1, 1);
  std::int32_t byte = '\n';
  for (std::int64_t i = 0; i < count; ++i) {
    const auto input = lpw::to_device<D>(lpw::full<std::int32_t, lpw::Cpu>({1, 1, 1}, byte));
    auto after = network.forward(lpw::Tape::evaluation().input(input), states);
    states = std::move(after.states);
    byte = draw_byte(lpw::to_host(after.logits.value()), temperature, draws.uniform(static_cast<std::uint64_t>(i)));
    text += static_cast<char>(byte);
  }
  return text;
}

/// Length of the printable UTF-8 character beyond ASCII with which `text` begins; 0 if there is none.
[[nodiscard]] inline std::size_t utf8_length(std::string_view text) {
  const auto at = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const std::size_t length = at(0) >= 0xf0 && at(0) < 0xf5 ? 4 : at(0) >= 0xe0 && at(0) < 0xf0 ? 3 : at(0) >= 0xc2 && at(0) < 0xe0 ? 2 : 0;
  if (length == 0 || length > text.size()) return 0;
  std::uint32_t code = at(0) & (0xffu >> (length + 1));
  for (std::size_t i = 1; i < length; ++i) {
    if ((at(i) & 0xc0) != 0x80) return 0;
    code = code << 6 | (at(i) & 0x3fu);
  }
  const bool overlong = (length == 3 && code < 0x800) || (length == 4 && code < 0x10000), surrogate = code >= 0xd800 && code < 0xe000;
  return code >= 0xa0 && code < 0x110000 && !overlong && !surrogate ? length : 0;  // from 0x80 to 0x9f: controls
}

/// A text with every byte that is neither a line's end, a tab nor part of a printable character written as \xNN: nothing in it moves a
/// terminal's cursor.
[[nodiscard]] inline std::string printable(std::string_view text) {
  std::string result;
  while (!text.empty()) {
    const auto byte = static_cast<unsigned char>(text.front());
    const bool ascii = (byte >= ' ' && byte < 0x7f) || byte == '\n' || byte == '\t';
    const std::size_t length = ascii ? 1 : utf8_length(text);
    char escape[8];
    std::snprintf(escape, sizeof escape, "\\x%02x", byte);
    result += length > 0 ? text.substr(0, length) : std::string_view(escape);
    text.remove_prefix(std::max<std::size_t>(length, 1));
  }
  return result;
}

}  // namespace enwik8
