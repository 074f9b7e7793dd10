// Detection of out-of-distribution inputs by an uncertainty score, the predictive entropy or the largest probability of
// each input: how well it tells two sets apart.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include <lpw/metrics/probabilities.hpp>
#include <lpw/tensor/float_bits.hpp>

namespace lpw::inline LPW_ABI::metrics {

/// -sum_c p_c log p_c in nats for every row of probabilities [B, classes], with 0 log 0 = 0. For an ensemble, p is the
/// members' mean. Throws ShapeError, or Error for a row that is no distribution.
template <Real T>
[[nodiscard]] std::vector<double> predictive_entropy(const Tensor<T, Cpu>& probabilities) {
  detail::check_probabilities(probabilities, "predictive_entropy");
  std::vector<double> entropies;
  for (std::int64_t i = 0; i < probabilities.dim(0); ++i) {
    double entropy = 0;
    for (std::int64_t c = 0; c < probabilities.dim(1); ++c) {
      const auto p = static_cast<double>(probabilities.row(i)[c]);
      if (p > 0) entropy -= p * std::log(p);
    }
    entropies.push_back(entropy);
  }
  return entropies;
}

/// -max_c p_c of every row of probabilities [B, classes]: how unsure a prediction is of its class (Hendrycks and
/// Gimpel, "A baseline for detecting misclassified and out-of-distribution examples in neural networks", 2017). Throws
/// as predictive_entropy.
template <Real T>
[[nodiscard]] std::vector<double> negative_max_probability(const Tensor<T, Cpu>& probabilities) {
  detail::check_probabilities(probabilities, "negative_max_probability");
  std::vector<double> scores;
  for (std::int64_t i = 0; i < probabilities.dim(0); ++i) {
    const T* row = probabilities.row(i);
    scores.push_back(-static_cast<double>(*std::max_element(row, row + probabilities.dim(1))));
  }
  return scores;
}

namespace detail {

/// For each value among the scores of two sets, in ascending order, how many of the first set and of the second have
/// it. Throws Error for a score that is not a number.
[[nodiscard]] inline std::vector<std::pair<double, double>> runs_of_equals(std::span<const double> first,
                                                                           std::span<const double> second,
                                                                           const char* where) {
  std::vector<std::pair<double, bool>> scores;
  for (const double score : first) scores.emplace_back(score, false);
  for (const double score : second) scores.emplace_back(score, true);
  for (const auto& [score, of_second] : scores) require<Error>(!is_nan(score), where, ": a score is not a number");
  std::sort(scores.begin(), scores.end());
  std::vector<std::pair<double, double>> runs;
  for (std::size_t i = 0; i < scores.size();) {
    auto& [in_first, in_second] = runs.emplace_back();
    for (const double value = scores[i].first; i < scores.size() && scores[i].first == value; ++i)
      (scores[i].second ? in_second : in_first) += 1;
  }
  return runs;
}

}  // namespace detail

/// The chance that a random out-of-distribution input scores higher than a random in-distribution one, equal scores
/// counting half: the area under the ROC curve as Mann and Whitney's statistic, exact with ties, in O(n log n). Throws
/// Error if either set is empty or a score is not a number.
[[nodiscard]] inline double auroc(std::span<const double> in_distribution,
                                  std::span<const double> out_of_distribution) {
  require<Error>(!in_distribution.empty() && !out_of_distribution.empty(), "auroc: needs scores of both sets, found ",
                 in_distribution.size(), " in and ", out_of_distribution.size(), " out of distribution");
  double wins = 0, below = 0;  // below: in-distribution scores smaller than those of the current run of equals
  for (const auto& equals : detail::runs_of_equals(in_distribution, out_of_distribution, "auroc")) {
    wins += equals.second * (below + equals.first / 2);
    below += equals.first;
  }
  return wins / (static_cast<double>(in_distribution.size()) * static_cast<double>(out_of_distribution.size()));
}

/// How well positives are told from negatives by a score that is higher for positives; equal scores share a threshold.
struct Retrieval {
  double average_precision = 0;  // AUPR: sum over thresholds of (rise in recall) * precision, without interpolation
  double fpr_at_95_tpr = 0;      // the smallest share of negatives at a threshold that at least 95 % of positives reach
};

/// Throws Error if either set is empty or a score is not a number.
[[nodiscard]] inline Retrieval retrieval(std::span<const double> negatives, std::span<const double> positives) {
  require<Error>(!negatives.empty() && !positives.empty(), "retrieval: needs scores of both sets, found ",
                 positives.size(), " positives and ", negatives.size(), " negatives");
  const auto runs = detail::runs_of_equals(negatives, positives, "retrieval");
  const auto all = static_cast<double>(positives.size());
  Retrieval result;
  double right = 0, wrong = 0;
  bool reached = false;
  for (auto equals = runs.rbegin(); equals != runs.rend(); ++equals) {
    wrong += equals->first, right += equals->second;
    result.average_precision += equals->second / all * (right / (right + wrong));
    if (reached || 20 * right < 19 * all) continue;
    reached = true;
    result.fpr_at_95_tpr = wrong / static_cast<double>(negatives.size());
  }
  return result;
}

/// Both ways round: which class is positive changes all but the area under the ROC curve. Detection of what is out of
/// distribution has that as its positive class (AUPR-Out); FPR at 95 % TPR is mostly given with the in-distribution
/// inputs as positive (Liang, Li and Srikant, "Enhancing the reliability of out-of-distribution image detection in
/// neural networks", 2018).
struct Detection {
  double auroc = 0;                     // area under the ROC curve, whichever class is positive
  Retrieval out_positive, in_positive;  // with that class as the positive one
};

/// By scores that are higher for what is out of distribution. Throws Error if either set is empty or a score is not a
/// number.
[[nodiscard]] inline Detection detection(std::span<const double> in_distribution,
                                         std::span<const double> out_of_distribution) {
  const auto negative = [](std::span<const double> scores) {
    std::vector<double> result;
    for (const double score : scores) result.push_back(-score);
    return result;
  };
  return {auroc(in_distribution, out_of_distribution), retrieval(in_distribution, out_of_distribution),
          retrieval(negative(out_of_distribution), negative(in_distribution))};
}

}  // namespace lpw::inline LPW_ABI::metrics
