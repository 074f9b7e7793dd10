// The synthetic data set: the same bytes for the same seed whatever the threads, balance, variety.
#include <lpw/data/synthetic.hpp>

#include <algorithm>
#include <set>
#include <string>
#include <tuple>
#include <vector>

#include "catch.hpp"
#include "images.hpp"
#include "support/errors.hpp"
#include "support/threads.hpp"

using namespace lpw::test;

using namespace lpw::data;

namespace {

SyntheticOptions few(std::uint64_t seed) { return {.seed = seed, .train = 203, .test = 101, .difficulty = {}}; }

std::set<std::string> distinct(const ImageSet& set) {
  std::set<std::string> images;
  for (std::int64_t i = 0; i < set.count; ++i) images.emplace(set.image(i), set.image(i) + set.image_size());
  return images;
}

}  // namespace

TEST_CASE("synthetic sets are well-formed and balanced") {
  const auto dataset = synthetic(few(0));
  CHECK(dataset.name == "synthetic");
  CHECK(dataset.class_names.size() == 10);
  CHECK(dataset.train.count == 203);
  CHECK(dataset.test.count == 101);
  for (const auto* set : {&dataset.train, &dataset.test}) {
    CHECK_NOTHROW(validate(*set));
    CHECK(set->height == 32);
    CHECK(set->width == 32);
    CHECK(set->channels == 3);
    CHECK(set->classes == 10);
    for (int label = 0; label < 10; ++label) {
      const auto count = std::count(set->labels.begin(), set->labels.end(), label);
      CHECK((count == set->count / 10 || count == set->count / 10 + 1));
    }
  }
  const auto statistics = channel_statistics(dataset.train);
  CHECK(dataset.normalization.mean == statistics.mean);
  CHECK(dataset.normalization.stddev == statistics.stddev);
}

TEST_CASE("a part of the synthetic set is the subset of the whole, with the whole's normalization") {
  const auto whole = synthetic(few(0));
  for (const std::int64_t train : {1, 57, 203}) {
    const auto part = synthetic(few(0), {.train = train, .test = 30});
    const auto expected = balanced_subset(whole.train, train), expected_test = balanced_subset(whole.test, 30);
    CHECK(part.train.count == train);
    CHECK(part.train.pixels == expected.pixels);
    CHECK(part.train.labels == expected.labels);
    CHECK(part.test.pixels == expected_test.pixels);
    CHECK(part.test.labels == expected_test.labels);
    CHECK(part.normalization.mean == whole.normalization.mean);
    CHECK(part.normalization.stddev == whole.normalization.stddev);
  }
  CHECK_THROWS_AS(synthetic(few(0), {.train = 204}), lpw::OptionError);
  CHECK_THROWS_AS(synthetic(few(0), {.test = -1}), lpw::OptionError);
}

TEST_CASE("the first five hundred synthetic images tell what all are normalised with") {
  const SyntheticOptions options{.seed = 2, .train = 510, .test = 1};
  const auto statistics = channel_statistics(synthetic(options, {.train = 500}).train);
  for (const std::int64_t train : {0, 3}) {
    const auto normalization = synthetic(options, {.train = train}).normalization;
    CHECK(normalization.mean == statistics.mean);
    CHECK(normalization.stddev == statistics.stddev);
  }
}

TEST_CASE("the same seed gives the same synthetic images with any number of threads") {
  CHECK(same_on_any_threads([] {
    const auto dataset = synthetic(few(4), {.train = 120});
    return std::tuple(dataset.train.pixels, dataset.train.labels, dataset.test.pixels, dataset.normalization.mean,
                      dataset.normalization.stddev);
  }));
}

TEST_CASE("more synthetic images extend the set") {
  const auto small = synthetic(few(4)).train;
  auto options = few(4);
  options.train = 300;
  const auto large = synthetic(options).train;
  CHECK(std::equal(small.pixels.begin(), small.pixels.end(), large.pixels.begin()));
}

TEST_CASE("no synthetic image occurs twice in or across splits and seeds") {
  std::set<std::string> all;
  std::size_t count = 0;
  for (const std::uint64_t seed : {0, 1}) {
    const auto dataset = synthetic(few(seed));
    for (const auto* set : {&dataset.train, &dataset.test}) {
      all.merge(distinct(*set));
      count += set->count;
    }
  }
  CHECK(all.size() == count);
}

TEST_CASE("a class is not told by its mean colour") {
  const auto dataset = synthetic({.seed = 2, .train = 4000, .test = 1, .difficulty = {}});
  const auto& set = dataset.train;
  double mean[10][3] = {};
  for (std::int64_t i = 0; i < set.count; ++i)
    for (std::int64_t j = 0; j < set.image_size(); ++j) mean[set.labels[i]][j % 3] += set.image(i)[j] / (1024.0 * 400);
  // An image's mean is spread over about 0.2 of the range (51 levels), a class's mean of 400 images over 2.5: four
  // times that.
  for (const auto& row : mean)
    for (int c = 0; c < 3; ++c) CHECK(std::abs(row[c] - 255 * dataset.normalization.mean[c]) < 10);
}

TEST_CASE("without nuisances the synthetic figures are what they are called") {
  // No noise, waves, patch, second figure or rotation: a disc's centre is of one colour, a ring's centre is background.
  const SyntheticDifficulty none{.ambiguous = 0,
                                 .min_contrast = 0.6f,
                                 .max_contrast = 0.6f,
                                 .texture = 0,
                                 .noise = 0,
                                 .rotation = 0,
                                 .occluded = 0};
  const auto set = synthetic({.seed = 3, .train = 400, .test = 1, .difficulty = none}).train;
  // Share of pixels that differ from their right (horizontal) and lower (vertical) neighbour by more than the slope
  // can.
  double horizontal[10] = {}, vertical[10] = {};
  for (std::int64_t i = 0; i < set.count; ++i)
    for (int y = 0; y < 31; ++y)
      for (int x = 0; x < 31; ++x) {
        const auto differs = [&](const std::uint8_t* a, const std::uint8_t* b) {
          return std::abs(a[0] - b[0]) + std::abs(a[1] - b[1]) + std::abs(a[2] - b[2]) > 30;
        };
        const auto* pixel = set.image(i) + (y * 32 + x) * 3;
        horizontal[set.labels[i]] += differs(pixel, pixel + 3);
        vertical[set.labels[i]] += differs(pixel, pixel + 96);
      }
  const auto edges = [&](int label) { return horizontal[label] + vertical[label]; };
  CHECK(vertical[6] > 1.5 * horizontal[6]);  // horizontal bars change from row to row
  CHECK(horizontal[7] > 1.5 * vertical[7]);  // vertical bars from column to column
  CHECK(vertical[8] < 1.3 * horizontal[8]);  // diagonal bars in both
  CHECK(horizontal[8] < 1.3 * vertical[8]);
  CHECK(edges(1) > 1.2 * edges(0));  // a ring has two outlines, a disc one
  CHECK(edges(9) > 1.5 * edges(2));  // checkers have more edges than a square
}

TEST_CASE("synthetic options out of range are refused") {
  auto options = few(0);
  options.train = 0;
  CHECK(message_of<lpw::OptionError>([&] { (void)synthetic(options); }) ==
        "synthetic data: expected at least 1 training and 1 test image, found 0 and 101");
}
