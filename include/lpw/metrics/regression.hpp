// Errors of predicted numbers, summed up batch by batch. An ensemble is evaluated by its members' mean, a single
// network by its own outputs. Only sums are kept, in double.
#pragma once

#include <cmath>
#include <cstdint>

#include <lpw/tensor/error.hpp>
#include <lpw/tensor/float_bits.hpp>
#include <lpw/tensor/tensor.hpp>

namespace lpw::inline LPW_ABI::metrics {

/// Errors of `count` numbers, in the unit of the targets: of standardised ones, times their stddev in their own.
struct RegressionErrors {
  std::int64_t count = 0;  // numbers, of all samples
  double rmse = 0;         // root of the mean of (prediction - target)^2
  double mae = 0;          // mean of |prediction - target|
};

/// Sums up batches; result() is their errors.
class RegressionEvaluator {
 public:
  /// Adds predictions and targets of one shape, [B, ...]. Throws ShapeError, or NonFinite naming the first of either
  /// that is not finite; nothing is added then.
  template <Real T, Real U>
  void add(const Tensor<T, Cpu>& predictions, const Tensor<U, Cpu>& targets) {
    require<ShapeError>(predictions.shape() == targets.shape(), "regression: predictions are ", predictions.shape(),
                        ", targets ", targets.shape(), "; expected the same shape");
    double squares = 0, magnitudes = 0;
    for (std::int64_t i = 0; i < targets.size(); ++i) {
      const auto found = static_cast<double>(predictions.data()[i]), wanted = static_cast<double>(targets.data()[i]);
      require<NonFinite>(is_finite(found) && is_finite(wanted), "regression: prediction ", found, " of target ", wanted,
                         ", number ", i, "; expected finite numbers");
      squares += (found - wanted) * (found - wanted);
      magnitudes += std::abs(found - wanted);
    }
    squares_ += squares, magnitudes_ += magnitudes, count_ += targets.size();
  }

  /// Over all numbers added. Throws Error if there were none.
  [[nodiscard]] RegressionErrors result() const {
    require<Error>(count_ > 0, "regression: no samples");
    const auto n = static_cast<double>(count_);
    return {.count = count_, .rmse = std::sqrt(squares_ / n), .mae = magnitudes_ / n};
  }

 private:
  std::int64_t count_ = 0;
  double squares_ = 0, magnitudes_ = 0;
};

}  // namespace lpw::inline LPW_ABI::metrics
