// What pixels are normalised by, as a text that files of networks carry along: a network understands images that are
// normalised as those it was trained on.
//   imagenet, cifar10      the usual constants of these
//   MEAN/STD               numbers for each channel joined by commas, or one for all:
//   0.485,0.456,0.406/0.229,0.224,0.225
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <lpw/data/dataset.hpp>
#include <lpw/tensor/float_bits.hpp>
#include <lpw/tensor/parse_double.hpp>
#include <lpw/tensor/text.hpp>

namespace lpw::inline LPW_ABI::data {

namespace detail {

/// Numbers joined by commas, or one for all channels. Empty where it is neither.
[[nodiscard]] inline std::vector<float> channel_numbers(std::string_view text, std::int64_t channels) {
  std::vector<float> result;
  for (const auto part : lpw::split_text(text, ',')) {
    const auto value = parse_double(part);
    if (!value || !is_finite(*value)) return {};
    result.push_back(static_cast<float>(*value));
  }
  if (result.size() == 1) result.resize(to_size(channels), result.front());
  return std::ssize(result) == channels ? result : std::vector<float>();
}

}  // namespace detail

/// What a text says. Throws OptionError, naming it, for one that is none, or not for so many channels.
[[nodiscard]] inline Normalization parse_normalization(const std::string& text, std::int64_t channels = 3) {
  if (text == "imagenet" && channels == 3) return {{0.485f, 0.456f, 0.406f}, {0.229f, 0.224f, 0.225f}};
  if (text == "cifar10" && channels == 3) return {{0.4914f, 0.4822f, 0.4465f}, {0.2470f, 0.2435f, 0.2616f}};
  const auto slash = std::min(text.find('/'), text.size());
  Normalization result{detail::channel_numbers(std::string_view(text).substr(0, slash), channels), {}};
  if (slash < text.size()) result.stddev = detail::channel_numbers(std::string_view(text).substr(slash + 1), channels);
  bool positive = !result.stddev.empty();
  for (const float stddev : result.stddev) positive = positive && stddev > 0;
  require<OptionError>(!result.mean.empty() && positive,
                       "expected imagenet, cifar10, or MEAN/STD of pixels in [0, 1], ", channels,
                       " numbers each joined by commas, or one, such as 0.5/0.25; found ", text);
  return result;
}

/// MEAN/STD, which parse_normalization reads as the same numbers.
[[nodiscard]] inline std::string describe(const Normalization& normalization) {
  std::string text;
  for (const auto* numbers : {&normalization.mean, &normalization.stddev}) {
    if (numbers == &normalization.stddev) text += '/';
    for (std::size_t i = 0; i < numbers->size(); ++i) text += to_text(i > 0 ? "," : "", shortest((*numbers)[i]));
  }
  return text;
}

/// Whether both are the same but for less than half a level of grey, as constants that are rounded.
[[nodiscard]] inline bool same(const Normalization& a, const Normalization& b) {
  const auto near = [](const std::vector<float>& one, const std::vector<float>& other) {
    bool equal = one.size() == other.size();
    for (std::size_t i = 0; equal && i < one.size(); ++i) equal = std::abs(one[i] - other[i]) <= 0.5f / 255;
    return equal;
  };
  return near(a.mean, b.mean) && near(a.stddev, b.stddev);
}

}  // namespace lpw::inline LPW_ABI::data
