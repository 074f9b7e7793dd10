// Minibatches of anything: several inputs of their own types, members, prefetching, resuming, errors, and images as one
// use.
#include <lpw/data/batch_loader.hpp>

#include <algorithm>
#include <atomic>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include <lpw/data/loader.hpp>

#include "catch.hpp"
#include "images.hpp"
#include "support/compare.hpp"
#include "support/errors.hpp"

using namespace lpw::data;
using namespace lpw::test;
using lpw::Cpu;
using lpw::Philox;
using lpw::Shape;
using lpw::Tensor;
using lpw::to_size;

namespace {

using Samples = std::span<const std::int64_t>;
using Three = std::tuple<Tensor<double, Cpu>, Tensor<std::int32_t, Cpu>, Tensor<std::uint8_t, Cpu>>;

/// Of sample i: noise of its own [n, 2], its number [n], and its last bits [n, 3, 1].
Three make_three(Samples samples, const Philox& random) {
  const std::int64_t n = std::ssize(samples);
  Three made{Tensor<double, Cpu>({n, 2}), Tensor<std::int32_t, Cpu>({n}), Tensor<std::uint8_t, Cpu>({n, 3, 1})};
  auto& [noise, number, bits] = made;
  for (std::int64_t j = 0; j < n; ++j) {
    const std::int64_t i = samples[to_size(j)];
    lpw::PhiloxSequence draws(random, i, 2);
    for (std::int64_t c = 0; c < 2; ++c) noise.data()[2 * j + c] = draws.next();
    number.data()[j] = static_cast<std::int32_t>(i);
    for (std::int64_t c = 0; c < 3; ++c) bits.data()[3 * j + c] = static_cast<std::uint8_t>(i >> c & 1);
  }
  return made;
}

constexpr std::int64_t sample_count = 43;
const MinibatchOptions fours{.batch = 4, .seed = 9};

template <class Loader>
std::vector<typename Loader::Item> all(const Loader& loader, std::int64_t members, const Place& place = {.epoch = 2}) {
  std::vector<typename Loader::Item> items;
  for (auto& item : loader.epoch(place, members)) items.push_back(item);
  return items;
}

/// Whether two items are the same bit for bit.
bool same(const Three& a, const Three& b) {
  return same_bits(std::get<0>(a), std::get<0>(b)) && same_bits(std::get<1>(a), std::get<1>(b)) &&
         same_bits(std::get<2>(a), std::get<2>(b));
}
/// Member k's part of an item.
Three part(const Three& item, std::int64_t k) {
  return std::apply([&](const auto&... tensor) { return Three(clone(tensor.rows(k, 1))...); }, item);
}

/// A function of its own type for each input.
struct Named {
  Tensor<float, Cpu> x;
  Tensor<std::int64_t, Cpu> y;
  [[nodiscard]] auto tensors() { return std::tie(x, y); }
};

}  // namespace

TEST_CASE("batch loader: several inputs of their own types, for members", "[batch_loader]") {
  const auto data = GENERATE(MemberData::own, MemberData::same, MemberData::whole);
  const std::int64_t members = GENERATE(1, 3);
  CAPTURE(int(data), members);
  auto options = fours;
  options.member_data = data;
  const BatchLoader loader(sample_count, make_three, options);
  const auto items = all(loader, members);
  REQUIRE(std::ssize(items) == loader.iterations(members));
  const auto orders = loader.plan().orders(2, members);
  for (std::int64_t i = 0; i < std::ssize(items); ++i) {
    const auto& [noise, number, bits] = items[to_size(i)];
    const std::int64_t batch = loader.plan().batch(members, i);
    CHECK(noise.shape() == Shape{members, batch, 2});
    CHECK(number.shape() == Shape{members, batch});
    CHECK(bits.shape() == Shape{members, batch, 3, 1});
    // what each member would be given alone
    const auto chosen = loader.plan().chosen(orders, members, i);
    for (std::int64_t k = 0; k < members; ++k) {
      const Philox random(data == MemberData::whole ? member_seed(9, k) : 9, lpw::Stream::crop, 2);
      const auto expected = make_three(Samples(chosen).subspan(to_size(k * batch), to_size(batch)), random);
      std::vector<std::int32_t> found(number.row(k), number.row(k) + batch);
      CHECK(found == std::vector<std::int32_t>(chosen.begin() + k * batch, chosen.begin() + (k + 1) * batch));
      const auto mine = part(items[to_size(i)], k);
      CHECK(same_bits(std::get<0>(mine).reshaped({batch, 2}), std::get<0>(expected)));
      CHECK(same_bits(std::get<2>(mine).reshaped({batch, 3, 1}), std::get<2>(expected)));
    }
  }
}

TEST_CASE("batch loader: the same bits with and without prefetching, and from every place", "[batch_loader]") {
  const auto data = GENERATE(MemberData::own, MemberData::same, MemberData::whole);
  auto options = fours;
  options.member_data = data;
  const BatchLoader loader(sample_count, make_three, options);
  const auto whole = all(loader, 3);
  for (const std::size_t ahead : {0, 1, 7}) {
    options.ahead = ahead;
    const BatchLoader other(sample_count, make_three, options);
    for (Place place{.epoch = 2}; place.iteration <= std::ssize(whole); place.advance()) {
      CAPTURE(ahead, place.iteration);
      const auto rest = all(other, 3, place);
      REQUIRE(std::ssize(rest) == std::ssize(whole) - place.iteration);
      for (std::size_t i = 0; i < rest.size(); ++i) CHECK(same(rest[i], whole[i + to_size(place.iteration)]));
    }
  }
}

TEST_CASE("batch loader: without prefetching a minibatch is made when it is read, by the reader", "[batch_loader]") {
  std::atomic<int> made = 0;
  std::atomic<bool> elsewhere = false;
  const auto reader = std::this_thread::get_id();
  const BatchLoader loader(sample_count,
                           [&](Samples samples, const Philox&) {
                             ++made;
                             if (std::this_thread::get_id() != reader) elsewhere = true;
                             return lpw::zeros<float, Cpu>({std::ssize(samples)});
                           },
                           {.batch = 4, .ahead = 0});
  int read = 0;
  for ([[maybe_unused]] auto& x : loader.epoch(0)) CHECK(made == ++read);
  CHECK(read == loader.iterations());
  CHECK(!elsewhere);
}

TEST_CASE("batch loader: what make_batch throws reaches the reader in its place", "[batch_loader]") {
  const std::size_t ahead = GENERATE(0, 1, 2);
  const BatchLoader loader(sample_count,
                           [](Samples samples, const Philox&) {
                             for (const auto i : samples)
                               if (i == 17) throw std::runtime_error("sample 17 cannot be read");
                             return lpw::zeros<float, Cpu>({std::ssize(samples), 1});
                           },
                           {.batch = 4, .shuffle = false, .ahead = ahead});
  int read = 0;
  auto epoch = loader.epoch(0, 2);
  auto item = epoch.begin();
  const auto message = message_of<std::runtime_error>([&] {
    for (; item != epoch.end(); ++item) ++read;
  });
  CHECK(message == "sample 17 cannot be read");
  CHECK(read == 2);  // eight samples in each iteration of two members
  CHECK(item == epoch.end());
}

TEST_CASE("batch loader: single tensors, pairs, structs, and minibatches as a function of one's own makes them",
          "[batch_loader]") {
  const auto number = [](Samples samples, const Philox&) {
    Tensor<std::int64_t, Cpu> result({std::ssize(samples)});
    std::copy(samples.begin(), samples.end(), result.data());
    return result;
  };
  const BatchLoader single(sample_count, number, fours);
  const BatchLoader pairs(
      sample_count,
      [&](Samples s, const Philox& r) { return std::pair(number(s, r), lpw::zeros<float, Cpu>({std::ssize(s)})); },
      fours);
  const BatchLoader named(
      sample_count,
      [&](Samples s, const Philox& r) {
        return Named{lpw::zeros<float, Cpu>({std::ssize(s), 5}), number(s, r)};
      },
      fours);
  const BatchLoader own(
      sample_count, [](const Minibatch& minibatch) { return minibatch.samples; }, fours);
  const auto expected = all(single, 3);
  const auto two = all(pairs, 3);
  const auto structs = all(named, 3);
  const auto vectors = all(own, 3);
  REQUIRE(vectors.size() == expected.size());
  for (std::size_t i = 0; i < expected.size(); ++i) {
    CHECK(same_bits(two[i].first, expected[i]));
    CHECK(same_bits(structs[i].y, expected[i]));
    CHECK(structs[i].x.shape() == Shape{3, expected[i].dim(1), 5});
    CHECK(vectors[i] == std::vector<std::int64_t>(expected[i].data(), expected[i].data() + expected[i].size()));
  }
}

TEST_CASE("batch loader: images made by a function of one's own are the image loader's", "[batch_loader]") {
  const auto set = random_images(41, 4, 4, 3, 7);
  const auto statistics = channel_statistics(set);
  const AugmentOptions how{.pad_crop = 2, .flip = true};
  const NormalizationTable<float> table(statistics, 3);
  const auto make = [&](Samples samples, const Philox& random) {
    std::pair made(Tensor<float, Cpu>({std::ssize(samples), 4, 4, 3}),
                   Tensor<std::int32_t, Cpu>({std::ssize(samples)}));
    for (std::int64_t j = 0; j < std::ssize(samples); ++j) {
      const std::int64_t i = samples[to_size(j)];
      augment(set.image(i), 4, 4, draw_augmentation(how, random, i, 4, 4), table, made.first.row(j));
      made.second.data()[j] = set.labels[to_size(i)];
    }
    return made;
  };
  const auto data = GENERATE(MemberData::own, MemberData::same, MemberData::whole);
  const Loader<float> images(set, statistics, {.batch = 4, .augment = how, .seed = 9, .member_data = data});
  const BatchLoader loader(set.count, make, images.options());
  const auto found = all(loader, 3);
  std::size_t i = 0;
  for (auto& [x, y] : images.epoch(Place{.epoch = 2}, 3)) {
    REQUIRE(i < found.size());
    CHECK(same_bits(found[i].first, x));
    CHECK(same_bits(found[i++].second, y));
  }
  CHECK(i == found.size());
}

TEST_CASE("batch loader: texts are padded to the longest of all members' where all are made at once",
          "[batch_loader]") {
  const auto length = [](std::int64_t i) { return i % 5 + 1; };
  const auto make = [&](const Minibatch& all) {
    std::int64_t longest = 0;
    for (const std::int64_t i : all.samples) longest = std::max(longest, length(i));
    auto texts = lpw::zeros<std::int32_t, Cpu>({all.members, all.batch, longest});
    for (std::int64_t row = 0; row < std::ssize(all.samples); ++row) {
      const std::int64_t i = all.samples[to_size(row)];
      std::fill_n(texts.data() + row * longest, length(i), static_cast<std::int32_t>(i + 1));
    }
    return texts;
  };
  auto options = fours;
  options.member_data = GENERATE(MemberData::own, MemberData::same, MemberData::whole);
  const BatchLoader loader(sample_count, make, options);
  std::vector<std::int64_t> visits(sample_count);
  for (const auto& texts : all(loader, 2)) {
    REQUIRE(texts.dim(0) == 2);
    bool full = false;
    for (std::int64_t row = 0; row < 2 * texts.dim(1); ++row) {
      const std::int32_t* text = texts.data() + row * texts.dim(2);
      const std::int64_t i = text[0] - 1;
      ++visits.at(to_size(i));
      full = full || length(i) == texts.dim(2);
      CHECK(std::count(text, text + texts.dim(2), text[0]) == length(i));
    }
    CHECK(full);
  }
  const std::int64_t most = options.member_data == MemberData::own ? 1 : 2;
  CHECK(*std::max_element(visits.begin(), visits.end()) == most);
}

TEST_CASE("batch loader: what cannot be is refused in a line", "[batch_loader]") {
  const auto message = [](auto make, const MinibatchOptions& options, std::int64_t members) {
    const BatchLoader loader(sample_count, make, options);
    return message_of<lpw::ShapeError>([&] {
      for ([[maybe_unused]] auto& item : loader.epoch(0, members)) {
      }
    });
  };
  const auto zeros = [](const Shape& shape) { return lpw::zeros<float, Cpu>(shape); };
  CHECK(message(
            [&](Samples, const Philox&) {
              return zeros({3, 2});
            },
            fours, 2) == "loader: make_batch gave tensor 0 as [3 2] for 8 samples; expected [8, ...]");
  CHECK(message([&](Samples s, const Philox&) { return std::pair(zeros({std::ssize(s)}), zeros({})); }, fours, 1) ==
        "loader: make_batch gave tensor 1 as [] for 4 samples; expected [4, ...]");
  auto whole = fours;
  whole.member_data = MemberData::whole;
  const auto uneven = [&](Samples s, const Philox& random) {
    return zeros({std::ssize(s), random.seed() == 9 ? 2 : 3});
  };
  CHECK(message(uneven, whole, 2) ==
        "loader: make_batch gave tensor 0 as [4 3] for member 1, and as [4 2] for the first; members' must be alike: "
        "make the samples of one size, whichever are chosen, or all members' at once, "
        "make_batch(const lpw::data::Minibatch&)");
  CHECK(message_of<lpw::OptionError>([&] { (void)BatchLoader(0, make_three); }) ==
        "loader: expected at least 1 sample, found 0");
  const BatchLoader loader(sample_count, make_three, fours);
  CHECK(message_of<lpw::OptionError>([&] { (void)loader.epoch(0, 44); }) ==
        "loader: expected from 1 to 43 members (one sample each), found 44");
}

TEST_CASE("place: an epoch of which no minibatch was said to be done does not end", "[data]") {
  Place place{.epoch = 2};
  CHECK(message_of<lpw::OptionError>([&] { place.end_epoch(); }) ==
        "Place: epoch 2 ends and no minibatch of it is done; call advance() after each");
  place.advance();
  place.end_epoch();
  CHECK(place == Place{3, 0, 1});
}
