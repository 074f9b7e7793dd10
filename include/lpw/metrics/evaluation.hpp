// Accuracy, negative log-likelihood, Brier score and calibration of predicted class probabilities, summed up batch by
// batch. An ensemble is evaluated by its mean probabilities, a single network by its own. Only counts and sums are
// kept, in double.
#pragma once

#include <algorithm>
#include <cmath>
#include <concepts>
#include <cstdint>
#include <vector>

#include <lpw/metrics/calibration.hpp>
#include <lpw/metrics/probabilities.hpp>

namespace lpw::inline LPW_ABI::metrics {

/// Means over `count` samples.
struct Evaluation {
  std::int64_t count = 0;  // samples, without those of an ignored label
  double accuracy = 0;     // fraction whose most probable class, the first of equals, is the label
  double nll = 0;    // -log p(label), in nats; a probability of 0 counts as the smallest positive double, 744.4 nats
  double ece = 0;    // expected calibration error, a fraction
  double brier = 0;  // sum over classes of (p - [class is the label])^2, in [0, 2] (Brier 1950)
};

/// Sums up batches; result() is their means.
class Evaluator {
 public:
  Evaluator() = default;
  /// With a label whose samples are left out.
  explicit Evaluator(const LabelOptions& options) : options_(options) {}

  /// Adds a batch: probabilities [B, classes] and labels [B] in [0, classes), or ignored: such a row counts in no
  /// score, whatever it holds. Throws ShapeError, or Error naming the row that is no distribution or has an impossible
  /// label; nothing is added then.
  template <Real T>
  void add(const Tensor<T, Cpu>& probabilities, const Tensor<std::int32_t, Cpu>& labels) {
    detail::check_labelled(probabilities, labels, "evaluation", options_);
    const std::int64_t classes = probabilities.dim(1);
    for (std::int64_t i = 0; i < probabilities.dim(0); ++i) {
      const T* row = probabilities.row(i);
      const std::int32_t label = *labels.row(i);
      if (options_.ignore_index == label) continue;
      const T* best = std::max_element(row, row + classes);
      calibration_.add(static_cast<double>(*best), best - row == label);
      const auto p = static_cast<double>(row[label]);
      log_likelihood_ += p > 0 ? std::log(p) : detail::smallest_log;
      for (std::int64_t c = 0; c < classes; ++c) {
        const double error = static_cast<double>(row[c]) - (c == label ? 1 : 0);
        squares_ += error * error;
      }
    }
  }

  /// Says in one line that labels are of another type.
  template <Real T, std::integral I>
  void add(const Tensor<T, Cpu>&, const Tensor<I, Cpu>&) {
    require_int32<I>();
  }

  /// Over all samples added that count. Throws Error if there were none.
  [[nodiscard]] Evaluation result() const {
    const std::int64_t count = calibration_.count();
    require<Error>(count > 0, "evaluation: no samples");
    const auto n = static_cast<double>(count);
    return {.count = count,
            .accuracy = static_cast<double>(calibration_.correct()) / n,
            .nll = -log_likelihood_ / n,
            .ece = calibration_.error(),
            .brier = squares_ / n};
  }

  /// The bins of which ece is made, by confidence.
  [[nodiscard]] std::vector<ReliabilityBin> reliability() const { return calibration_.reliability(); }

 private:
  LabelOptions options_;
  Calibration calibration_;
  double log_likelihood_ = 0, squares_ = 0;
};

}  // namespace lpw::inline LPW_ABI::metrics
