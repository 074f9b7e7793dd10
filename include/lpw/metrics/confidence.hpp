// How sure predictions are of their class, and whether they are right: what scores are made of that need all samples in
// the order of their confidence.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include <lpw/metrics/probabilities.hpp>

namespace lpw::inline LPW_ABI::metrics {

/// Samples of one confidence. Whatever order they have among themselves is chance, so no score may depend on it.
struct EqualConfidence {
  double confidence = 0;     // the largest probability of each
  std::int64_t count = 0;    // samples
  std::int64_t correct = 0;  // of them, whose predicted class is the label
};

/// Gathers batches.
class Confidences {
 public:
  Confidences() = default;
  /// With a label whose samples are left out.
  explicit Confidences(const LabelOptions& options) : options_(options) {}

  /// Adds a batch: probabilities [B, classes] and labels [B], those that are ignored left out. The confidence is the
  /// largest probability, the prediction the first class that has it. Throws as Evaluator::add.
  template <Real T>
  void add(const Tensor<T, Cpu>& probabilities, const Tensor<std::int32_t, Cpu>& labels) {
    detail::check_labelled(probabilities, labels, "confidences", options_);
    for (std::int64_t i = 0; i < probabilities.dim(0); ++i) {
      if (options_.ignore_index == *labels.row(i)) continue;
      const T* row = probabilities.row(i);
      const T* best = std::max_element(row, row + probabilities.dim(1));
      samples_.emplace_back(static_cast<double>(*best), best - row == *labels.row(i));
    }
  }

  /// Samples so far, without those that were left out.
  [[nodiscard]] std::int64_t count() const { return std::ssize(samples_); }

  /// The samples by falling confidence, equal ones together. Throws Error if there are none.
  [[nodiscard]] std::vector<EqualConfidence> falling() const {
    require<Error>(!samples_.empty(), "confidences: no samples");
    auto sorted = samples_;
    std::sort(sorted.begin(), sorted.end(), [](const auto& a, const auto& b) { return a.first > b.first; });
    std::vector<EqualConfidence> result;
    for (const auto& [confidence, correct] : sorted) {
      if (result.empty() || result.back().confidence != confidence) result.push_back({.confidence = confidence});
      result.back().count += 1;
      result.back().correct += correct;
    }
    return result;
  }

 private:
  LabelOptions options_;
  std::vector<std::pair<double, bool>> samples_;
};

}  // namespace lpw::inline LPW_ABI::metrics
