// The checks that every metric makes of its input.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>

#include <lpw/cpu/softmax.hpp>

namespace lpw::inline LPW_ABI::metrics {

using lpw::softmax_rows;

namespace detail {

/// Throws ShapeError unless [B, classes], and Error for a row that is no distribution. The tolerance of the sum admits
/// bfloat16, whose rounding moves it by at most 2^-9, and the mean of several members; logits given by mistake fail it.
template <Real T>
void check_probabilities(const Tensor<T, Cpu>& probabilities, const char* where) {
  require<ShapeError>(probabilities.shape().rank() == 2 && probabilities.dim(1) > 0, where,
                      ": expected probabilities [B, classes], found ", probabilities.shape());
  const std::int64_t classes = probabilities.dim(1);
  for (std::int64_t i = 0; i < probabilities.dim(0); ++i) {
    const T* row = probabilities.row(i);
    double sum = 0;
    bool nonnegative = true;
    for (std::int64_t c = 0; c < classes; ++c) {
      sum += static_cast<double>(row[c]);
      nonnegative = nonnegative && static_cast<double>(row[c]) >= 0;
    }
    require<Error>(nonnegative && is_finite(sum) && std::abs(sum - 1) <= 1e-2, where, ": row ", i, " with sum ", sum,
                   " is no distribution over classes; apply softmax_rows to logits first");
  }
}

/// The same, and ShapeError unless there is a label for each row, Error for one that is not in [0, classes).
template <Real T>
void check_labelled(const Tensor<T, Cpu>& probabilities, const Tensor<std::int32_t, Cpu>& labels, const char* where) {
  check_probabilities(probabilities, where);
  require<ShapeError>(labels.shape() == Shape{probabilities.dim(0)}, where, ": probabilities ",
                      describe(probabilities.shape(), "BC"), " need one label per row, found labels ", labels.shape());
  for (std::int64_t i = 0; i < labels.dim(0); ++i)
    require<Error>(*labels.row(i) >= 0 && *labels.row(i) < probabilities.dim(1), where, ": label ", *labels.row(i),
                   " of row ", i, " is not in [0, ", probabilities.dim(1), ")");
}

/// What the logarithm of a probability of 0 counts as: that of the smallest positive double, which is not computed, as
/// -ffast-math makes processors take that double for 0.
inline constexpr double smallest_log = -744.4400719213812;

}  // namespace detail

}  // namespace lpw::inline LPW_ABI::metrics
