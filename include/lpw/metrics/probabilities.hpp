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

}  // namespace detail

}  // namespace lpw::inline LPW_ABI::metrics
