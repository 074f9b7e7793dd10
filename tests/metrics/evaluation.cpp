// Accuracy, NLL, Brier score and ECE against values worked out by hand and against their definitions.
#include <lpw/metrics/evaluation.hpp>

#include <algorithm>
#include <limits>
#include <utility>

#include <lpw/late_phase/predict.hpp>
#include <lpw/metrics/adaptive_calibration.hpp>
#include <lpw/metrics/temperature.hpp>

#include "catch.hpp"
#include "samples.hpp"

using lpw::Cpu;
using lpw::Tensor;
using lpw::metrics::Evaluation;
using lpw::metrics::Evaluator;

namespace {

template <class T>
Evaluation evaluate(const Tensor<T, Cpu>& probabilities, const Tensor<std::int32_t, Cpu>& labels) {
  Evaluator evaluator;
  evaluator.add(probabilities, labels);
  return evaluator.result();
}

/// The definition, one bin after another: the samples whose confidence lies in (m/15, (m+1)/15].
double ece_by_definition(const Tensor<double, Cpu>& p, const Tensor<std::int32_t, Cpu>& labels) {
  double ece = 0;
  for (int m = 0; m < 15; ++m) {
    double count = 0, correct = 0, confidence = 0;
    for (std::int64_t i = 0; i < p.dim(0); ++i) {
      std::int64_t best = 0;
      for (std::int64_t c = 1; c < p.dim(1); ++c)
        if (p.row(i)[c] > p.row(i)[best]) best = c;
      if (p.row(i)[best] <= m / 15. || p.row(i)[best] > (m + 1) / 15.) continue;
      count += 1;
      correct += best == labels.data()[i];
      confidence += p.row(i)[best];
    }
    if (count > 0) ece += count / static_cast<double>(p.dim(0)) * std::abs(correct / count - confidence / count);
  }
  return ece;
}

}  // namespace

TEST_CASE("evaluation: four samples by hand", "[metrics]") {
  // Confidences 0.9 (right), 0.92 (wrong), 0.6 (right), 0.75 (right): bins 13, 13, 8 and 11 of 15.
  const auto p = tensor<double>({4, 2}, {0.9, 0.1, 0.92, 0.08, 0.4, 0.6, 0.25, 0.75});
  const auto labels = tensor<std::int32_t>({4}, {0, 1, 1, 1});
  const Evaluation result = evaluate(p, labels);
  CHECK(result.count == 4);
  CHECK(result.accuracy == 0.75);
  CHECK(difference(result.nll, -(std::log(0.9) + std::log(0.08) + std::log(0.6) + std::log(0.75)) / 4) <=
        sum_tolerance);
  CHECK(difference(result.ece, (std::abs(1 - 1.82) + std::abs(1 - 0.6) + std::abs(1 - 0.75)) / 4) <= sum_tolerance);
}

TEST_CASE("evaluation: a confidence on the border of two bins counts in the lower one", "[metrics]") {
  const auto labels = tensor<std::int32_t>({2}, {0, 1});  // the first right, the second wrong
  CHECK(difference(evaluate(tensor<double>({2, 2}, {0.6, 0.4, 0.58, 0.42}), labels).ece, std::abs(1 - 1.18) / 2) <=
        sum_tolerance);  // 9/15 with 0.58
  CHECK(difference(evaluate(tensor<double>({2, 2}, {0.6, 0.4, 0.62, 0.38}), labels).ece, (0.4 + 0.62) / 2) <=
        sum_tolerance);  // but not with 0.62
}

TEST_CASE("evaluation: many samples, in batches, against the definitions", "[metrics]") {
  const std::int64_t samples = 500, classes = 7;
  const auto p = random_probabilities(samples, classes);
  const auto labels = random_labels(samples, classes);
  Evaluator evaluator;
  for (std::int64_t first = 0; first < samples; first += 150) {
    const std::int64_t count = std::min<std::int64_t>(150, samples - first);
    evaluator.add(p.rows(first, count), labels.rows(first, count));
  }
  double nll = 0;
  for (std::int64_t i = 0; i < samples; ++i) nll -= std::log(p.row(i)[labels.data()[i]]) / static_cast<double>(samples);
  const Evaluation result = evaluator.result();
  CHECK(result.count == samples);
  CHECK(difference(result.nll, nll) <= sum_tolerance);
  CHECK(difference(result.ece, ece_by_definition(p, labels)) <= sum_tolerance);
}

TEST_CASE("evaluation: a perfectly calibrated predictor has no calibration error", "[metrics]") {
  // 4 samples of confidence 3/4, of which 3 are right.
  const auto p = tensor<double>({4, 2}, {0.75, 0.25, 0.75, 0.25, 0.75, 0.25, 0.75, 0.25});
  CHECK(evaluate(p, tensor<std::int32_t>({4}, {0, 0, 1, 0})).ece == 0);
}

TEST_CASE("evaluation: the edges of probability", "[metrics]") {
  const auto certain = tensor<float>({2, 2}, {1, 0, 1, 0});
  const Evaluation right = evaluate(certain, tensor<std::int32_t>({2}, {0, 0}));
  CHECK(right.accuracy == 1);
  CHECK(right.nll == 0);
  CHECK(right.ece == 0);
  const Evaluation wrong = evaluate(certain, tensor<std::int32_t>({2}, {1, 1}));
  CHECK(wrong.accuracy == 0);
  CHECK(wrong.nll == -std::log(5e-324));  // finite
  CHECK(wrong.ece == 1);
  // Of equal probabilities the first is the prediction.
  CHECK(evaluate(tensor<float>({1, 2}, {0.5f, 0.5f}), tensor<std::int32_t>({1}, {0})).accuracy == 1);
  CHECK(evaluate(tensor<float>({1, 2}, {0.5f, 0.5f}), tensor<std::int32_t>({1}, {1})).accuracy == 0);
}

TEST_CASE("evaluation: bfloat16 probabilities of many classes pass as a distribution", "[metrics]") {
  const auto exact = random_probabilities(20, 1000);
  Tensor<lpw::bfloat16, Cpu> p(exact.shape());
  for (std::int64_t i = 0; i < p.size(); ++i) p.data()[i] = static_cast<float>(exact.data()[i]);
  const auto labels = random_labels(20, 1000);
  // Rounding to bfloat16 moves the log of a normal number by at most 2^-8.
  CHECK(std::abs(evaluate(p, labels).nll - evaluate(exact, labels).nll) <= 0x1p-8);
}

TEST_CASE("evaluation: bad input is refused and leaves the sums as they were", "[metrics]") {
  Evaluator evaluator;
  CHECK_THROWS_AS(evaluator.result(), lpw::Error);
  evaluator.add(tensor<double>({1, 2}, {0.5, 0.5}), tensor<std::int32_t>({1}, {0}));
  const auto p = tensor<double>({2, 2}, {0.5, 0.5, 0.5, 0.5});
  const auto two = tensor<std::int32_t>({2}, {0, 1});
  CHECK_THROWS_AS(evaluator.add(p, tensor<std::int32_t>({1}, {0})), lpw::ShapeError);
  CHECK_THROWS_AS(evaluator.add(tensor<double>({4}, {1, 0, 0, 0}), two), lpw::ShapeError);
  CHECK_THROWS_WITH(evaluator.add(p, tensor<std::int32_t>({2}, {0, 2})),
                    "evaluation: label 2 of row 1 is not in [0, 2)");
  CHECK_THROWS_WITH(evaluator.add(p, tensor<std::int32_t>({2}, {0, -1})),
                    "evaluation: label -1 of row 1 is not in [0, 2)");
  CHECK_THROWS_WITH(evaluator.add(tensor<double>({2, 2}, {0.5, 0.5, 3, 4}), two),
                    "evaluation: row 1 with sum 7 is no distribution over classes; apply softmax_rows to logits first");
  for (const double bad : {std::nan(""), -1., std::numeric_limits<double>::infinity()})
    CHECK_THROWS_AS(evaluator.add(tensor<double>({2, 2}, {0.5, 0.5, bad, 1 - bad}), two), lpw::Error);
  CHECK(evaluator.result().count == 1);
  CHECK(difference(evaluator.result().nll, std::log(2.)) <= sum_tolerance);
}

TEST_CASE("evaluation: the Brier score, as scikit-learn and SciPy have it, with probabilities of 0 and 1",
          "[metrics]") {
  const auto p =
      tensor<double>({10, 3}, {1,   0,   0,   0,   1,   0,   0.5,  0.25, 0.25, 0.2, 0.3, 0.5, 0.2, 0.3, 0.5,
                               0.7, 0.2, 0.1, 0.1, 0.8, 0.1, 0.25, 0.5,  0.25, 0,   0,   1,   0.3, 0.3, 0.4});
  const auto found = evaluate(p, tensor<std::int32_t>({10}, {0, 1, 0, 2, 1, 0, 1, 0, 2, 0}));
  CHECK(difference(found.brier, 0.335) <= sum_tolerance);
  CHECK(evaluate(tensor<double>({1, 2}, {1, 0}), tensor<std::int32_t>({1}, {0})).brier == 0);
  CHECK(evaluate(tensor<double>({1, 2}, {1, 0}), tensor<std::int32_t>({1}, {1})).brier == 2);
}

TEST_CASE("evaluation: the bins of its reliability diagram are those of its calibration error", "[metrics]") {
  Evaluator evaluator;
  evaluator.add(random_probabilities(300, 5), random_labels(300, 5));
  double gap = 0, count = 0;
  for (const auto& bin : evaluator.reliability()) {
    gap += static_cast<double>(bin.count) * std::abs(bin.accuracy - bin.confidence);
    count += static_cast<double>(bin.count);
  }
  CHECK(count == 300);
  CHECK(difference(gap / count, evaluator.result().ece) <= sum_tolerance);
}

namespace {

/// Predictions [K, N, 5] of three members, and labels of which every third is -100; rows of those are NaN.
struct WithIgnored {
  std::int64_t samples = 90, classes = 5;
  Tensor<double, Cpu> members{{3, samples, classes}};
  Tensor<std::int32_t, Cpu> labels = random_labels(samples, classes);

  WithIgnored() {
    const auto drawn = random_probabilities(3 * samples, classes);
    std::copy_n(drawn.data(), drawn.size(), members.data());
    for (std::int64_t i = 0; i < samples; i += 3) {
      labels.data()[i] = -100;
      for (std::int64_t k = 0; k < 3; ++k) members.row(k)[i * classes] = std::nan("");
    }
  }
  /// The rows of the others, copied together.
  [[nodiscard]] std::pair<Tensor<double, Cpu>, Tensor<std::int32_t, Cpu>> counted(const Tensor<double, Cpu>& p) const {
    const std::int64_t count = samples - (samples + 2) / 3;
    std::pair result(Tensor<double, Cpu>({count, classes}), Tensor<std::int32_t, Cpu>({count}));
    for (std::int64_t i = 0, to = 0; i < samples; ++i) {
      if (i % 3 == 0) continue;
      std::copy_n(p.row(i), classes, result.first.row(to));
      *result.second.row(to++) = *labels.row(i);
    }
    return result;
  }
};

}  // namespace

TEST_CASE("evaluation: samples of the ignored label count in no score, whatever was predicted", "[metrics]") {
  const WithIgnored all;
  const lpw::metrics::LabelOptions ignoring{.ignore_index = -100};
  const auto check = [&](const Tensor<double, Cpu>& p) {
    const auto [rows, labels] = all.counted(p);
    Evaluator evaluator(ignoring), expected;
    for (std::int64_t first = 0; first < all.samples; first += 40) {  // in batches
      const std::int64_t count = std::min<std::int64_t>(40, all.samples - first);
      evaluator.add(p.rows(first, count), all.labels.rows(first, count));
    }
    expected.add(rows, labels);
    const auto found = evaluator.result(), wanted = expected.result();
    CHECK(found.count == 60);
    CHECK(found.accuracy == wanted.accuracy);  // the same sums in the same order
    CHECK(found.nll == wanted.nll);
    CHECK(found.ece == wanted.ece);
    CHECK(found.brier == wanted.brier);
    lpw::metrics::Confidences confidences(ignoring), others;
    confidences.add(p, all.labels), others.add(rows, labels);
    CHECK(confidences.count() == 60);
    CHECK(lpw::metrics::adaptive_calibration_error(confidences) == lpw::metrics::adaptive_calibration_error(others));
    CHECK(lpw::metrics::fit_temperature(p, all.labels, ignoring).temperature ==
          lpw::metrics::fit_temperature(rows, labels).temperature);
  };
  for (std::int64_t k = 0; k < 3; ++k) check(all.members.rows(k, 1).reshaped({all.samples, all.classes}));
  check(lpw::ensemble_of(all.members));
}

TEST_CASE("evaluation: what is ignored is one label, and of nothing else there is no score", "[metrics]") {
  const auto p = tensor<double>({3, 2}, {0.9, 0.1, 0.2, 0.8, 0.6, 0.4});
  Evaluator evaluator({.ignore_index = 0});  // of a class, padding, say
  CHECK_THROWS_WITH(evaluator.add(p, tensor<std::int32_t>({3}, {0, 1, -100})),
                    "evaluation: label -100 of row 2 is not in [0, 2)");
  evaluator.add(p, tensor<std::int32_t>({3}, {0, 0, 0}));
  CHECK_THROWS_WITH(evaluator.result(), "evaluation: no samples");
  evaluator.add(p, tensor<std::int32_t>({3}, {0, 1, 1}));
  CHECK(evaluator.result().count == 2);
  CHECK(evaluator.result().accuracy == 0.5);
  CHECK_THROWS_WITH(lpw::metrics::fit_temperature(p, tensor<std::int32_t>({3}, {0, 0, 0}), {.ignore_index = 0}),
                    "fit_temperature: no samples");
  const auto nan = tensor<double>({1, 2}, {std::nan(""), 1});  // of a sample that counts
  CHECK_THROWS_AS(evaluator.add(nan, tensor<std::int32_t>({1}, {1})), lpw::Error);
}
