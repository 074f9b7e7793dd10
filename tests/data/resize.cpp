// Resizing and crops, against their definitions.
#include <lpw/data/resize.hpp>

#include <algorithm>
#include <cmath>
#include <set>
#include <utility>
#include <vector>

#include <lpw/data/crop.hpp>

#include "catch.hpp"
#include "support/errors.hpp"
#include "support/pictures.hpp"

using namespace lpw;
using namespace lpw::test;

namespace {

/// The weight of input pixel j for output pixel i, not yet divided by their sum.
double triangle_weight(std::int64_t from, std::int64_t to, std::int64_t i, std::int64_t j) {
  const double scale = double(from) / double(to), radius = std::max(1.0, scale), centre = (double(i) + 0.5) * scale;
  return std::max(0.0, 1 - std::abs(double(j) + 0.5 - centre) / radius);
}

/// What a channel of an output pixel is, not rounded.
double resized(const data::Picture& picture, const data::Box& box, std::int64_t height, std::int64_t width,
               std::int64_t y, std::int64_t x, std::int64_t c) {
  double sum = 0, weights = 0;
  for (std::int64_t v = 0; v < box.height; ++v)
    for (std::int64_t u = 0; u < box.width; ++u) {
      const double weight = triangle_weight(box.height, height, y, v) * triangle_weight(box.width, width, x, u);
      sum += weight * picture.row(box.top + v)[(box.left + u) * 4 + c];
      weights += weight;
    }
  return sum / weights;
}

}  // namespace

TEST_CASE("a resized picture is the mean of pixels by a triangle") {
  const auto picture = random_picture(23, 31, 1);
  for (const auto& [height, width] :
       {std::pair<std::int64_t, std::int64_t>{7, 9}, {23, 31}, {40, 12}, {5, 60}, {1, 1}}) {
    for (const data::Box& box : {data::Box{0, 0, 23, 31}, data::Box{3, 5, 11, 20}, data::Box{22, 30, 1, 1}}) {
      std::vector<std::uint8_t> out(to_size(height * width * 3));
      data::resize(picture, box, height, width, {0, 0, height, width}, out.data());
      double worst = 0;
      for (std::int64_t i = 0; i < std::ssize(out); ++i) {
        const double expected = resized(picture, box, height, width, i / 3 / width, i / 3 % width, i % 3);
        if (const double distance = std::abs(out[to_size(i)] - expected); !(distance <= worst)) worst = distance;
      }
      INFO(height << " x " << width << " of " << box.height << " x " << box.width);
      CHECK(worst <= 1.001);  // half a level by each of two roundings to bytes, weights to 2^-22
    }
  }
}

TEST_CASE("a part of a resized picture is that part of the whole") {
  const auto picture = random_picture(40, 33, 2);
  const data::Box whole{0, 0, 40, 33}, seen{3, 4, 10, 11};
  std::vector<std::uint8_t> all(20 * 25 * 3), part(10 * 11 * 3);
  data::resize(picture, whole, 20, 25, {0, 0, 20, 25}, all.data());
  data::resize(picture, whole, 20, 25, seen, part.data());
  for (std::size_t y = 0; y < 10; ++y)
    CHECK(std::equal(part.begin() + static_cast<std::ptrdiff_t>(y * 33),
                     part.begin() + static_cast<std::ptrdiff_t>((y + 1) * 33),
                     all.begin() + static_cast<std::ptrdiff_t>(((y + 3) * 25 + 4) * 3)));
}

TEST_CASE("the middle of a picture is cut as torchvision cuts it") {
  // found by torchvision 0.14's Resize(256) and CenterCrop(224)
  const auto wide = data::centre_crop(375, 500, 256, 224);
  CHECK((wide.height == 256 && wide.width == 341 && wide.seen == data::Box{16, 58, 224, 224}));
  const auto high = data::centre_crop(77, 30, 256, 224);
  CHECK((high.height == 657 && high.width == 256 && high.seen == data::Box{216, 16, 224, 224}));
}

TEST_CASE("random crops lie within the picture and have the sizes that were asked for") {
  const data::ResizedCrop crop{.least = 0.2, .most = 0.6, .ratio = 1.5};
  const Philox random(3, Stream::crop, 1);
  double mean = 0;
  std::set<std::pair<std::int64_t, std::int64_t>> corners;
  constexpr std::int64_t count = 2000;
  for (std::int64_t i = 0; i < count; ++i) {
    const auto box = data::draw_crop(crop, random, i, 300, 400);
    REQUIRE((box.top >= 0 && box.left >= 0 && box.top + box.height <= 300 && box.left + box.width <= 400));
    const double part = double(box.height * box.width) / 120000, ratio = double(box.width) / double(box.height);
    REQUIRE((part > 0.19 && part < 0.61 && ratio > 1 / 1.52 && ratio < 1.52));  // sides are rounded
    mean += part / count;
    corners.insert({box.top, box.left});
  }
  CHECK(std::abs(mean - 0.4) <
        5 * 0.4 / std::sqrt(12.0 * count));  // uniform between 0.2 and 0.6, but for those refused
  CHECK(corners.size() > count * 9 / 10);
  CHECK(data::draw_crop({.least = 1, .most = 1}, random, 0, 10, 1000) == data::Box{0, 493, 10, 13});  // none fits
  CHECK(data::draw_crop({.least = 1, .most = 1}, random, 0, 1000, 10) == data::Box{493, 0, 13, 10});
}

TEST_CASE("crops out of range are refused") {
  const auto refused = [](const data::ResizedCrop& crop) {
    return message_of<OptionError>([&] { data::validate(crop); });
  };
  CHECK(contains(refused({.least = 0}), "0 < least <= most <= 1, found 0 and 1"));
  CHECK(contains(refused({.least = 0.5, .most = 0.4}), "found 0.5 and 0.4"));
  CHECK(contains(refused({.ratio = 0.5}), "expected a ratio from 1 to 100, found 0.5"));
  CHECK(contains(refused({.least = std::nan("")}), "found nan"));
}
