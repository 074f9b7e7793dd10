// Small image sets for the tests of this folder.
#pragma once

#include <cstdint>

#include <lpw/data/dataset.hpp>
#include <lpw/tensor/philox.hpp>

/// Random pixels, and labels 0, 1, ..., classes - 1, 0, ...
inline lpw::data::ImageSet random_images(std::int64_t count, std::int64_t height, std::int64_t width,
                                         std::int64_t channels, int classes) {
  lpw::data::ImageSet set{.count = count,
                          .height = height,
                          .width = width,
                          .channels = channels,
                          .classes = classes,
                          .pixels = {},
                          .labels = {}};
  const lpw::Philox random(11, lpw::Stream::test);
  for (std::int64_t i = 0; i < count * set.image_size(); ++i)
    set.pixels.push_back(static_cast<std::uint8_t>(random.below(i, 256)));
  for (std::int64_t i = 0; i < count; ++i) set.labels.push_back(static_cast<std::int32_t>(i % classes));
  return set;
}
