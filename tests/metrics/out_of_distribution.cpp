// Predictive entropy, AUROC, average precision and FPR at 95 % TPR against values worked out by hand, against
// scikit-learn's and against their definitions.
#include <lpw/metrics/out_of_distribution.hpp>

#include <algorithm>
#include <limits>

#include "catch.hpp"
#include "samples.hpp"

using lpw::metrics::auroc;
using lpw::metrics::detection;
using lpw::metrics::predictive_entropy;
using lpw::metrics::retrieval;

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

TEST_CASE("retrieval: by hand, with ties", "[metrics]") {
  const auto apart = retrieval(std::vector{1., 2.}, std::vector{3., 4.});
  CHECK(apart.average_precision == 1);
  CHECK(apart.fpr_at_95_tpr == 0);
  // All equal: one threshold, at which everything is taken for positive.
  const auto equal = retrieval(std::vector{1., 1., 1.}, std::vector{1.});
  CHECK(equal.average_precision == 0.25);
  CHECK(equal.fpr_at_95_tpr == 1);
  // 4 positive; 3 positive and 3 negative; then 1 negative: precision 1 at recall 1/2, 2/3 at recall 1.
  const auto some = retrieval(std::vector{3., 1.}, std::vector{4., 3.});
  CHECK(difference(some.average_precision, 0.5 * 1 + 0.5 * 2 / 3) <= sum_tolerance);
  CHECK(some.fpr_at_95_tpr == 0.5);
}

TEST_CASE("retrieval: 19 of 20 positives are 95 %", "[metrics]") {
  std::vector<double> positives(19, 2.);
  positives.push_back(0);
  CHECK(retrieval(std::vector{1., 3., 1., 1.}, positives).fpr_at_95_tpr == 0.25);
  positives.front() = 0;  // 18 of 20 are not
  CHECK(retrieval(std::vector{1., 3., 1., 1.}, positives).fpr_at_95_tpr == 1);
}

TEST_CASE("detection: both ways round, as scikit-learn has it", "[metrics]") {
  const std::vector<double> in{0.1, 0.2, 0.2, 0.35, 0.4, 0.4, 0.4, 0.55, 0.6, 0.8},
      out{0.2, 0.4, 0.5, 0.6, 0.6, 0.7, 0.8, 0.9, 0.9, 0.95, 1.0, 0.3, 0.45, 0.65, 0.75, 0.85, 0.99, 0.4, 0.81, 0.02};
  const auto found = detection(in, out);
  // roc_auc_score, average_precision_score, and the smallest of roc_curve's rates where the other is 0.95 or more
  CHECK(difference(found.auroc, 0.7675) <= sum_tolerance);
  CHECK(difference(found.out_positive.average_precision, 0.8774170753940576) <= sum_tolerance);
  CHECK(difference(found.out_positive.fpr_at_95_tpr, 0.9) <= sum_tolerance);
  CHECK(difference(found.in_positive.average_precision, 0.5489544513457557) <= sum_tolerance);
  CHECK(difference(found.in_positive.fpr_at_95_tpr, 0.65) <= sum_tolerance);
}

TEST_CASE("retrieval: random scores with many ties against every threshold", "[metrics]") {
  const lpw::Philox random(5, lpw::Stream::test);
  for (const std::uint32_t levels : {2u, 10u, 1000u}) {
    std::vector<double> negatives, positives;
    for (std::uint64_t i = 0; i < 150; ++i) negatives.push_back(random.below(i, levels));
    for (std::uint64_t i = 150; i < 250; ++i) positives.push_back(random.below(i, levels) + (levels + 4) / 5);
    double precision = 0, recall = 0, rate = 1;
    for (double threshold = 2 * levels; threshold >= 0; threshold -= 1) {
      const auto reach = [&](const std::vector<double>& scores) {
        return static_cast<double>(
            std::count_if(scores.begin(), scores.end(), [&](double score) { return score >= threshold; }));
      };
      const double right = reach(positives), wrong = reach(negatives);
      if (right + wrong > 0) precision += (right / 100 - recall) * right / (right + wrong);
      recall = right / 100;
      if (recall >= 0.95) rate = std::min(rate, wrong / 150);
    }
    const auto found = retrieval(negatives, positives);
    CHECK(difference(found.average_precision, precision) <= sum_tolerance);
    CHECK(difference(found.fpr_at_95_tpr, rate) <= sum_tolerance);
  }
}

TEST_CASE("retrieval: refuses empty sets and scores that are no numbers", "[metrics]") {
  CHECK_THROWS_AS(retrieval({}, std::vector{1.}), lpw::Error);
  CHECK_THROWS_AS(retrieval(std::vector{1.}, {}), lpw::Error);
  CHECK_THROWS_AS(detection(std::vector{1., std::numeric_limits<double>::quiet_NaN()}, std::vector{1.}), lpw::Error);
}

TEST_CASE("maximum probability: the surer, the lower", "[metrics]") {
  const auto scores = lpw::metrics::negative_max_probability(tensor<double>({2, 2}, {0.25, 0.75, 1, 0}));
  CHECK(scores == std::vector{-0.75, -1.});
  CHECK_THROWS_AS(lpw::metrics::negative_max_probability(tensor<double>({1, 2}, {3, 4})), lpw::Error);
}
