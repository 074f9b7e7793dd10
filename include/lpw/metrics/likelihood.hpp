// Log-likelihoods of labels, for scores that need no more of a distribution than the probability of what came.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include <lpw/cpu/base/parallel.hpp>
#include <lpw/tensor/error.hpp>
#include <lpw/tensor/float_bits.hpp>
#include <lpw/tensor/tensor.hpp>

namespace lpw::inline LPW_ABI::metrics {

/// log softmax(logits)_label of every row of logits [N, classes] with its label in [0, classes), in nats and double:
/// [N]. Throws ShapeError, Error for an impossible label, and NonFinite for a row of logits that is not finite.
template <Real T>
[[nodiscard]] Tensor<double, Cpu> log_likelihoods(const Tensor<T, Cpu>& logits,
                                                  const Tensor<std::int32_t, Cpu>& labels) {
  require<ShapeError>(logits.shape().rank() == 2 && logits.dim(1) > 0 && labels.shape() == Shape{logits.dim(0)},
                      "log_likelihoods: logits are ", logits.shape(), ", labels ", labels.shape(),
                      "; expected [N classes] and [N]");
  const std::int64_t rows = logits.dim(0), classes = logits.dim(1);
  for (std::int64_t i = 0; i < rows; ++i)
    require(*labels.row(i) >= 0 && *labels.row(i) < classes, "log_likelihoods: label ", *labels.row(i), " of row ", i,
            " is not in [0, ", classes, ")");
  Tensor<double, Cpu> result({rows});
  parallel_for(rows, 32 * classes, [&](std::int64_t i) {
    const T* row = logits.row(i);
    double largest = static_cast<double>(row[0]), sum = 0;
    for (std::int64_t c = 1; c < classes; ++c) largest = std::max(largest, static_cast<double>(row[c]));
    for (std::int64_t c = 0; c < classes; ++c) sum += std::exp(static_cast<double>(row[c]) - largest);
    result.data()[i] = static_cast<double>(row[*labels.row(i)]) - largest - std::log(sum);
  });
  for (std::int64_t i = 0; i < rows; ++i)
    require<NonFinite>(is_finite(result.data()[i]), "log_likelihoods: the logits of row ", i, " are not finite");
  return result;
}

/// The same for the ensemble of K members, whose prediction is the mean of theirs: log mean_k exp(members_k), [K, N] ->
/// [N]. One member's are given back bit for bit.
[[nodiscard]] inline Tensor<double, Cpu> ensemble_log_likelihoods(const Tensor<double, Cpu>& members) {
  require<ShapeError>(members.shape().rank() == 2 && members.dim(0) > 0,
                      "ensemble_log_likelihoods: expected [K N], found ", members.shape());
  const std::int64_t count = members.dim(0), rows = members.dim(1);
  Tensor<double, Cpu> result({rows});
  for (std::int64_t i = 0; i < rows; ++i) {
    double largest = members.row(0)[i], sum = 0;
    for (std::int64_t k = 1; k < count; ++k) largest = std::max(largest, members.row(k)[i]);
    for (std::int64_t k = 0; k < count; ++k) sum += std::exp(members.row(k)[i] - largest);
    result.data()[i] = largest + std::log(sum / static_cast<double>(count));
  }
  return result;
}

}  // namespace lpw::inline LPW_ABI::metrics
