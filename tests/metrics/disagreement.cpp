// Disagreement of members by hand and against all pairs, and corruption errors.
#include <lpw/metrics/disagreement.hpp>

#include <limits>

#include <lpw/metrics/corruption_error.hpp>

#include "catch.hpp"
#include "samples.hpp"

using lpw::metrics::corruption_error;
using lpw::metrics::Disagreement;

TEST_CASE("disagreement: three members by hand", "[metrics]") {
  // Of the first sample two members predict class 0 and one class 1: 2 of 3 pairs differ. Of the second all agree, one
  // by the first of equal probabilities.
  Disagreement found;
  CHECK(!found.result());
  found.add(tensor<double>({3, 2, 2}, {0.9, 0.1, 0.5, 0.5, 0.6, 0.4, 1, 0, 0.2, 0.8, 0.7, 0.3}));
  REQUIRE(found.result());
  CHECK(difference(*found.result(), 2. / 3 / 2) <= sum_tolerance);
  found.add(tensor<double>({3, 2, 2}, {1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0}));
  CHECK(difference(*found.result(), 2. / 3 / 4) <= sum_tolerance);
}

TEST_CASE("disagreement: drawn members against all pairs", "[metrics]") {
  constexpr std::int64_t members = 5, samples = 40, classes = 4;
  const auto p = random_probabilities(members * samples, classes).reshaped({members, samples, classes});
  const auto predicted = [&](std::int64_t k, std::int64_t i) {
    const double* row = p.data() + (k * samples + i) * classes;
    return std::max_element(row, row + classes) - row;
  };
  double differing = 0, pairs = 0;
  for (std::int64_t a = 0; a < members; ++a)
    for (std::int64_t b = 0; b < a; ++b)
      for (std::int64_t i = 0; i < samples; ++i) pairs += 1, differing += predicted(a, i) != predicted(b, i);
  Disagreement found;
  found.add(p);
  CHECK(difference(*found.result(), differing / pairs) <= sum_tolerance);
}

TEST_CASE("disagreement: one member has none, and other members are refused", "[metrics]") {
  Disagreement one;
  one.add(tensor<double>({1, 1, 2}, {0.5, 0.5}));
  CHECK(!one.result());
  CHECK_THROWS_AS(one.add(tensor<double>({2, 1, 2}, {0.5, 0.5, 0.5, 0.5})), lpw::ShapeError);
  CHECK_THROWS_AS(one.add(tensor<double>({1, 2}, {0.5, 0.5})), lpw::ShapeError);
  CHECK_THROWS_AS(one.add(tensor<double>({1, 1, 2}, {std::numeric_limits<double>::quiet_NaN(), 0.5})), lpw::Error);
}

TEST_CASE("corruption error: sums over severities, relative to the reference", "[metrics]") {
  CHECK(difference(corruption_error(std::vector{0.1, 0.2, 0.3}, std::vector{0.2, 0.4, 0.2}), 0.75) <= sum_tolerance);
  CHECK(corruption_error(std::vector{0., 0.}, std::vector{0., 1.}) == 0);
  const double nan = std::numeric_limits<double>::quiet_NaN();
  CHECK_THROWS_AS(corruption_error(std::vector{0.1}, std::vector{0.1, 0.2}), lpw::Error);
  CHECK_THROWS_AS(corruption_error({}, {}), lpw::Error);
  CHECK_THROWS_AS(corruption_error(std::vector{0.1}, std::vector{0.0}), lpw::Error);
  CHECK_THROWS_AS(corruption_error(std::vector{nan}, std::vector{0.1}), lpw::Error);
  CHECK_THROWS_AS(corruption_error(std::vector{0.1}, std::vector{1.5}), lpw::Error);
  CHECK_THROWS_AS(lpw::metrics::mean_of({}), lpw::Error);
}
