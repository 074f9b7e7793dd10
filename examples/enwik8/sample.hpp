// Text that a network makes up, byte by byte.
#pragma once

#include <algorithm>
#include <cstdint>
#include <string>

#include <lpw/cpu/softmax.hpp>
#include <lpw/models/language_model.hpp>

namespace enwik8 {

/// A byte drawn by its probability softmax(logits / temperature), where `uniform` in [0, 1) falls; the most likely one
/// at temperature 0.
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

}  // namespace enwik8
