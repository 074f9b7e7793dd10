// Columns' statistics against their definition, and what is refused.
#include <lpw/data/columns.hpp>

#include <cmath>
#include <limits>
#include <vector>

#include "catch.hpp"
#include "support/compare.hpp"

using lpw::data::column_statistics;
using lpw::data::standardize;

TEST_CASE("columns: statistics are of the samples that are named, and make their mean 0 and deviation 1", "[data]") {
  // Years, a column that varies among the others alone, and one of small numbers.
  std::vector<float> values{1990, 0.1f, 1e-6f, 2000, 0.1f, 3e-6f, 2010, 0.1f, 5e-6f, 1e6f, 7, -1};
  const std::vector<std::int64_t> train{0, 1, 2};
  const auto statistics = column_statistics(values, 3, train);
  CHECK(statistics.mean == std::vector<float>{2000, 0.1f, 3e-6f});
  REQUIRE(statistics.stddev.size() == 3);
  CHECK(lpw::test::difference(double(statistics.stddev[0]), std::sqrt(200. / 3)) <= 8.2 * lpw::epsilon<float>());
  CHECK(statistics.stddev[1] == 1);  // exactly none: centred alone
  standardize(values, statistics);
  const double side = std::sqrt(1.5);  // of three numbers in equal steps
  const std::vector<double> expected{-side, 0, -side, 0, 0, 0, side, 0, side};
  for (std::size_t i = 0; i < expected.size(); ++i)  // rounding of mean, deviation and quotient, each to float
    CHECK(std::abs(double(values[i]) - expected[i]) <= 4 * lpw::epsilon<float>());
  CHECK(std::abs(double(values[10]) - 6.9) <= 8 * lpw::epsilon<float>());  // of the other sample, by the same numbers
}

TEST_CASE("columns: what has no statistics is refused", "[data]") {
  std::vector<float> values{1, 2, 3, 4};
  const std::vector<std::int64_t> none, all{0, 1}, beyond{2}, below{-1};
  CHECK_THROWS_WITH(column_statistics(values, 3, all), "column_statistics: 4 values are no rows of 3 columns");
  CHECK_THROWS_AS(column_statistics(values, 0, all), lpw::ShapeError);
  CHECK_THROWS_WITH(column_statistics(values, 2, none), "column_statistics: there are no samples to take them of");
  CHECK_THROWS_WITH(column_statistics(values, 2, beyond), "column_statistics: sample 2 is not in [0, 2)");
  CHECK_THROWS_AS(column_statistics(values, 2, below), lpw::OptionError);
  const auto statistics = column_statistics(values, 2, all);
  std::vector<float> other{1, 2, 3};
  CHECK_THROWS_WITH(standardize(other, statistics), "standardize: 3 values are no rows of 2 columns");
  for (const float bad : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
    values[3] = bad;
    CHECK_THROWS_WITH(column_statistics(values, 2, all), "column_statistics: column 1 holds what is not finite");
    CHECK_THROWS_AS(column_statistics(values, 2, all), lpw::NonFinite);
  }
}
