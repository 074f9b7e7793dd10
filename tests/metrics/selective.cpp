// Scores by the order of confidence, adaptive calibration error and AURC, against values worked out by hand and against
// their definitions.
#include <lpw/metrics/selective.hpp>

#include <algorithm>
#include <limits>
#include <numeric>

#include <lpw/metrics/adaptive_calibration.hpp>

#include "catch.hpp"
#include "samples.hpp"

using lpw::metrics::adaptive_calibration_error;
using lpw::metrics::area_under_risk_coverage;
using lpw::metrics::Confidences;
using lpw::metrics::risk_coverage;

namespace {

/// Samples of two classes with these confidences, each right or wrong.
Confidences samples(const std::vector<double>& confidences, const std::vector<bool>& right) {
  Confidences result;
  for (std::size_t i = 0; i < confidences.size(); ++i)
    result.add(tensor<double>({1, 2}, {confidences[i], 1 - confidences[i]}),
               tensor<std::int32_t>({1}, {right[i] ? 0 : 1}));
  return result;
}

struct Drawn {
  std::vector<double> confidence;
  std::vector<bool> right;
};
/// Confidences of which many are equal where there are few levels.
Drawn drawn(std::size_t count, std::uint32_t levels) {
  const lpw::Philox random(11, lpw::Stream::test);
  Drawn result;
  for (std::size_t i = 0; i < count; ++i) {
    result.confidence.push_back(0.5 + 0.5 * (1 + random.below(i, levels)) / (levels + 1.0));
    result.right.push_back(random.uniform(1000 + i) < result.confidence.back());
  }
  return result;
}

/// The definitions, with samples in one of the orders that equal confidences leave open.
double aurc_in_order(const Drawn& d, const std::vector<std::size_t>& order) {
  double area = 0, errors = 0;
  for (std::size_t i = 0; i < order.size(); ++i) {
    errors += d.right[order[i]] ? 0 : 1;
    area += errors / static_cast<double>(i + 1);
  }
  return area / static_cast<double>(order.size());
}
double adaptive_ece_in_order(const Drawn& d, const std::vector<std::size_t>& order, std::size_t bins) {
  double error = 0;
  for (std::size_t m = 0; m < bins; ++m) {
    double gap = 0;
    for (std::size_t i = m * order.size() / bins; i < (m + 1) * order.size() / bins; ++i)
      gap += (d.right[order[i]] ? 1 : 0) - d.confidence[order[i]];
    error += std::abs(gap);
  }
  return error / static_cast<double>(order.size());
}

}  // namespace

TEST_CASE("AURC: by hand", "[metrics]") {
  // By falling confidence right, wrong, right, wrong: risks 0, 1/2, 1/3, 2/4.
  const auto some = samples({0.9, 0.8, 0.7, 0.6}, {true, false, true, false});
  CHECK(difference(area_under_risk_coverage(some), (0.5 + 1. / 3 + 0.5) / 4) <= sum_tolerance);
  const auto curve = risk_coverage(some);
  REQUIRE(curve.size() == 4);
  CHECK(curve[1] == std::pair(0.5, 0.5));
  CHECK(curve[3] == std::pair(1.0, 0.5));
  CHECK(area_under_risk_coverage(samples({1, 0.5, 0.7}, {true, true, true})) == 0);
  CHECK(area_under_risk_coverage(samples({1, 0.6}, {false, false})) == 1);
  // One right and one wrong of the same confidence: the first is wrong half of the time.
  CHECK(area_under_risk_coverage(samples({1, 1}, {true, false})) == 0.5);
  CHECK(area_under_risk_coverage(samples({1, 1}, {false, true})) == 0.5);
}

TEST_CASE("AURC: with ties it is the mean over their orders", "[metrics]") {
  const Drawn d{{0.9, 0.7, 0.7, 0.7, 0.6, 0.6}, {true, false, true, true, false, true}};
  std::vector<std::size_t> order(6);
  std::iota(order.begin(), order.end(), 0u);
  double sum = 0, orders = 0;
  do {
    if (!std::is_sorted(order.begin(), order.end(), [&](auto a, auto b) { return d.confidence[a] > d.confidence[b]; }))
      continue;
    sum += aurc_in_order(d, order);
    orders += 1;
  } while (std::next_permutation(order.begin(), order.end()));
  CHECK(orders == 12);
  CHECK(difference(area_under_risk_coverage(samples(d.confidence, d.right)), sum / orders) <= sum_tolerance);
}

TEST_CASE("adaptive calibration error: by hand", "[metrics]") {
  // Two bins of two: 0.6 and 0.7, one of them right, then 0.8 and 0.9, both right.
  const auto some = samples({0.9, 0.6, 0.8, 0.7}, {true, true, true, false});
  CHECK(difference(adaptive_calibration_error(some, 2), (std::abs(1 - 1.3) + std::abs(2 - 1.7)) / 4) <= sum_tolerance);
  CHECK(difference(adaptive_calibration_error(some, 1), std::abs(3 - 3.0) / 4) <= sum_tolerance);
  // Fewer samples than bins: some bins are empty, each sample has its own.
  CHECK(difference(adaptive_calibration_error(some, 15), (0.1 + 0.4 + 0.2 + 0.7) / 4) <= sum_tolerance);
  // Of four equal ones half are right, in whichever bin.
  CHECK(difference(adaptive_calibration_error(samples({1, 1, 1, 1}, {true, true, false, false}), 2), 0.5) <=
        sum_tolerance);
  CHECK(adaptive_calibration_error(samples({1, 1, 1}, {true, true, true})) == 0);
}

TEST_CASE("AURC and adaptive calibration error: drawn samples against the definitions", "[metrics]") {
  const Drawn d = drawn(400, 1u << 31);
  std::vector<std::size_t> falling(d.right.size());
  std::iota(falling.begin(), falling.end(), 0u);
  std::sort(falling.begin(), falling.end(), [&](auto a, auto b) { return d.confidence[a] > d.confidence[b]; });
  const auto found = samples(d.confidence, d.right);
  CHECK(difference(area_under_risk_coverage(found), aurc_in_order(d, falling)) <= sum_tolerance);
  const std::vector<std::size_t> rising(falling.rbegin(), falling.rend());
  CHECK(difference(adaptive_calibration_error(found), adaptive_ece_in_order(d, rising, 15)) <= sum_tolerance);
}

TEST_CASE("AURC and adaptive calibration error: the order of equal samples does not matter", "[metrics]") {
  Drawn d = drawn(200, 7);
  const auto found = samples(d.confidence, d.right);
  std::reverse(d.confidence.begin(), d.confidence.end());
  std::reverse(d.right.begin(), d.right.end());
  const auto reversed = samples(d.confidence, d.right);
  CHECK(area_under_risk_coverage(found) == area_under_risk_coverage(reversed));
  CHECK(adaptive_calibration_error(found) == adaptive_calibration_error(reversed));
}

TEST_CASE("confidences: refuse what is no distribution, and scores of nothing", "[metrics]") {
  Confidences none;
  CHECK_THROWS_AS(area_under_risk_coverage(none), lpw::Error);
  CHECK_THROWS_AS(adaptive_calibration_error(none), lpw::Error);
  CHECK_THROWS_AS(adaptive_calibration_error(samples({1}, {true}), 0), lpw::OptionError);
  const auto label = tensor<std::int32_t>({1}, {0});
  const double nan = std::numeric_limits<double>::quiet_NaN();
  CHECK_THROWS_AS(none.add(tensor<double>({1, 2}, {nan, 0.5}), label), lpw::Error);
  CHECK_THROWS_AS(none.add(tensor<double>({1, 2}, {0.5, 0.5}), tensor<std::int32_t>({1}, {2})), lpw::Error);
  CHECK(none.count() == 0);
}
