// Image sets: consistency checks, channel statistics, class-balanced parts.
#include <lpw/data/dataset.hpp>

#include <algorithm>
#include <cmath>
#include <map>
#include <vector>

#include "catch.hpp"
#include "images.hpp"
#include "support/errors.hpp"

using namespace lpw::test;

using namespace lpw::data;

TEST_CASE("channel statistics are the mean and population deviation of each channel") {
  // Channel 0 holds 0, 255, 255, 0: mean 1/2, deviation 1/2. Channel 1 holds 51, 51, 51, 102: mean 1/4, deviation
  // sqrt(3)/20.
  const ImageSet set{.count = 2,
                     .height = 1,
                     .width = 2,
                     .channels = 2,
                     .classes = 1,
                     .pixels = {0, 51, 255, 51, 255, 51, 0, 102},
                     .labels = {0, 0}};
  const auto normalization = channel_statistics(set);
  REQUIRE(normalization.mean.size() == 2);
  REQUIRE(normalization.stddev.size() == 2);
  // Exact sums; what is left is the rounding to float.
  CHECK(std::abs(normalization.mean[0] - 0.5) < 1e-7);
  CHECK(std::abs(normalization.stddev[0] - 0.5) < 1e-7);
  CHECK(std::abs(normalization.mean[1] - 0.25) < 1e-7);
  CHECK(std::abs(normalization.stddev[1] - std::sqrt(3.0) / 20) < 1e-7);
}

TEST_CASE("a constant channel gets stddev 1") {
  const ImageSet set{
      .count = 1, .height = 1, .width = 3, .channels = 1, .classes = 1, .pixels = {7, 7, 7}, .labels = {0}};
  CHECK(channel_statistics(set).stddev == std::vector<float>{1.f});
}

TEST_CASE("an image set that contradicts itself is refused") {
  auto set = random_images(6, 2, 2, 3, 3);
  CHECK_NOTHROW(validate(set));
  SECTION("pixels") {
    set.pixels.pop_back();
    CHECK(message_of<lpw::Error>([&] { validate(set); }) ==
          "image set: expected 72 pixel bytes (N=6 H=2 W=2 C=3), found 71");
  }
  SECTION("labels") {
    set.labels.push_back(0);
    CHECK(message_of<lpw::Error>([&] { validate(set); }) == "image set: expected 6 labels, found 7");
  }
  SECTION("a label without a class") {
    set.labels[4] = 3;
    CHECK(message_of<lpw::Error>([&] { validate(set); }) == "image set: label 3 of image 4 is not in [0, 3)");
  }
  SECTION("nothing") {
    set = {};
    CHECK_THROWS_AS(validate(set), lpw::Error);
    CHECK_THROWS_AS(channel_statistics(set), lpw::Error);
  }
}

TEST_CASE("a subset is class-balanced and keeps the order") {
  auto set = random_images(60, 2, 3, 1, 4);
  std::rotate(set.labels.begin(), set.labels.begin() + 17, set.labels.end());
  std::sort(set.labels.begin(), set.labels.begin() + 30);  // long runs of one class first

  const auto part = balanced_subset(set, 10);
  REQUIRE(part.count == 10);
  CHECK_NOTHROW(validate(part));
  std::map<int, int> counts;
  for (const int label : part.labels) ++counts[label];
  REQUIRE(counts.size() == 4);
  for (const auto& [label, count] : counts) CHECK((count == 2 || count == 3));

  // Every image is one of the whole set's, in the same order, and the first of its class not yet taken.
  std::map<int, int> taken;
  std::int64_t source = 0;
  for (std::int64_t i = 0; i < part.count; ++i, ++source) {
    while (source < set.count &&
           (set.labels[source] != part.labels[i] || !std::equal(part.image(i), part.image(i) + 6, set.image(source))))
      ++source;
    REQUIRE(source < set.count);
    const int label = part.labels[i];
    CHECK(std::count(set.labels.begin(), set.labels.begin() + source, label) == taken[label]++);
  }
}

TEST_CASE("subsets are nested and the largest is the whole set") {
  const auto set = random_images(20, 2, 2, 3, 3);
  const auto all = balanced_subset(set, 20);
  CHECK(all.pixels == set.pixels);
  CHECK(all.labels == set.labels);
  const auto small = balanced_subset(balanced_subset(set, 12), 5), direct = balanced_subset(set, 5);
  CHECK(small.pixels == direct.pixels);
  CHECK(small.labels == direct.labels);
}

TEST_CASE("a class with too few images gives all it has") {
  auto set = random_images(12, 1, 1, 1, 2);
  std::fill(set.labels.begin(), set.labels.end(), 0);
  set.labels[5] = 1;
  const auto part = balanced_subset(set, 6);
  CHECK(std::count(part.labels.begin(), part.labels.end(), 1) == 1);
  CHECK(std::count(part.labels.begin(), part.labels.end(), 0) == 5);
}

TEST_CASE("a subset of no images or of more than there are is refused") {
  const auto set = random_images(5, 1, 1, 1, 2);
  for (const int size : {0, -1, 6}) {
    CAPTURE(size);
    CHECK(message_of<lpw::OptionError>([&] { (void)balanced_subset(set, size); }).find("from 1 to 5") !=
          std::string::npos);
  }
}
