// Selective prediction: a classifier that may decline answers the samples of which it is surest. Its risk, the share of
// errors among those that it answers, as a function of the share that it answers.
#pragma once

#include <utility>
#include <vector>

#include <lpw/metrics/confidence.hpp>

namespace lpw::inline LPW_ABI::metrics {

/// The risk at the coverages 1/N, 2/N, ..., 1, as pairs (coverage, risk). Samples of equal confidence come in a random
/// order, over which the risk is the mean. Throws Error if there are none.
[[nodiscard]] inline std::vector<std::pair<double, double>> risk_coverage(const Confidences& confidences) {
  std::vector<std::pair<double, double>> curve;
  const auto all = static_cast<double>(confidences.count());
  double errors = 0, answered = 0;
  for (const EqualConfidence& equals : confidences.falling()) {
    const auto count = static_cast<double>(equals.count), wrong = static_cast<double>(equals.count - equals.correct);
    for (std::int64_t i = 1; i <= equals.count; ++i) {
      const double now = answered + static_cast<double>(i);
      curve.emplace_back(now / all, (errors + wrong * static_cast<double>(i) / count) / now);
    }
    answered += count;
    errors += wrong;
  }
  return curve;
}

/// The area under that curve, AURC: the mean risk over the N coverages (Geifman, Uziel and El-Yaniv, "Bias-reduced
/// uncertainty estimation for deep neural classifiers", 2019), by the largest probability. 0 for a classifier without
/// errors; the lower, the better.
[[nodiscard]] inline double area_under_risk_coverage(const Confidences& confidences) {
  double sum = 0;
  for (const auto& [coverage, risk] : risk_coverage(confidences)) sum += risk;
  return sum / static_cast<double>(confidences.count());
}

}  // namespace lpw::inline LPW_ABI::metrics
