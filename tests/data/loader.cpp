// The loader: order, the members' minibatches, the last iteration, resuming within an epoch, evaluation, bad arguments.
#include <lpw/data/loader.hpp>

#include <algorithm>
#include <cstring>
#include <numeric>
#include <type_traits>
#include <vector>

#include "catch.hpp"
#include "images.hpp"
#include "support/compare.hpp"
#include "support/errors.hpp"

using namespace lpw::test;

using namespace lpw::data;

namespace {

/// Images of 4 x 4 x 3 whose label is their index, so that a batch's labels tell which samples it holds.
ImageSet numbered_images(int count) { return random_images(count, 4, 4, 3, count); }

const Normalization plain{.mean = {0.f, 0.f, 0.f}, .stddev = {1.f, 1.f, 1.f}};
const LoaderOptions small{
    .batch = 4, .augment = {.pad_crop = 2, .flip = true, .cutout = 2}, .shuffle = true, .seed = 9};

template <class T>
std::vector<Batch<T>> batches(const Loader<T>& loader, std::int64_t epoch, std::int64_t members,
                              std::int64_t first = 0) {
  std::vector<Batch<T>> result;
  for (auto& batch : loader.epoch(epoch, members, first)) result.push_back(batch);
  return result;
}

template <class T>
std::vector<std::int64_t> samples(const std::vector<Batch<T>>& batches) {
  std::vector<std::int64_t> result;
  for (const auto& batch : batches)
    result.insert(result.end(), batch.labels.data(), batch.labels.data() + batch.labels.size());
  return result;
}

template <class L>
concept LendsEpoch = requires(L&& loader) {
  std::forward<L>(loader).epoch(0);
};

}  // namespace

TEST_CASE("an epoch's order is a permutation that seed and epoch decide") {
  const auto order = epoch_order(1000, 1, 0);
  auto sorted = order;
  std::sort(sorted.begin(), sorted.end());
  std::vector<std::int64_t> all(1000);
  std::iota(all.begin(), all.end(), 0);
  CHECK(sorted == all);
  CHECK(order != all);
  CHECK(order == epoch_order(1000, 1, 0));
  CHECK(order != epoch_order(1000, 1, 1));
  CHECK(order != epoch_order(1000, 2, 0));
  CHECK(epoch_order(1, 1, 0) == std::vector<std::int64_t>{0});
}

TEST_CASE("every sample is equally likely at every place") {
  constexpr int n = 6, epochs = 12000;
  int counts[n][n] = {};
  for (int epoch = 0; epoch < epochs; ++epoch) {
    const auto order = epoch_order(n, 3, epoch);
    for (int place = 0; place < n; ++place) ++counts[place][order[place]];
  }
  // Six standard deviations of a binomial count with p = 1/6.
  for (const auto& row : counts)
    for (const int count : row) CHECK(std::abs(count - epochs / 6.0) < 6 * std::sqrt(epochs * 5 / 36.0));
}

TEST_CASE("nothing is done to images unless asked for") {
  const auto set = numbered_images(23);
  const Loader<float> loader(set, plain, {.batch = 23, .shuffle = false}), as_stored(set, plain, evaluation(23));
  CHECK(same_bits(batches(loader, 3, 1).at(0).images, batches(as_stored, 0, 1).at(0).images));
  // What is asked for is all that is done.
  CHECK_FALSE(LoaderOptions{.augment = {.cutout = 2}}.augment.flip);
  CHECK(LoaderOptions{.augment = {.flip = true}}.augment.pad_crop == 0);
}

TEST_CASE("members get consecutive stretches of the order") {
  const auto set = numbered_images(50);
  const Loader<float> loader(set, plain, small);
  const auto order = epoch_order(50, small.seed, 7);
  for (const int members : {1, 2, 3, 5}) {
    CAPTURE(members);
    const auto visited = samples(batches(loader, 7, members));
    CHECK(visited.size() == 50u / members * members);
    CHECK(std::equal(visited.begin(), visited.end(), order.begin()));
  }
  const auto second = batches(loader, 7, 3).at(1);
  CHECK(second.images.shape() == lpw::Shape{3, 4, 4, 4, 3});
  CHECK(second.labels.shape() == lpw::Shape{3, 4});
  for (int k = 0; k < 3; ++k)
    for (int b = 0; b < 4; ++b) CHECK(second.labels.row(k)[b] == order[1 * 12 + k * 4 + b]);
}

TEST_CASE("the last iteration holds what is left") {
  struct Case {
    int count, members;
    std::int64_t batch, iterations, last;  // last: samples per member in the last iteration
  };
  for (const auto& [count, members, batch, iterations, last] :
       {Case{48, 3, 4, 4, 4}, Case{50, 3, 4, 4, 4}, Case{51, 3, 4, 4, 5}, Case{54, 3, 4, 5, 2}, Case{53, 3, 4, 4, 5},
        Case{5, 1, 4, 1, 5}, Case{9, 1, 4, 2, 5}, Case{59, 3, 4, 5, 3}, Case{10, 1, 4, 3, 2}, Case{10, 3, 100, 1, 3},
        Case{10, 10, 1, 1, 1}, Case{10, 1, INT64_MAX, 1, 10}, Case{1, 1, 1, 1, 1}}) {
    CAPTURE(count, members, batch);
    const auto set = numbered_images(count);
    auto options = small;
    options.batch = batch;
    const Loader<float> loader(set, plain, options);
    CHECK(loader.iterations(members) == iterations);
    const auto all = batches(loader, 0, members);
    REQUIRE(std::ssize(all) == iterations);
    CHECK(all.back().labels.shape() == lpw::Shape{members, last});
    auto visited = samples(all);
    CHECK(std::ssize(visited) == count / members * members);
    std::sort(visited.begin(), visited.end());
    CHECK(std::adjacent_find(visited.begin(), visited.end()) == visited.end());
  }
}

TEMPLATE_TEST_CASE("a batch holds its samples' augmented images", "", float, double, lpw::bfloat16) {
  const auto set = numbered_images(23);
  const auto statistics = channel_statistics(set);
  const Loader<TestType> loader(set, statistics, small);
  const NormalizationTable<TestType> table(statistics, 3);
  std::vector<TestType> expected(set.image_size());
  for (const auto& [images, labels] : batches(loader, 2, 2))
    for (std::int64_t i = 0; i < labels.size(); ++i) {
      const std::int64_t index = labels.data()[i];
      augment(set.image(index), 4, 4, draw_augmentation(small.augment, small.seed, 2, index, 4, 4), table,
              expected.data());
      CHECK(std::memcmp(images.data() + i * set.image_size(), expected.data(), expected.size() * sizeof(TestType)) ==
            0);
    }
}

TEST_CASE("an epoch continued from the middle has the same batches") {
  const int count = GENERATE(45, 43);  // 43: the last batch is larger by the samples that would be left over
  const auto set = numbered_images(count);
  const Loader<float> loader(set, channel_statistics(set), small);
  const auto whole = batches(loader, 4, 2);
  REQUIRE(whole.size() == (count == 45 ? 6 : 5));
  CHECK(loader.joins(2) == (count == 43));
  for (std::size_t first = 0; first <= whole.size(); ++first) {
    const auto rest = batches(loader, 4, 2, static_cast<std::int64_t>(first));
    REQUIRE(rest.size() == whole.size() - first);
    for (std::size_t i = 0; i < rest.size(); ++i) {
      CHECK(same_bits(rest[i].images, whole[first + i].images));
      CHECK(same_bits(rest[i].labels, whole[first + i].labels));
    }
  }
}

TEST_CASE("epochs and seeds differ and repeat") {
  const auto set = numbered_images(32);
  const Loader<float> loader(set, plain, small);
  auto other = small;
  other.seed = 10;
  CHECK(same_bits(batches(loader, 1, 2)[0].images, batches(loader, 1, 2)[0].images));
  CHECK_FALSE(same_bits(batches(loader, 1, 2)[0].images, batches(loader, 2, 2)[0].images));
  CHECK_FALSE(same_bits(batches(loader, 1, 2)[0].images, batches(Loader<float>(set, plain, other), 1, 2)[0].images));
}

TEST_CASE("evaluation visits every sample once in stored order and unchanged") {
  const auto set = numbered_images(23);
  const Loader<float> loader(set, plain, evaluation(5));
  CHECK(loader.iterations(1) == 5);
  std::int64_t index = 0;
  for (auto& [images, labels] : loader.epoch(0))
    for (std::int64_t i = 0; i < labels.size(); ++i, ++index) {
      CHECK(labels.data()[i] == index);
      for (std::int64_t j = 0; j < set.image_size(); ++j)
        REQUIRE(images.data()[i * set.image_size() + j] == static_cast<float>(set.image(index)[j] / 255.0));
    }
  CHECK(index == 23);
}

TEST_CASE("an epoch may be left early") {
  const auto set = numbered_images(4000);
  const Loader<float> loader(set, plain, small);
  for (int repeat = 0; repeat < 20; ++repeat) {
    int seen = 0;
    for ([[maybe_unused]] auto& batch : loader.epoch(repeat, 2))
      if (++seen == 3) break;
    CHECK(seen == 3);
  }
}

TEST_CASE("two epochs may run at once") {
  const auto set = numbered_images(40);
  const Loader<float> loader(set, plain, small);
  auto first = loader.epoch(0, 2), second = loader.epoch(1, 2);
  auto i = first.begin(), j = second.begin();
  const auto expected0 = batches(loader, 0, 2), expected1 = batches(loader, 1, 2);
  for (std::size_t k = 0; k < expected0.size(); ++k, ++i, ++j) {
    CHECK(same_bits(i->images, expected0[k].images));
    CHECK(same_bits(j->images, expected1[k].images));
  }
  CHECK(i == first.end());
  CHECK(j == second.end());
}

TEST_CASE("a loader refuses to refer to a temporary and to lend an epoch of one") {
  STATIC_REQUIRE(std::is_constructible_v<Loader<float>, const ImageSet&, Normalization>);
  STATIC_REQUIRE_FALSE(std::is_constructible_v<Loader<float>, ImageSet&&, Normalization>);
  STATIC_REQUIRE(LendsEpoch<const Loader<float>&>);
  STATIC_REQUIRE_FALSE(LendsEpoch<Loader<float>>);
}

TEST_CASE("a loader refuses what it cannot do") {
  auto set = numbered_images(12);
  const Loader<float> loader(set, plain, small);
  CHECK(message_of<lpw::OptionError>([&] { (void)loader.iterations(0); }) ==
        "loader: expected from 1 to 12 members (one sample each), found 0");
  CHECK_THROWS_AS(loader.iterations(13), lpw::OptionError);
  CHECK_THROWS_AS(loader.epoch(0, -1), lpw::OptionError);
  CHECK_THROWS_AS(loader.epoch(-1, 1), lpw::OptionError);
  CHECK_THROWS_AS(loader.epoch(std::int64_t{1} << 32, 1), lpw::OptionError);
  CHECK_THROWS_AS(loader.epoch(0, 1, -1), lpw::OptionError);
  CHECK(message_of<lpw::OptionError>([&] { (void)loader.epoch(0, 1, 4); }) ==
        "loader: expected a first iteration from 0 to 3, found 4");

  CHECK_THROWS_AS(Loader<float>(set, plain, {.batch = 0}), lpw::OptionError);
  CHECK_THROWS_AS(Loader<float>(set, plain, {.batch = 1, .augment = {.pad_crop = 5}}), lpw::OptionError);
  CHECK_THROWS_AS(Loader<float>(set, {.mean = {0.f}, .stddev = {1.f}}), lpw::OptionError);
  set.labels[3] = 12;
  CHECK_THROWS_AS(Loader<float>(set, plain, small), lpw::Error);
}

TEST_CASE("members that read the same get one member's minibatches, augmented alike") {
  const auto set = numbered_images(41);
  auto options = small;
  const auto alone = batches(Loader<float>(set, plain, options), 3, 1);
  options.member_data = MemberData::same;
  const Loader<float> loader(set, plain, options);
  CHECK(loader.iterations(3) == std::ssize(alone));
  CHECK(loader.joins(3));
  CHECK(loader.samples(3) == 3 * 41);
  for (const std::int64_t first : {0, 4}) {
    const auto found = batches(loader, 3, 3, first);
    REQUIRE(std::ssize(found) == std::ssize(alone) - first);
    for (std::size_t i = 0; i < found.size(); ++i)
      for (std::int64_t k = 0; k < 3; ++k) {
        CHECK(same_bits(found[i].images.rows(k, 1), alone[i + static_cast<std::size_t>(first)].images));
        CHECK(same_bits(found[i].labels.rows(k, 1), alone[i + static_cast<std::size_t>(first)].labels));
      }
  }
}

TEST_CASE("members whose minibatches alone are made have those that they have among all") {
  const auto set = numbered_images(41);
  for (const auto data : {MemberData::own, MemberData::same, MemberData::whole}) {
    auto options = small;
    options.member_data = data;
    const Loader<float> loader(set, plain, options);
    const auto all = batches(loader, 3, 5);
    for (const ReadMembers some : {ReadMembers(5, 0, 1), ReadMembers(5, 1, 3), ReadMembers(5, 4, 1)}) {
      CAPTURE(int(data), some.first);
      std::size_t next = 2;
      for (const auto& [images, labels] : loader.epoch(3, some, 2)) {
        REQUIRE(next < all.size());
        CHECK(same_bits(images, all[next].images.rows(some.first, some.count)));
        CHECK(same_bits(labels, all[next].labels.rows(some.first, some.count)));
        ++next;
      }
      CHECK(next == all.size());
    }
    const auto read = [&](const ReadMembers& members) { (void)loader.epoch(3, members).begin(); };
    CHECK(message_of<lpw::OptionError>([&] {
            read({5, 4, 2});
          }) == "loader: members 4 to 5 of 5; expected some from 0 to 4");
    CHECK_THROWS_AS(read({5, 0, 0}), lpw::OptionError);
  }
}

TEST_CASE("parts of a member's minibatches are the minibatches together, or each the whole of a small one") {
  const auto set = numbered_images(42);  // ten minibatches of four, one of two
  const Loader<float> loader(set, plain, small);
  const auto whole = batches(loader, 3, 1);
  for (const std::int64_t parts : {2, 3}) {
    std::vector<std::vector<Batch<float>>> made(static_cast<std::size_t>(parts));
    for (std::int64_t part = 0; part < parts; ++part)
      for (auto& batch : loader.epoch(3, ReadMembers::part_of_one(part, parts)))
        made[static_cast<std::size_t>(part)].push_back(batch);
    for (std::size_t i = 0; i < whole.size(); ++i) {
      std::int64_t before = 0;
      const std::int64_t size = whole[i].labels.dim(1);
      for (const auto& part : made) {
        REQUIRE(part.size() == whole.size());
        const std::int64_t count = part[i].labels.dim(1);
        for (std::int64_t j = 0; j < count; ++j) CHECK(part[i].labels.data()[j] == whole[i].labels.data()[before + j]);
        if (size >= parts) before += count;
      }
      CHECK(before == (size >= parts ? size : 0));
    }
  }
  CHECK_THROWS_AS((void)loader.epoch(3, ReadMembers::part_of_one(2, 2)).begin(), lpw::OptionError);
}

TEST_CASE("members that read the whole set get what each would alone with its own seed") {
  const auto set = numbered_images(41);
  auto options = small;
  options.member_data = MemberData::whole;
  const Loader<float> loader(set, plain, options);
  CHECK(loader.samples(3) == 3 * 41);
  const auto found = batches(loader, 3, 3);
  CHECK(member_seed(small.seed, 0) == small.seed);
  std::vector<std::vector<std::int64_t>> orders;
  for (std::int64_t k = 0; k < 3; ++k) {
    auto own = small;
    own.seed = member_seed(small.seed, k);
    const auto alone = batches(Loader<float>(set, plain, own), 3, 1);
    orders.push_back(samples(alone));
    REQUIRE(alone.size() == found.size());
    for (std::size_t i = 0; i < found.size(); ++i) {
      CHECK(same_bits(found[i].images.rows(k, 1), alone[i].images));
      CHECK(same_bits(found[i].labels.rows(k, 1), alone[i].labels));
    }
  }
  CHECK(orders[0] != orders[1]);
  CHECK(orders[1] != orders[2]);
  CHECK(loader.iterations(50) == loader.iterations(1));  // more members than images
}
