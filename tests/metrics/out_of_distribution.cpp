// Predictive entropy and AUROC against values worked out by hand and against their definitions.
#include <lpw/metrics/out_of_distribution.hpp>

#include <limits>

#include "catch.hpp"
#include "samples.hpp"

using lpw::metrics::auroc;
using lpw::metrics::predictive_entropy;

namespace {

/// The definition: every pair compared.
double auroc_by_pairs(const std::vector<double>& in, const std::vector<double>& out) {
  double wins = 0;
  for (const double a : in)
    for (const double b : out) wins += b > a ? 1 : b == a ? 0.5 : 0;
  return wins / static_cast<double>(in.size() * out.size());
}

}  // namespace

TEST_CASE("predictive entropy: by hand", "[metrics]") {
  const auto entropy =
      predictive_entropy(tensor<double>({3, 4}, {0.25, 0.25, 0.25, 0.25, 1, 0, 0, 0, 0.5, 0.25, 0, 0.25}));
  REQUIRE(entropy.size() == 3);
  CHECK(difference(entropy[0], std::log(4.)) <= sum_tolerance);
  CHECK(entropy[1] == 0);
  CHECK(difference(entropy[2], 1.5 * std::log(2.)) <= sum_tolerance);
  CHECK_THROWS_AS(predictive_entropy(tensor<double>({1, 2}, {3, 4})), lpw::Error);
  CHECK_THROWS_AS(predictive_entropy(tensor<double>({2}, {0.5, 0.5})), lpw::ShapeError);
}

TEST_CASE("auroc: by hand, with ties", "[metrics]") {
  CHECK(auroc(std::vector{1., 2.}, std::vector{3., 4.}) == 1);
  CHECK(auroc(std::vector{3., 4.}, std::vector{1., 2.}) == 0);
  CHECK(auroc(std::vector{1., 1.}, std::vector{1., 1., 1.}) == 0.5);
  CHECK(auroc(std::vector{1., 2., 3.}, std::vector{2., 4.}) == 4.5 / 6);
  CHECK(auroc(std::vector{0.}, std::vector{-0.}) == 0.5);
}

TEST_CASE("auroc: random scores with many ties against all pairs", "[metrics]") {
  const lpw::Philox random(3, lpw::Stream::test);
  for (const std::uint32_t levels : {2u, 10u, 1000u}) {
    std::vector<double> in, out;
    for (std::uint64_t i = 0; i < 150; ++i) in.push_back(random.below(i, levels));
    for (std::uint64_t i = 150; i < 250; ++i) out.push_back(random.below(i, levels) + (levels + 4) / 5);
    CHECK(auroc(in, out) == auroc_by_pairs(in, out));  // both sums are multiples of 1/2 and exact
    CHECK(auroc(in, out) > 0.5);
    CHECK(difference(auroc(in, out) + auroc(out, in), 1) <= sum_tolerance);
  }
}

TEST_CASE("auroc: refuses empty sets and scores that are no numbers", "[metrics]") {
  CHECK_THROWS_AS(auroc({}, std::vector{1.}), lpw::Error);
  CHECK_THROWS_AS(auroc(std::vector{1.}, {}), lpw::Error);
  CHECK_THROWS_AS(auroc(std::vector{1., std::numeric_limits<double>::quiet_NaN()}, std::vector{1.}), lpw::Error);
}
