// The calibration error in bins of equal mass, of which none is empty: networks are sure of most samples, and bins of
// equal width leave most of them in the last.
#pragma once

#include <cmath>

#include <lpw/metrics/confidence.hpp>

namespace lpw::inline LPW_ABI::metrics {

/// sum over bins of |right samples - sum of confidences| / N, where bin m of M has the samples from floor(m N / M) to
/// floor((m+1) N / M) in the order of confidence (adaptive binning of Nguyen and O'Connor, "Posterior calibration and
/// exploratory analysis for natural language processing models", 2015, for the confidence of the predicted class).
/// Samples of equal confidence on both sides of a border share their right ones in proportion, so that their order does
/// not matter. Throws OptionError for less than one bin, Error if there are no samples.
[[nodiscard]] inline double adaptive_calibration_error(const Confidences& confidences, std::int64_t bins = 15) {
  require<OptionError>(bins >= 1, "adaptive calibration error: `bins` ", bins, ": expected at least 1");
  const auto samples = confidences.falling();
  const std::int64_t count = confidences.count();
  double error = 0, gap = 0;
  std::int64_t place = 0, bin = 1;
  const auto end_of = [&](std::int64_t m) { return m * count / bins; };
  for (auto equals = samples.rbegin(); equals != samples.rend(); ++equals)
    for (std::int64_t left = equals->count; left > 0;) {
      while (end_of(bin) <= place) ++bin;
      const std::int64_t taken = std::min(left, end_of(bin) - place);
      const double accuracy = static_cast<double>(equals->correct) / static_cast<double>(equals->count);
      gap += static_cast<double>(taken) * (accuracy - equals->confidence);
      place += taken;
      left -= taken;
      if (place == end_of(bin)) error += std::abs(std::exchange(gap, 0));
    }
  return error / static_cast<double>(count);
}

}  // namespace lpw::inline LPW_ABI::metrics
