// Our own corruptions: what each does to images whose outcome is known, and that they are functions of their arguments.
#include <lpw/data/corruptions.hpp>

#include <cmath>
#include <set>

#include <lpw/data/synthetic.hpp>

#include "catch.hpp"
#include "support/errors.hpp"
#include "support/threads.hpp"

using namespace lpw::data;

namespace {

constexpr std::array kinds = corruptions;

ImageSet pictures(std::int64_t count) { return synthetic({.train = 1, .test = count}, {}).test; }

/// Images [16, 16, 3] of one value.
ImageSet grey(std::uint8_t value, std::int64_t count = 1) {
  return {.count = count,
          .height = 16,
          .width = 16,
          .channels = 3,
          .classes = 2,
          .pixels = std::vector<std::uint8_t>(lpw::to_size(count * 16 * 16 * 3), value),
          .labels = std::vector<std::int32_t>(lpw::to_size(count), 0)};
}

double squared_difference(const ImageSet& a, const ImageSet& b) {
  double sum = 0;
  for (std::size_t p = 0; p < a.pixels.size(); ++p)
    sum += std::pow(static_cast<double>(a.pixels[p]) - static_cast<double>(b.pixels[p]), 2);
  return sum / static_cast<double>(a.pixels.size());
}

}  // namespace

TEST_CASE("corruptions: each changes the images, the more the higher its severity, and keeps the labels", "[data]") {
  const auto set = pictures(20);
  std::set<std::vector<std::uint8_t>> different;
  for (const auto kind : kinds) {
    double before = 0;
    for (std::int64_t severity = 1; severity <= corruption_severities; ++severity) {
      const auto result = corrupted(set, kind, severity);
      validate(result);
      CHECK(result.labels == set.labels);
      const double now = squared_difference(result, set);
      INFO(name_of(kind) << " at " << severity);
      CHECK(now > before);
      before = now;
      different.insert(result.pixels);
    }
    CHECK(name_of(kind).starts_with("own_"));
  }
  CHECK(different.size() == 30);
}

TEST_CASE("corruptions: the same bytes each time, for any threads and whatever images come after", "[data]") {
  const auto set = pictures(12);
  auto fewer = set;
  fewer.count = 5;
  fewer.pixels.resize(lpw::to_size(5 * set.image_size()));
  fewer.labels.resize(5);
  for (const auto kind : kinds) {
    const auto whole = corrupted(set, kind, 3, 7);
    CHECK(corrupted(set, kind, 3, 7).pixels == whole.pixels);
    const auto part = corrupted(fewer, kind, 3, 7);
    CHECK(std::equal(part.pixels.begin(), part.pixels.end(), whole.pixels.begin()));
    CHECK((corrupted(set, kind, 3, 8).pixels == whole.pixels) == (kind != Corruption::noise));
    CHECK(lpw::test::same_on_any_threads([&] { return corrupted(set, kind, 3, 7).pixels; }));
  }
}

TEST_CASE("corruptions: an image of one value", "[data]") {
  // Blur, contrast and pixelation leave it; so do blocks, but for what is rounded: 16 steps of the mean of a block are
  // 10 apart at most, divided by 8.
  for (const auto kind : {Corruption::blur, Corruption::contrast, Corruption::pixelation})
    CHECK(corrupted(grey(90), kind, 5).pixels == grey(90).pixels);
  for (const std::uint8_t value : corrupted(grey(90), Corruption::blocks, 1).pixels)
    CHECK(std::abs(int{value} - 90) <= 1);
  CHECK(corrupted(grey(90), Corruption::brightness, 1).pixels == grey(110).pixels);
  CHECK(corrupted(grey(250), Corruption::brightness, 5).pixels == grey(255).pixels);
}

TEST_CASE("corruptions: the noise has the deviation that is said", "[data]") {
  // 100 images of 768 pixels: the deviation's estimate has a standard error of 10 / sqrt(2 * 76800) = 0.026, rounding
  // to bytes adds a variance of 1/12.
  const auto noisy = corrupted(grey(128, 100), Corruption::noise, 1);
  const double deviation = std::sqrt(squared_difference(noisy, grey(128, 100)) - 1. / 12);
  CHECK(std::abs(deviation - 10) <= 0.13);  // five of them
  CHECK(!std::equal(noisy.image(0), noisy.image(1), noisy.image(1)));
}

TEST_CASE("corruptions: squares of pixels take their mean", "[data]") {
  auto set = grey(0);
  for (std::int64_t y = 0; y < 16; ++y)
    for (std::int64_t x = 0; x < 16; ++x)
      set.image(0)[(y * 16 + x) * 3] = static_cast<std::uint8_t>(x == 15 ? 80 : 4 * x);
  const auto result = corrupted(set, Corruption::pixelation, 2);  // 3 x 3, of the last one a column
  for (std::int64_t x = 0; x < 15; ++x) CHECK(int{result.image(0)[x * 3]} == 4 * (x / 3 * 3 + 1));
  CHECK(int{result.image(0)[45]} == 80);
  CHECK(int{result.image(0)[1]} == 0);
}

TEST_CASE("corruptions: blocks end at multiples of eight, and a step that is small enough changes nothing", "[data]") {
  auto set = pictures(1);
  const auto result = corrupted(set, Corruption::blocks, 2);
  auto other = set;
  for (std::int64_t y = 8; y < 32; ++y) std::fill_n(other.image(0) + y * 96, 96, std::uint8_t{0});
  const auto changed = corrupted(other, Corruption::blocks, 2);
  CHECK(std::equal(result.image(0), result.image(0) + 8 * 96, changed.image(0)));
  // The transform and its inverse by their definition: at steps of 1 frequencies are off by half at most, so that the
  // mean square is below 1/4, which the way through the colours' matrix makes a few times larger.
  detail::Picture picture(set, 0);
  const auto before = picture.values;
  detail::quantise_blocks(picture, 0);
  double sum = 0;
  for (std::size_t p = 0; p < before.size(); ++p) sum += std::pow(picture.values[p] - before[p], 2);
  CHECK(sum / static_cast<double>(before.size()) <= 1);
}

TEST_CASE("corruptions: refuse severities and sets that there are not", "[data]") {
  for (const std::int64_t severity : {0, 6})
    CHECK(lpw::test::contains(
        lpw::test::message_of<lpw::OptionError>([&] { (void)corrupted(grey(0), Corruption::blur, severity); }),
        "`severity`"));
  auto broken = grey(0);
  broken.labels.clear();
  CHECK_THROWS_AS(corrupted(broken, Corruption::blur, 1), lpw::Error);
}
