#include <lpw/tensor/philox.hpp>

#include <array>
#include <cmath>
#include <set>

#include "catch.hpp"

using Catch::Matchers::WithinAbs;
using lpw::Philox;
using lpw::Stream;

namespace {

// The mean of f(index) over the first n indices.
template <class F>
double mean(int n, F f) {
  double sum = 0;
  for (int i = 0; i < n; ++i) sum += f(i);
  return sum / n;
}

constexpr int draws = 1 << 16;
// An average of n draws with standard deviation s misses its expectation by more than 5 s / sqrt(n) in one of two
// million seeds.
double five_sigma(double deviation) { return 5 * deviation / std::sqrt(draws); }

}  // namespace

// From the file of known answers that comes with Random123, the reference implementation of the paper named in
// philox.hpp.
TEST_CASE("Philox 4x32-10 gives the known answers of its authors") {
  CHECK(Philox::rounds({0, 0, 0, 0}, 0, 0) == Philox::Block{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8});
  CHECK(Philox::rounds({0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff}, 0xffffffff, 0xffffffff) ==
        Philox::Block{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd});
  CHECK(Philox::rounds({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, 0xa4093822, 0x299f31d0) ==
        Philox::Block{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1});
}

TEST_CASE("a sequence of Philox numbers is the words of an item's own blocks, in their order") {
  const Philox random(11, Stream::swap, 3);
  for (const int count : {1, 4, 5, 10})
    for (const std::int64_t item : {0, 1, 7, 1 << 20}) {
      lpw::PhiloxSequence numbers(random, item, count), bounded(random, item, count);
      for (int n = 0; n < count; ++n) {
        const auto index = static_cast<std::uint64_t>(item * ((count + 3) / 4) + n / 4);
        const std::uint64_t expected = random(index)[static_cast<std::size_t>(n % 4)];
        CHECK(numbers.next() == expected);
        CHECK(bounded.below(6) == (expected * 6) >> 32);
      }
    }
}

TEST_CASE("Philox places index, step, stream and seed in counter and key") {
  const std::uint64_t seed = 0x299f31d0a4093822, index = 0x85a308d3243f6a88;
  const Philox random = Philox(seed).stream(Stream::dropout, 0x13198a2e);
  CHECK(random(index) ==
        Philox::rounds({0x243f6a88, 0x85a308d3, 0x13198a2e, static_cast<std::uint32_t>(Stream::dropout)}, 0xa4093822,
                       0x299f31d0));
  CHECK(random.seed() == seed);
}

TEST_CASE("Philox blocks differ between indices, steps, streams and seeds") {
  std::set<Philox::Block> blocks;
  int count = 0;
  for (std::uint64_t seed : {0ull, 1ull, 1ull << 32})
    for (Stream stream : {Stream::weights, Stream::order, Stream::crop})
      for (std::uint32_t step : {0u, 1u, 2u})
        for (std::uint64_t index : {0ull, 1ull, 1ull << 32}) {
          blocks.insert(Philox(seed, stream, step)(index));
          ++count;
        }
  CHECK(blocks.size() == static_cast<std::size_t>(count));
}

TEST_CASE("Philox later is the same stream at a later step, around the end of the steps too") {
  CHECK(Philox(7, Stream::dropout, 3).later(4)(5) == Philox(7, Stream::dropout, 7)(5));
  CHECK(Philox(7, Stream::dropout, 0xffffffffu).later(2)(5) == Philox(7, Stream::dropout, 1)(5));
}

TEST_CASE("Philox runs in constant expressions") {
  STATIC_REQUIRE(Philox(1)(2) == Philox(1).stream(Stream::weights)(2));
  STATIC_REQUIRE(Philox(1).uniform(3) < 1.f);
}

TEST_CASE("Philox uniform draws are multiples of 2^-24 below 1") {
  CHECK(Philox::to_uniform(0) == 0.f);
  CHECK(Philox::to_uniform(0xffffffffu) == 1.f - 0x1p-24f);
  CHECK(Philox::to_uniform(0x80000000u) == 0.5f);
  CHECK(Philox::to_uniform(0x80u) == 0.f);  // the low eight bits are dropped, not rounded up to 1
}

TEST_CASE("Philox uniform draws have the moments of the uniform distribution") {
  const Philox random(11, Stream::test);
  CHECK_THAT(mean(draws, [&](int i) { return random.uniform(i); }), WithinAbs(0.5, five_sigma(std::sqrt(1. / 12))));
  CHECK_THAT(mean(draws, [&](int i) { return std::pow(random.uniform(i) - 0.5, 2); }),
             WithinAbs(1. / 12, five_sigma(std::sqrt(1. / 180))));
  // Neighbouring indices are independent: E[(u - 1/2)(v - 1/2)] = 0.
  CHECK_THAT(mean(draws, [&](int i) { return (random.uniform(i) - 0.5) * (random.uniform(i + 1) - 0.5); }),
             WithinAbs(0, five_sigma(1. / 12)));
}

TEST_CASE("Philox normal draws have the moments of the standard normal") {
  const Philox random(12, Stream::test);
  const auto moment = [&](int power) { return mean(draws, [&](int i) { return std::pow(random.normal(i), power); }); };
  // The variances of x, x^2, x^3, x^4 under the standard normal are 1, 2, 15 and 96.
  CHECK_THAT(moment(1), WithinAbs(0, five_sigma(1)));
  CHECK_THAT(moment(2), WithinAbs(1, five_sigma(std::sqrt(2.))));
  CHECK_THAT(moment(3), WithinAbs(0, five_sigma(std::sqrt(15.))));
  CHECK_THAT(moment(4), WithinAbs(3, five_sigma(std::sqrt(96.))));
}

TEST_CASE("Philox below is uniform over its range") {
  const Philox random(13, Stream::test);
  constexpr int bound = 7;
  std::array<int, bound> counts{};
  for (int i = 0; i < draws; ++i) {
    const std::uint32_t value = random.below(i, bound);
    REQUIRE(value < bound);
    ++counts[value];
  }
  const double p = 1. / bound;
  for (int count : counts)
    CHECK_THAT(static_cast<double>(count) / draws, WithinAbs(p, five_sigma(std::sqrt(p * (1 - p)))));
  CHECK(random.below(0, 1) == 0);
}
