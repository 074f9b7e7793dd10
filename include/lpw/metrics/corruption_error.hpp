// Errors under corruptions of growing severity, relative to those of a reference (Hendrycks and Dietterich,
// "Benchmarking neural network robustness to common corruptions and perturbations", 2019).
#pragma once

#include <span>
#include <vector>

#include <lpw/tensor/error.hpp>
#include <lpw/tensor/float_bits.hpp>

namespace lpw::inline LPW_ABI::metrics {

/// CE of one kind of corruption: the errors at its severities added up, over the reference's; 1 for one as good as the
/// reference, the lower, the better. Throws Error for lists that differ in length or are empty, an error that is not in
/// [0, 1], and a reference without errors.
[[nodiscard]] inline double corruption_error(std::span<const double> errors, std::span<const double> reference) {
  require<Error>(!errors.empty() && errors.size() == reference.size(), "corruption error: ", errors.size(),
                 " severities, the reference has ", reference.size(), "; expected as many");
  double found = 0, expected = 0;
  for (std::size_t i = 0; i < errors.size(); ++i) {
    for (const double error : {errors[i], reference[i]})
      require<Error>(!is_nan(error) && error >= 0 && error <= 1, "corruption error: ", error,
                     " is no share of samples, which is from 0 to 1");
    found += errors[i], expected += reference[i];
  }
  require<Error>(expected > 0, "corruption error: the reference makes no errors, to which others could be compared");
  return found / expected;
}

/// The mean of numbers, of which there must be some: mCE of several kinds' CE.
[[nodiscard]] inline double mean_of(const std::vector<double>& values) {
  require<Error>(!values.empty(), "mean: there are no values");
  double sum = 0;
  for (const double value : values) sum += value;
  return sum / static_cast<double>(values.size());
}

}  // namespace lpw::inline LPW_ABI::metrics
