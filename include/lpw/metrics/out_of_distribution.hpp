// Detection of out-of-distribution inputs by an uncertainty score: the predictive entropy of each input, and the area
// under the ROC curve of telling two sets apart by it.
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

/// The chance that a random out-of-distribution input scores higher than a random in-distribution one, equal scores
/// counting half: the area under the ROC curve as Mann and Whitney's statistic, exact with ties, in O(n log n). Throws
/// Error if either set is empty or a score is not a number.
[[nodiscard]] inline double auroc(std::span<const double> in_distribution,
                                  std::span<const double> out_of_distribution) {
  require<Error>(!in_distribution.empty() && !out_of_distribution.empty(), "auroc: needs scores of both sets, found ",
                 in_distribution.size(), " in and ", out_of_distribution.size(), " out of distribution");
  std::vector<std::pair<double, bool>> scores;
  for (const double score : in_distribution) scores.emplace_back(score, false);
  for (const double score : out_of_distribution) scores.emplace_back(score, true);
  for (const auto& [score, out] : scores) require<Error>(!is_nan(score), "auroc: a score is not a number");
  std::sort(scores.begin(), scores.end());

  double wins = 0, below = 0;  // below: in-distribution scores smaller than those of the current run of equals
  for (std::size_t i = 0; i < scores.size();) {
    double in = 0, out = 0;
    for (const double value = scores[i].first; i < scores.size() && scores[i].first == value; ++i)
      (scores[i].second ? out : in) += 1;
    wins += out * (below + in / 2);
    below += in;
  }
  return wins / (static_cast<double>(in_distribution.size()) * static_cast<double>(out_of_distribution.size()));
}

}  // namespace lpw::inline LPW_ABI::metrics
