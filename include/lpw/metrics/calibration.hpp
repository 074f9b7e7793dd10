// The expected calibration error in bins of equal width, summed up sample by sample.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <vector>

#include <lpw/tensor/error.hpp>

namespace lpw::inline LPW_ABI::metrics {

/// A bin of a reliability diagram.
struct ReliabilityBin {
  std::int64_t count = 0;               // samples in the bin
  double confidence = 0, accuracy = 0;  // means over its samples; 0 where there are none
};

/// Sums of each bin's samples.
class Calibration {
 public:
  /// Bins of confidence, as Guo, Pleiss, Sun and Weinberger take them ("On calibration of modern neural networks",
  /// 2017): bin m holds the samples with confidence in (m/15, (m+1)/15].
  static constexpr int bins = 15;

  /// Adds a sample: the largest of its probabilities, and whether the class of that is right.
  void add(double confidence, bool right) {
    Bin& bin = bins_[bin_of(confidence)];
    bin.count += 1;
    bin.correct += right;
    bin.confidence += confidence;
  }

  /// Samples so far.
  [[nodiscard]] std::int64_t count() const {
    std::int64_t count = 0;
    for (const Bin& bin : bins_) count += bin.count;
    return count;
  }
  /// Of these the right ones.
  [[nodiscard]] std::int64_t correct() const {
    std::int64_t correct = 0;
    for (const Bin& bin : bins_) correct += bin.correct;
    return correct;
  }

  /// The sum over bins of (samples / count) |accuracy - mean confidence|. Throws Error if there are no samples.
  [[nodiscard]] double error() const {
    const std::int64_t samples = count();
    require<Error>(samples > 0, "calibration: no samples");
    double gap = 0;
    for (const Bin& bin : bins_) gap += std::abs(static_cast<double>(bin.correct) - bin.confidence);
    return gap / static_cast<double>(samples);
  }

  /// The bins of which that is made, by confidence.
  [[nodiscard]] std::vector<ReliabilityBin> reliability() const {
    std::vector<ReliabilityBin> result;
    for (const Bin& bin : bins_) {
      const auto n = static_cast<double>(std::max<std::int64_t>(bin.count, 1));
      result.push_back({bin.count, bin.confidence / n, static_cast<double>(bin.correct) / n});
    }
    return result;
  }

 private:
  struct Bin {
    std::int64_t count = 0, correct = 0;
    double confidence = 0;
  };

  static std::size_t bin_of(double confidence) {
    return static_cast<std::size_t>(std::clamp(static_cast<int>(std::ceil(confidence * bins)) - 1, 0, bins - 1));
  }

  std::array<Bin, bins> bins_{};
};

}  // namespace lpw::inline LPW_ABI::metrics
