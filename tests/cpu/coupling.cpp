#include <lpw/cpu/coupling.hpp>

#include <map>

#include "catch.hpp"
#include "support/compare.hpp"
#include "support/coupling.hpp"
#include "support/random.hpp"
#include "support/threads.hpp"

using namespace lpw;
using namespace lpw::test;

TEMPLATE_TEST_CASE("pull_to_mean moves rows of any stride towards their mean", "[members]", float, double) {
  for (const std::int64_t members : {1, 2, 3, 10})
    for (const bool strided : {false, true})
      for (const double strength : {0.0, 0.25, 1.0}) {
        INFO("members " << members << " strided " << strided << " strength " << strength);
        auto rows = random_parameter<TestType>({members, 3, 7}, strided, 1);
        auto expected = converted<double>(rows);
        write_out_pull(expected, strength);
        const auto before = clone(rows);
        pull_to_mean(rows, strength);
        CHECK(largest_difference(rows, expected) <= 2 * epsilon<TestType>());  // values below 1, rounded once
        if (strength == 0) CHECK(same_bits(rows, before));
        if (strength == 1)
          for (std::int64_t k = 0; k < members; ++k) CHECK(same_bits(rows.rows(k, 1), rows.rows(0, 1)));
        CHECK(gaps_untouched(rows));
      }
}

TEMPLATE_TEST_CASE("pull_to_mean leaves equal rows as they are", "[members]", float, double) {
  for (const std::int64_t members : {2, 3, 7})
    for (const double strength : {0.3, 1.0}) {
      Tensor<TestType, Cpu> rows({members, 20});
      for (std::int64_t k = 0; k < members; ++k) std::copy_n(random_tensor<TestType>({20}, 5).data(), 20, rows.row(k));
      const auto before = clone(rows);
      pull_to_mean(rows, strength);
      CHECK(same_bits(rows, before));
    }
}

TEMPLATE_TEST_CASE("pull_to_centre moves rows and centre towards each other", "[members]", float, double) {
  for (const std::int64_t members : {1, 3, 10})
    for (const bool strided : {false, true})
      for (const double strength : {0.0, 0.09, 0.5}) {
        INFO("members " << members << " strided " << strided << " strength " << strength);
        auto rows = random_parameter<TestType>({members, 3, 7}, strided, 1);
        auto centre = random_tensor<TestType>({1, 3, 7}, 2);
        auto expected = converted<double>(rows), expected_centre = converted<double>(centre);
        write_out_elastic(expected, expected_centre, strength);
        const auto before = clone(rows);
        pull_to_centre(rows, centre, strength);
        CHECK(largest_difference(rows, expected) <= 2 * epsilon<TestType>());           // values below 2, rounded once
        CHECK(largest_difference(centre, expected_centre) <= 8 * epsilon<TestType>());  // values below 10
        if (strength == 0) CHECK(same_bits(rows, before));
        CHECK(gaps_untouched(rows));
      }
  Tensor<TestType, Cpu> rows({2, 5});
  CHECK_THROWS_AS(pull_to_centre(rows, Tensor<TestType, Cpu>({1, 4}), 0.1), ShapeError);
}

TEMPLATE_TEST_CASE("swap_members permutes as Fisher and Yates with the numbers of Philox", "[members]", float, double) {
  for (const std::int64_t members : {2, 3, 4, 5, 10})
    for (const bool strided : {false, true})
      for (const double share : {0.0, 0.3, 1.0}) {
        INFO("members " << members << " strided " << strided << " share " << share);
        auto rows = random_parameter<TestType>({members, 9, 11}, strided, 1);
        const Philox random(3, Stream::swap, 17);
        const auto expected = swapped(rows, share, random);
        const auto before = clone(rows);
        swap_members(rows, share, random);
        CHECK(same_bits(rows, expected));
        CHECK(bool(same_bits(rows, before)) == (share == 0));
        CHECK(gaps_untouched(rows));
      }
}

TEST_CASE("swap_members permutes its share of the coordinates, each way as often as another", "[members]") {
  const std::int64_t length = 60000;
  const double share = 0.3, n = length;
  Tensor<double, Cpu> rows({3, length});
  for (std::int64_t k = 0; k < 3; ++k) std::fill_n(rows.row(k), length, double(k));
  swap_members(rows, share, Philox(8, Stream::swap, 1));
  std::map<std::vector<double>, double> seen;
  for (std::int64_t i = 0; i < length; ++i) seen[{rows.row(0)[i], rows.row(1)[i], rows.row(2)[i]}] += 1;
  CHECK(seen.size() == 6);
  for (const auto& [order, count] : seen) {  // one of the six ways of the permuted is to leave all as it is
    const double expected = share / 6 + (order == std::vector<double>{0, 1, 2} ? 1 - share : 0);
    CHECK(std::abs(count / n - expected) <= 5 * std::sqrt(expected * (1 - expected) / n));  // five deviations
  }
}

TEST_CASE("couplings give the same bits on any number of threads", "[members]") {
  CHECK(same_on_any_threads([&] {
    auto rows = random_tensor<float>({5, 30000}, 1), centre = random_tensor<float>({1, 30000}, 2);
    pull_to_mean(rows, 0.3);
    pull_to_centre(rows, centre, 0.1);
    swap_members(rows, 0.5, Philox(1, Stream::swap));
    return std::vector{values_of(rows), values_of(centre)};
  }));
}
