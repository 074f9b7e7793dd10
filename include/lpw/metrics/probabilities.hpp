// The checks that every metric makes of its input.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

#include <lpw/cpu/softmax.hpp>

namespace lpw::inline LPW_ABI::metrics {

using lpw::softmax_rows;

/// Which samples a score is of.
struct LabelOptions {
  std::optional<std::int32_t> ignore_index = std::nullopt;  // samples of this label are left out, as by cross_entropy
};

namespace detail {

/// Throws ShapeError unless [B, classes].
template <Real T>
void check_rows(const Tensor<T, Cpu>& probabilities, const char* where) {
  require<ShapeError>(probabilities.shape().rank() == 2 && probabilities.dim(1) > 0, where,
                      ": expected probabilities [B, classes], found ", probabilities.shape());
}

/// Throws Error where row i is no distribution. The tolerance of the sum admits bfloat16, whose rounding moves it by at
/// most 2^-9, and the mean of several members; logits given by mistake fail it.
template <Real T>
void check_distribution(const Tensor<T, Cpu>& probabilities, std::int64_t i, const char* where) {
  const T* row = probabilities.row(i);
  double sum = 0;
  bool nonnegative = true;
  for (std::int64_t c = 0; c < probabilities.dim(1); ++c) {
    sum += static_cast<double>(row[c]);
    nonnegative = nonnegative && static_cast<double>(row[c]) >= 0;
  }
  require<Error>(nonnegative && is_finite(sum) && std::abs(sum - 1) <= 1e-2, where, ": row ", i, " with sum ", sum,
                 " is no distribution over classes; apply softmax_rows to logits first");
}

/// Throws ShapeError unless [B, classes], and Error for a row that is no distribution.
template <Real T>
void check_probabilities(const Tensor<T, Cpu>& probabilities, const char* where) {
  check_rows(probabilities, where);
  for (std::int64_t i = 0; i < probabilities.dim(0); ++i) check_distribution(probabilities, i, where);
}

/// The same, and ShapeError unless there is a label for each row, Error for one that is not in [0, classes). Rows whose
/// label is ignored may hold anything, NaN too.
template <Real T>
void check_labelled(const Tensor<T, Cpu>& probabilities, const Tensor<std::int32_t, Cpu>& labels, const char* where,
                    const LabelOptions& options = {}) {
  check_rows(probabilities, where);
  require<ShapeError>(labels.shape() == Shape{probabilities.dim(0)}, where, ": probabilities ",
                      describe(probabilities.shape(), "BC"), " need one label per row, found labels ", labels.shape());
  for (std::int64_t i = 0; i < labels.dim(0); ++i) {
    const std::int32_t label = *labels.row(i);
    if (options.ignore_index == label) continue;
    check_distribution(probabilities, i, where);
    require<Error>(label >= 0 && label < probabilities.dim(1), where, ": label ", label, " of row ", i,
                   " is not in [0, ", probabilities.dim(1), ")");
  }
}

/// Rows and labels that count: those that are given, where none is ignored.
template <Real T>
[[nodiscard]] std::pair<Tensor<T, Cpu>, Tensor<std::int32_t, Cpu>> counted(const Tensor<T, Cpu>& probabilities,
                                                                           const Tensor<std::int32_t, Cpu>& labels,
                                                                           const LabelOptions& options) {
  std::vector<std::int64_t> kept;
  for (std::int64_t i = 0; i < labels.dim(0); ++i)
    if (options.ignore_index != *labels.row(i)) kept.push_back(i);
  const std::int64_t count = std::ssize(kept), classes = probabilities.dim(1);
  if (count == labels.dim(0)) return {probabilities, labels};
  std::pair result(Tensor<T, Cpu>({count, classes}), Tensor<std::int32_t, Cpu>({count}));
  for (std::int64_t i = 0; i < count; ++i) {
    std::copy_n(probabilities.row(kept[to_size(i)]), classes, result.first.row(i));
    *result.second.row(i) = *labels.row(kept[to_size(i)]);
  }
  return result;
}

/// What the logarithm of a probability of 0 counts as: that of the smallest positive double, which is not computed, as
/// -ffast-math makes processors take that double for 0.
inline constexpr double smallest_log = -744.4400719213812;

}  // namespace detail

}  // namespace lpw::inline LPW_ABI::metrics
