// Images that are kept from training.
#include <lpw/data/held_out.hpp>

#include <map>

#include "catch.hpp"
#include "images.hpp"
#include "support/errors.hpp"

using namespace lpw::test;
using namespace lpw::data;

namespace {

/// Images of one pixel, each with a value of its own, of three classes in an order that is not theirs.
Dataset numbered(std::int64_t count) {
  Dataset dataset;
  dataset.train = {.count = count, .height = 1, .width = 1, .channels = 1, .classes = 3, .pixels = {}, .labels = {}};
  for (std::int64_t i = 0; i < count; ++i) {
    dataset.train.pixels.push_back(static_cast<std::uint8_t>(i));
    dataset.train.labels.push_back(static_cast<std::int32_t>((i * i + i / 4) % 3));
  }
  return dataset;
}

}  // namespace

TEST_CASE("held-out images are balanced, and are no training images any more") {
  const Dataset whole = numbered(50);
  for (const std::int64_t size : {1, 6, 10, 49}) {
    CAPTURE(size);
    Dataset parted = whole;
    hold_out(parted, size);
    validate(parted.train), validate(parted.held_out);
    CHECK(parted.held_out.count == size);
    CHECK(parted.train.count == 50 - size);
    CHECK(parted.held_out.pixels == balanced_subset(whole.train, size).pixels);
    std::map<std::uint8_t, std::int32_t> found;  // label by image
    for (const ImageSet* set : {&parted.train, &parted.held_out})
      for (std::int64_t i = 0; i < set->count; ++i) found[*set->image(i)] = set->labels[lpw::to_size(i)];
    REQUIRE(found.size() == 50);
    for (std::size_t i = 0; i < 50; ++i) CHECK(found[static_cast<std::uint8_t>(i)] == whole.train.labels[i]);
    CHECK(std::is_sorted(parted.train.pixels.begin(), parted.train.pixels.end()));
  }
}

TEST_CASE("nothing is held out of nothing, not all, and not twice") {
  Dataset dataset = numbered(10);
  hold_out(dataset, 0);
  CHECK(dataset.held_out.count == 0);
  for (const std::int64_t size : {-1, 10, 11})
    CHECK(message_of<lpw::OptionError>([&] { hold_out(dataset, size); }) ==
          lpw::to_text("`held_out` ", size, ": expected from 0 to 9, one image fewer than the training set"));
  hold_out(dataset, 2);
  CHECK(message_of<lpw::OptionError>([&] { hold_out(dataset, 2); }) == "`held_out` 2: 2 images are held out already");
}
