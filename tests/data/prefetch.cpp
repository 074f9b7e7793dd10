// The prefetching range: order, bounds, early ends, errors.
#include <lpw/data/prefetch.hpp>

#include <atomic>
#include <chrono>
#include <memory>
#include <ranges>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "catch.hpp"

using lpw::data::Prefetch;

TEST_CASE("a prefetching range is an input range") {
  STATIC_REQUIRE(std::ranges::input_range<Prefetch<std::unique_ptr<int>>>);
}

TEST_CASE("items arrive once each and in order") {
  for (const int count : {0, 1, 2, 3, 500}) {
    std::vector<int> seen;
    for (int& item : Prefetch<int>(count, [](std::int64_t i) { return static_cast<int>(i * i); })) seen.push_back(item);
    REQUIRE(std::ssize(seen) == count);
    for (int i = 0; i < count; ++i) CHECK(seen[i] == i * i);
  }
}

TEST_CASE("items may be move-only") {
  std::vector<std::unique_ptr<int>> kept;
  for (auto& item :
       Prefetch<std::unique_ptr<int>>(3, [](std::int64_t i) { return std::make_unique<int>(static_cast<int>(i)); }))
    kept.push_back(std::move(item));
  REQUIRE(kept.size() == 3);
  CHECK(*kept[2] == 2);
}

TEST_CASE("the producer stays within its depth") {
  std::atomic<int> made = 0;
  int taken = 0;
  for ([[maybe_unused]] const int item : Prefetch<int>(50, [&](std::int64_t i) {
         ++made;
         return static_cast<int>(i);
       })) {
    ++taken;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));  // time to run ahead, if it would
    CHECK(made <= taken + 2);
  }
  CHECK(made == 50);
}

TEST_CASE("leaving early ends the producer") {
  std::atomic<int> made = 0;
  const auto make = [&](std::int64_t i) {
    ++made;
    return static_cast<int>(i);
  };
  SECTION("after some items") {
    for (const int item : Prefetch<int>(1'000'000'000, make))
      if (item == 5) break;
    CHECK((made >= 6 && made <= 8));
  }
  SECTION("by an exception") {
    CHECK_THROWS_AS(
        [&] {
          for ([[maybe_unused]] const int item : Prefetch<int>(1'000'000'000, make)) throw std::runtime_error("stop");
        }(),
        std::runtime_error);
    CHECK(made <= 3);
  }
  SECTION("before the first item") {
    for (int repeat = 0; repeat < 200; ++repeat) const Prefetch<int> unused(1'000'000'000, make);
    CHECK(made <= 400);
  }
}

TEST_CASE("what the producer throws reaches the consumer in its place") {
  for (const int fails_at : {0, 1, 4}) {
    std::vector<int> seen;
    const auto walk = [&] {
      for (const int item : Prefetch<int>(10, [&](std::int64_t i) {
             if (i == fails_at) throw std::runtime_error("item " + std::to_string(i));
             return static_cast<int>(i);
           }))
        seen.push_back(item);
    };
    CHECK_THROWS_WITH(walk(), "item " + std::to_string(fails_at));
    CHECK(std::ssize(seen) == fails_at);
  }
}

TEST_CASE("after an error the range is at its end") {
  Prefetch<int> range(3, [](std::int64_t) -> int { throw std::runtime_error("no"); });
  CHECK_THROWS_AS(range.begin(), std::runtime_error);
  CHECK(range.begin() == range.end());
}
