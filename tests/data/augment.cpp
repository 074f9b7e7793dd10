// Augmentation against a plain implementation that pads, crops, flips, normalises and cuts in separate steps over whole
// images.
#include <lpw/data/augment.hpp>

#include <cmath>
#include <set>
#include <vector>

#include "catch.hpp"
#include "images.hpp"
#include "support/errors.hpp"

using namespace lpw::test;

using namespace lpw::data;

namespace {

const Normalization normalization{.mean = {0.4f, 0.5f, 0.6f}, .stddev = {0.2f, 0.25f, 0.3f}};

/// PyTorch's pipeline, step by step: RandomCrop(padding), RandomHorizontalFlip, ToTensor, Normalize, Cutout.
template <class T>
std::vector<T> plain_augment(const ImageSet& set, std::int64_t index, const AugmentOptions& options,
                             const Augmentation& how, const Normalization& statistics) {
  const std::int64_t h = set.height, w = set.width, c = set.channels, pad = options.pad_crop;
  const std::int64_t padded_width = w + 2 * pad;
  std::vector<std::uint8_t> padded((h + 2 * pad) * padded_width * c, 0);
  for (std::int64_t y = 0; y < h; ++y)
    for (std::int64_t x = 0; x < w; ++x)
      for (std::int64_t k = 0; k < c; ++k)
        padded[((y + pad) * padded_width + x + pad) * c + k] = set.image(index)[(y * w + x) * c + k];
  std::vector<T> result(h * w * c);
  for (std::int64_t y = 0; y < h; ++y)
    for (std::int64_t x = 0; x < w; ++x)
      for (std::int64_t k = 0; k < c; ++k) {
        const std::int64_t crop_x = how.flip ? w - 1 - x : x;
        const double value = padded[((y + pad + how.shift_y) * padded_width + crop_x + pad + how.shift_x) * c + k];
        // volatile: GCC 12 at -O3 with AVX-512 leaves the rounding to float out where T is double.
        const volatile auto normalised = static_cast<float>((value / 255 - static_cast<double>(statistics.mean[k])) /
                                                            static_cast<double>(statistics.stddev[k]));
        result[(y * w + x) * c + k] = T(normalised);
      }
  for (std::int64_t y = how.cut_top; y < how.cut_bottom; ++y)
    for (std::int64_t x = how.cut_left; x < how.cut_right; ++x)
      for (std::int64_t k = 0; k < c; ++k) result[(y * w + x) * c + k] = T(0.f);
  return result;
}

/// Number of elements in which augment() differs from the plain implementation, over all images of a set.
template <class T>
std::int64_t differences(const ImageSet& set, const AugmentOptions& options, const Normalization& statistics) {
  const NormalizationTable<T> table(statistics, set.channels);
  std::vector<T> out(set.image_size());
  std::int64_t count = 0;
  for (std::int64_t i = 0; i < set.count; ++i) {
    const auto how = draw_augmentation(options, 5, 3, i, set.height, set.width);
    augment(set.image(i), set.height, set.width, how, table, out.data());
    const auto expected = plain_augment<T>(set, i, options, how, statistics);
    for (std::int64_t j = 0; j < set.image_size(); ++j)
      count += static_cast<double>(out[j]) != static_cast<double>(expected[j]);
  }
  return count;
}

}  // namespace

TEMPLATE_TEST_CASE("augmentation equals the plain pipeline", "", float, double, lpw::bfloat16) {
  const auto set = random_images(200, 12, 9, 3, 2);  // 200 images meet every shift and edge
  for (const AugmentOptions& options :
       {no_augmentation, pad_crop_flip, AugmentOptions{.pad_crop = 0, .flip = true, .cutout = 0},
        AugmentOptions{.pad_crop = 2, .flip = false, .cutout = 0},
        AugmentOptions{.pad_crop = 9, .flip = true, .cutout = 5},
        AugmentOptions{.pad_crop = 0, .flip = false, .cutout = 8},
        AugmentOptions{.pad_crop = 4, .flip = true, .cutout = 9}}) {
    CAPTURE(options.pad_crop, options.flip, options.cutout);
    CHECK(differences<TestType>(set, options, normalization) == 0);
  }
}

TEST_CASE("augmentation of one and of four channels") {
  CHECK(differences<float>(random_images(50, 8, 8, 1, 2), {.pad_crop = 3, .flip = true, .cutout = 3},
                           {.mean = {0.1f}, .stddev = {0.5f}}) == 0);
  CHECK(differences<float>(random_images(50, 8, 8, 4, 2), {.pad_crop = 3, .flip = true, .cutout = 3},
                           {.mean = {0.1f, 0.2f, 0.3f, 0.4f}, .stddev = {0.5f, 0.6f, 0.7f, 0.8f}}) == 0);
}

TEST_CASE("normalisation values") {
  const NormalizationTable<float> table(normalization, 3);
  // Float epsilon times the value's size, which is at most 3.
  const double tolerance = 4 * lpw::epsilon<float>();
  CHECK(std::abs(table(0, 0) - (0 - 0.4) / 0.2) < tolerance);
  CHECK(std::abs(table(255, 1) - (1 - 0.5) / 0.25) < tolerance);
  CHECK(std::abs(table(51, 2) - (0.2 - 0.6) / 0.3) < tolerance);
}

TEST_CASE("draws lie in their ranges and are uniform") {
  const AugmentOptions options{.pad_crop = 4, .flip = true, .cutout = 8};
  constexpr int n = 20000;
  int flips = 0;
  std::vector<int> rows(9), columns(9);
  std::int64_t cut = 0;
  for (int i = 0; i < n; ++i) {
    const auto how = draw_augmentation(options, 1, 0, i, 32, 32);
    REQUIRE(std::abs(how.shift_y) <= 4);
    REQUIRE(std::abs(how.shift_x) <= 4);
    REQUIRE((how.cut_top >= 0 && how.cut_bottom <= 32 && how.cut_left >= 0 && how.cut_right <= 32));
    const int height = how.cut_bottom - how.cut_top, width = how.cut_right - how.cut_left;
    REQUIRE((height >= 4 && height <= 8 && width >= 4 && width <= 8));  // a centre inside leaves at least half
    ++rows[how.shift_y + 4];
    ++columns[how.shift_x + 4];
    flips += how.flip;
    cut += height * width;
  }
  // Six standard deviations of the binomial counts.
  CHECK(std::abs(flips - n / 2.0) < 6 * std::sqrt(n * 0.25));
  for (int s = 0; s < 9; ++s) {
    CHECK(std::abs(rows[s] - n / 9.0) < 6 * std::sqrt(n * (1 / 9.0) * (8 / 9.0)));
    CHECK(std::abs(columns[s] - n / 9.0) < 6 * std::sqrt(n * (1 / 9.0) * (8 / 9.0)));
  }
  // A side of 8 is clipped to 4, 5, 6, 7 at the near edge (centres 0 to 3) and to 7, 6, 5 at the far one: mean side
  // (256 - 16) / 32. Six standard errors; a side deviates by less than 4, so an area by less than 32.
  CHECK(std::abs(static_cast<double>(cut) / n - 7.5 * 7.5) < 6 * 32 / std::sqrt(n));
}

TEST_CASE("draws depend on seed, epoch and index, and on nothing else") {
  const AugmentOptions options{.pad_crop = 4, .flip = true, .cutout = 8};
  const auto signature = [&](std::uint64_t seed, std::uint32_t epoch, std::int64_t first) {
    std::vector<int> values;
    for (std::int64_t i = first; i < first + 16; ++i) {
      const auto how = draw_augmentation(options, seed, epoch, i, 32, 32);
      values.insert(values.end(),
                    {how.shift_y, how.shift_x, how.flip, how.cut_top, how.cut_bottom, how.cut_left, how.cut_right});
    }
    return values;
  };
  const std::set<std::vector<int>> different{signature(1, 0, 0), signature(2, 0, 0), signature(1, 1, 0),
                                             signature(1, 0, 16)};
  CHECK(different.size() == 4);
  CHECK(signature(1, 0, 0) == signature(1, 0, 0));

  // Turning one change off leaves the others as they are.
  const auto full = draw_augmentation(options, 1, 0, 3, 32, 32);
  const auto without = draw_augmentation({.pad_crop = 4, .flip = false, .cutout = 0}, 1, 0, 3, 32, 32);
  CHECK(without.shift_y == full.shift_y);
  CHECK(without.shift_x == full.shift_x);
  CHECK_FALSE(without.flip);
  CHECK(without.cut_bottom == 0);
}

TEST_CASE("augmentation options out of range are refused") {
  CHECK_NOTHROW(validate(AugmentOptions{.pad_crop = 16, .flip = true, .cutout = 16}, 16, 20));
  for (const AugmentOptions& options : {AugmentOptions{.pad_crop = -1}, AugmentOptions{.pad_crop = 17}})
    CHECK(message_of<lpw::OptionError>([&] { validate(options, 16, 20); }) ==
          "augmentation: expected pad_crop from 0 to 16 pixels, found " + std::to_string(options.pad_crop));
  for (const AugmentOptions& options : {AugmentOptions{.cutout = -1}, AugmentOptions{.cutout = 17}})
    CHECK(message_of<lpw::OptionError>([&] { validate(options, 16, 20); }) ==
          "augmentation: expected cutout from 0 to 16 pixels, found " + std::to_string(options.cutout));
}

TEST_CASE("statistics that cannot normalise are refused") {
  CHECK_THROWS_AS(NormalizationTable<float>(normalization, 1), lpw::OptionError);
  CHECK_THROWS_AS(NormalizationTable<float>({.mean = {0.f}, .stddev = {0.f}}, 1), lpw::OptionError);
  CHECK_THROWS_AS(NormalizationTable<float>({.mean = {0.f}, .stddev = {NAN}}, 1), lpw::OptionError);
  CHECK_THROWS_AS(NormalizationTable<float>({.mean = {INFINITY}, .stddev = {1.f}}, 1), lpw::OptionError);
}
