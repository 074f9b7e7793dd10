// Pictures that need no files: a source of them, for tests of loaders.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include <lpw/data/dataset.hpp>
#include <lpw/data/resize.hpp>
#include <lpw/tensor/philox.hpp>

namespace lpw::test {

/// A picture of random pixels.
[[nodiscard]] inline data::Picture random_picture(std::int64_t height, std::int64_t width, std::uint64_t seed) {
  data::Picture picture(height, width);
  const Philox random(seed, Stream::test);
  for (std::size_t i = 0; i < picture.pixels.size(); ++i)
    picture.pixels[i] = static_cast<std::uint8_t>(random.below(i, 256));
  return picture;
}

/// Random pictures, each of another size, of which 8 x 8 pixels are seen.
class RandomPictures final : public data::ImageSource {
 public:
  void read(std::int64_t i, const data::CropDraw* draw, std::uint8_t* out) const override {
    const auto picture = random_picture(9 + i % 5, 10 + i % 3, static_cast<std::uint64_t>(i));
    const data::Box whole{0, 0, picture.height, picture.width};
    const auto box =
        draw != nullptr ? data::draw_crop(draw->crop, draw->random, draw->index, whole.height, whole.width) : whole;
    data::resize(picture, box, 8, 8, {0, 0, 8, 8}, out);
  }
  [[nodiscard]] std::string name(std::int64_t i) const override { return "picture " + std::to_string(i); }
};

/// A set of them whose labels are 0, 1, ..., 4, 0, ...
[[nodiscard]] inline data::ImageSet source_images(std::int64_t count) {
  data::ImageSet set{.count = count,
                     .height = 8,
                     .width = 8,
                     .channels = 3,
                     .classes = 5,
                     .pixels = {},
                     .labels = {},
                     .source = std::make_shared<RandomPictures>()};
  for (std::int64_t i = 0; i < count; ++i) set.labels.push_back(static_cast<std::int32_t>(i % set.classes));
  return set;
}

}  // namespace lpw::test
