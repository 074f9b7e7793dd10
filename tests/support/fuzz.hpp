// Inputs for the fuzzers of readers: whole ones with random damage, the same in every run.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <initializer_list>
#include <iterator>
#include <random>
#include <span>
#include <string>
#include <string_view>

namespace lpw::test {

/// How many inputs a fuzzer tries: `few`, or as many as LPW_FUZZ_INPUTS in the environment says.
inline std::int64_t fuzz_inputs(std::int64_t few) {
  const char* text = std::getenv("LPW_FUZZ_INPUTS");
  return text != nullptr ? std::max<std::int64_t>(std::atoll(text), 1) : few;
}

/// Damages texts and bytes.
class Fuzz {
 public:
  explicit Fuzz(std::uint64_t seed) : random_(seed) {}

  /// A whole number in [0, bound).
  std::size_t below(std::size_t bound) { return static_cast<std::size_t>(random_() % std::max<std::size_t>(bound, 1)); }
  /// One in so many times.
  bool once_in(std::size_t times) { return below(times) == 0; }
  template <class T>
  T one_of(std::initializer_list<T> choices) {
    return choices.begin()[below(choices.size())];
  }

  /// `input` with one to four changes. `tokens` are pieces of the format, which go in anywhere.
  std::string damaged(std::string input, std::span<const std::string_view> tokens = {}) {
    for (std::size_t changes = 1 + below(4); changes > 0; --changes) change(input, tokens);
    return input;
  }

 private:
  void change(std::string& text, std::span<const std::string_view> tokens) {
    const std::size_t place = below(text.size() + 1),
                      length = std::min(below(once_in(4) ? 100 : 8), text.size() - place);
    switch (below(8)) {
      case 0:
        if (place < text.size()) text[place] = static_cast<char>(text[place] ^ (1 << below(8)));
        break;
      case 1:
        text.replace(place, length, std::string(below(8), one_of({'\0', '\xff', '"', '{', '[', ' ', '\n', '9', '-'})));
        break;
      case 2:
        text.erase(place, length);
        break;
      case 3:
        text.insert(place, text.substr(below(text.size() + 1), below(64)));
        break;
      case 4:
        text.resize(place);
        break;
      case 5:
        change_number(text, place);
        break;
      case 6:
        text.insert(place, std::string(any(tokens)));
        break;
      default:
        text.replace(place, length, std::string(any(tokens)));
    }
  }
  std::string_view any(std::span<const std::string_view> tokens) {
    return tokens.empty() ? "\xef\xbb\xbf" : tokens[below(tokens.size())];
  }
  /// The next number in the text becomes one at the edge of what types hold.
  void change_number(std::string& text, std::size_t place) {
    const auto first = text.find_first_of("0123456789", place);
    if (first == std::string::npos) return;
    const auto last = std::min(text.find_first_not_of("0123456789", first), text.size());
    static constexpr const char* edges[] = {"0",
                                            "1",
                                            "2",
                                            "7",
                                            "255",
                                            "256",
                                            "65536",
                                            "2147483647",
                                            "2147483648",
                                            "4294967296",
                                            "4611686018427387904",
                                            "9223372036854775807",
                                            "9223372036854775808",
                                            "18446744073709551615",
                                            "18446744073709551616",
                                            "-1",
                                            "-9223372036854775808",
                                            "1e9",
                                            "1e300",
                                            "1e999",
                                            "0.5",
                                            "010",
                                            "0x10",
                                            "NaN"};
    text.replace(first, last - first, edges[below(std::size(edges))]);
  }

  std::mt19937_64 random_;
};

}  // namespace lpw::test
