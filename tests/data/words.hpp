// A text with something to learn, for the tests of language models.
#pragma once

#include <lpw/data/text.hpp>
#include <lpw/tensor/philox.hpp>

/// Words of a few letters, drawn.
[[nodiscard]] inline lpw::data::Text text_of_words(std::int64_t size, std::uint64_t seed) {
  const char* const words[] = {"late ", "phase ", "weights ", "of ", "a ", "network.\n"};
  const lpw::Philox random(seed, lpw::Stream::test);
  lpw::data::Text text;
  for (std::uint64_t i = 0; std::ssize(text) < size; ++i)
    for (const char* c = words[random.below(i, 6)]; *c; ++c) text.push_back(static_cast<std::uint8_t>(*c));
  text.resize(static_cast<std::size_t>(size));
  return text;
}
