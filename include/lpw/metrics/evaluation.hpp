// Accuracy, negative log-likelihood and calibration of predicted class probabilities, summed up batch by batch. An
// ensemble is evaluated by its mean probabilities, a single network by its own. Only counts and sums are kept, in
// double.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>

#include <lpw/metrics/probabilities.hpp>

namespace lpw::inline LPW_ABI::metrics {

/// Means over `count` samples.
struct Evaluation {
  std::int64_t count = 0;
  double accuracy = 0;  // fraction whose most probable class, the first of equals, is the label
  double nll = 0;       // -log p(label), in nats; a probability of 0 counts as the smallest positive double, 744.4 nats
  double ece = 0;       // expected calibration error, a fraction
};

/// Sums up batches; result() is their means.
class Evaluator {
 public:
  /// Bins of confidence for the calibration error, as Guo, Pleiss, Sun and Weinberger take them ("On calibration of
  /// modern neural networks", 2017): bin m holds the samples with confidence in (m/15, (m+1)/15].
  static constexpr int bins = 15;

  /// Adds a batch: probabilities [B, classes] and labels [B] in [0, classes). Throws ShapeError, or Error naming the
  /// row that is no distribution or has an impossible label; nothing is added then.
  template <Real T>
  void add(const Tensor<T, Cpu>& probabilities, const Tensor<std::int32_t, Cpu>& labels) {
    check(probabilities, labels);
    const std::int64_t classes = probabilities.dim(1);
    for (std::int64_t i = 0; i < probabilities.dim(0); ++i) {
      const T* row = probabilities.row(i);
      const std::int32_t label = *labels.row(i);
      const T* best = std::max_element(row, row + classes);
      Bin& bin = bins_[bin_of(static_cast<double>(*best))];
      bin.count += 1;
      bin.correct += best - row == label;
      bin.confidence += static_cast<double>(*best);
      // Not the logarithm of the smallest double: -ffast-math makes processors take that for 0.
      const auto p = static_cast<double>(row[label]);
      log_likelihood_ += p > 0 ? std::log(p) : -744.4400719213812;
    }
  }

  /// Over all samples added. ece = sum over bins of (samples / count) |accuracy - mean confidence|. Throws Error if
  /// there were none.
  [[nodiscard]] Evaluation result() const {
    std::int64_t count = 0, correct = 0;
    double gap = 0;
    for (const Bin& bin : bins_) {
      count += bin.count;
      correct += bin.correct;
      gap += std::abs(static_cast<double>(bin.correct) - bin.confidence);
    }
    require<Error>(count > 0, "evaluation: no samples");
    const auto n = static_cast<double>(count);
    return {.count = count, .accuracy = static_cast<double>(correct) / n, .nll = -log_likelihood_ / n, .ece = gap / n};
  }

 private:
  struct Bin {
    std::int64_t count = 0, correct = 0;
    double confidence = 0;
  };

  template <class T>
  static void check(const Tensor<T, Cpu>& probabilities, const Tensor<std::int32_t, Cpu>& labels) {
    detail::check_probabilities(probabilities, "evaluation");
    require<ShapeError>(labels.shape() == Shape{probabilities.dim(0)}, "evaluation: probabilities ",
                        describe(probabilities.shape(), "BC"), " need one label per row, found labels ",
                        labels.shape());
    for (std::int64_t i = 0; i < labels.dim(0); ++i)
      require<Error>(*labels.row(i) >= 0 && *labels.row(i) < probabilities.dim(1), "evaluation: label ", *labels.row(i),
                     " of row ", i, " is not in [0, ", probabilities.dim(1), ")");
  }

  static std::size_t bin_of(double confidence) {
    return static_cast<std::size_t>(std::clamp(static_cast<int>(std::ceil(confidence * bins)) - 1, 0, bins - 1));
  }

  std::array<Bin, bins> bins_{};
  double log_likelihood_ = 0;
};

}  // namespace lpw::inline LPW_ABI::metrics
