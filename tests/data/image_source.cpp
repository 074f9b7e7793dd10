// Images that are made when a minibatch wants them: the same for any number of threads, and from anywhere in an epoch.
#include <lpw/data/image_source.hpp>

#include <algorithm>
#include <array>
#include <atomic>
#include <set>
#include <stdexcept>
#include <vector>

#include <lpw/data/held_out.hpp>
#include <lpw/data/in_threads.hpp>
#include <lpw/data/loader.hpp>
#include <lpw/data/split.hpp>

#include "catch.hpp"
#include "support/compare.hpp"
#include "support/errors.hpp"
#include "support/pictures.hpp"

using namespace lpw;
using namespace lpw::test;

namespace {

const data::Normalization halves{.mean = {0.5f, 0.5f, 0.5f}, .stddev = {0.5f, 0.5f, 0.5f}};

std::vector<data::Batch<float>> source_batches(const data::ImageSet& set, data::LoaderOptions options, int threads,
                                               std::int64_t first = 0) {
  options.threads = threads;
  const data::Loader<float> loader(set, halves, options);
  std::vector<data::Batch<float>> result;
  for (auto& batch : loader.epoch(2, 3, first)) result.push_back(std::move(batch));
  return result;
}

}  // namespace

TEST_CASE("decoded minibatches are the same for any number of threads and from anywhere in an epoch") {
  const auto set = source_images(40);
  for (const auto member_data : {data::MemberData::own, data::MemberData::same, data::MemberData::whole}) {
    const data::LoaderOptions options{
        .batch = 4, .augment = data::resized_crop_flip, .seed = 5, .member_data = member_data};
    const auto one = source_batches(set, options, 1), several = source_batches(set, options, 4),
               later = source_batches(set, options, 3, 2);
    REQUIRE(one.size() == several.size());
    REQUIRE(one.size() == later.size() + 2);
    for (std::size_t i = 0; i < one.size(); ++i) {
      CHECK(same_bits(one[i].images, several[i].images));
      CHECK(same_bits(one[i].labels, several[i].labels));
      if (i >= 2) CHECK(same_bits(one[i].images, later[i - 2].images));
    }
  }
}

TEST_CASE("scored images are not cropped at random, and held-out ones stay in their source") {
  data::Dataset dataset{.name = "", .train = source_images(40), .test = {}, .normalization = halves, .class_names = {}};
  data::hold_out(dataset, 10);
  REQUIRE(dataset.held_out.count == 10);
  REQUIRE(dataset.train.count == 30);
  CHECK(dataset.held_out.source->name(9) == "picture 9");
  CHECK(dataset.train.source->name(0) == "picture 10");
  const data::Loader<float> loader(dataset.held_out, halves, data::evaluation(10));
  const data::NormalizationTable<float> table(halves, 3);
  std::array<std::uint8_t, 8 * 8 * 3> pixels{};
  RandomPictures().read(7, nullptr, pixels.data());
  for (auto& [images, labels] : loader.epoch(0)) {
    CHECK(labels.data()[7] == 2);
    for (std::size_t i = 0; i < pixels.size(); ++i)
      REQUIRE(images.data()[7 * pixels.size() + i] == table(pixels[i], static_cast<std::int64_t>(i % 3)));
  }
}

TEST_CASE("random crops that are resized are of images in files alone") {
  data::ImageSet set = source_images(8);
  set.source = nullptr;
  set.pixels.resize(8 * 8 * 8 * 3);
  CHECK(contains(message_of<OptionError>(
                     [&] { const data::Loader<float> loader(set, halves, {.augment = data::resized_crop_flip}); }),
                 "`resized_crop` is for images that are decoded from files"));
}

TEST_CASE("threads share items, and the first item's error is the one that is thrown") {
  for (const int threads : {1, 4}) {
    std::vector<std::atomic<int>> visits(100);
    data::in_threads(threads, 100, [&](std::int64_t i) { ++visits[to_size(i)]; });
    CHECK(std::all_of(visits.begin(), visits.end(), [](const auto& count) { return count == 1; }));
    CHECK(message_of<Error>([&] {
            data::in_threads(threads, 100, [&](std::int64_t i) {
              if (i % 7 == 3) fail<Error>("item ", i);
            });
          }) == "item 3");
  }
  data::in_threads(4, 0, [](std::int64_t) { FAIL("there is no item"); });
}

TEST_CASE("a split takes its part of every class, by its seed") {
  const auto set = source_images(53);
  const auto one = data::split(set.labels, set.classes, {.part = 0.3, .seed = 1}),
             other = data::split(set.labels, set.classes, {.part = 0.3, .seed = 2});
  CHECK(one.valid.size() == 15);  // three of the 11 or 10 of each
  CHECK(one.valid != other.valid);
  CHECK(one.valid == data::split(set.labels, set.classes, {.part = 0.3, .seed = 1}).valid);
  CHECK(data::split(10, {.part = 0.3}).valid == data::split(std::vector<std::int32_t>(10), 1, {.part = 0.3}).valid);
  CHECK(contains(message_of<OptionError>([] { (void)data::split(1); }), "split: 1 samples"));
  std::set<std::int64_t> all(one.train.begin(), one.train.end());
  all.insert(one.valid.begin(), one.valid.end());
  CHECK(all.size() == 53);
  const std::vector<std::int32_t> lonely{0, 0, 1};
  CHECK(contains(message_of<OptionError>([&] { (void)data::split(lonely, 2); }), "class 1 has one sample"));
  CHECK(contains(message_of<OptionError>([&] { (void)data::split(lonely, 2, {.part = 1}); }), "found 1"));
}

TEST_CASE("a split in three leaves no sample out and takes none twice") {
  const auto set = source_images(53);
  const auto parts = data::split_in_three(set.labels, set.classes, {.valid = 0.2, .test = 0.3, .seed = 1});
  CHECK(parts.test == data::split(set.labels, set.classes, {.part = 0.3, .seed = 1}).valid);
  CHECK(parts.valid.size() == 10);  // two of the 11 or 10 of each
  std::multiset<std::int64_t> all(parts.train.begin(), parts.train.end()), each;
  all.insert(parts.valid.begin(), parts.valid.end());
  all.insert(parts.test.begin(), parts.test.end());
  for (std::int64_t i = 0; i < 53; ++i) each.insert(i);
  CHECK(all == each);
  for (const auto& part : {parts.train, parts.valid, parts.test}) CHECK(std::is_sorted(part.begin(), part.end()));
  const auto least = data::split_in_three(3, {.valid = 0.01, .test = 0.98});
  CHECK((least.train.size() == 1 && least.valid.size() == 1 && least.test.size() == 1));
  const std::vector<std::int32_t> pair{0, 0, 0, 2, 2};
  CHECK(contains(message_of<OptionError>([&] { (void)data::split_in_three(pair, 3); }), "class 2 has 2 samples"));
  CHECK(contains(message_of<OptionError>([] { (void)data::split_in_three(2); }), "split_in_three: 2 samples"));
  CHECK(contains(message_of<OptionError>([] { (void)data::split_in_three(9, {.valid = 0.5, .test = 0.5}); }),
                 "found 0.5 and 0.5"));
}
