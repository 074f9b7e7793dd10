// Log-likelihoods of labels, and how sure predictions are of their class: for scores that need no more of a
// distribution.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <utility>
#include <vector>

#include <lpw/cpu/base/parallel.hpp>
#include <lpw/tensor/error.hpp>
#include <lpw/tensor/float_bits.hpp>
#include <lpw/tensor/tensor.hpp>
#include <lpw/tensor/to_size.hpp>

namespace lpw::inline LPW_ABI::metrics {

namespace detail {

/// Throws ShapeError unless logits are [..., N, classes] of that rank with labels [N], Error for an impossible label.
template <Real T>
void check_logits(const Tensor<T, Cpu>& logits, const Tensor<std::int32_t, Cpu>& labels, int rank, const char* where) {
  const Shape& shape = logits.shape();
  require<ShapeError>(shape.rank() == rank && shape[rank - 1] > 0 && labels.shape() == Shape{shape[rank - 2]}, where,
                      ": logits are ", shape, ", labels ", labels.shape(), "; expected ",
                      rank == 2 ? "[N classes]" : "[K N classes]", " and [N]");
  const std::int64_t classes = shape[rank - 1];
  for (std::int64_t i = 0; i < labels.dim(0); ++i)
    require(*labels.row(i) >= 0 && *labels.row(i) < classes, where, ": label ", *labels.row(i), " of row ", i,
            " is not in [0, ", classes, ")");
}

/// Throws NonFinite for what is not finite.
inline void check_finite(const double* likelihoods, std::int64_t rows, const char* where) {
  for (std::int64_t i = 0; i < rows; ++i)
    require<NonFinite>(is_finite(likelihoods[i]), where, ": the logits of row ", i, " are not finite");
}

/// The largest of a row of logits, and the sum of all exp(logit - largest), which each is called with.
template <Real T, class F>
[[nodiscard]] std::pair<double, double> sum_of_exponentials(const T* row, std::int64_t classes, F&& f) {
  double largest = static_cast<double>(row[0]), sum = 0;
  for (std::int64_t c = 1; c < classes; ++c) largest = std::max(largest, static_cast<double>(row[c]));
  for (std::int64_t c = 0; c < classes; ++c) {
    const double exponential = std::exp(static_cast<double>(row[c]) - largest);
    sum += exponential;
    f(c, exponential);
  }
  return {largest, sum};
}

/// Whether the largest of a row, the first of equals, is the label's.
template <Real T>
[[nodiscard]] bool is_first(const T* row, std::int32_t label, double largest) {
  if (!(static_cast<double>(row[label]) == largest)) return false;
  return std::none_of(row, row + label, [&](T logit) { return static_cast<double>(logit) == largest; });
}

}  // namespace detail

/// log softmax(logits)_label of every row of logits [N, classes] with its label in [0, classes), in nats and double:
/// [N]. Throws ShapeError, Error for an impossible label, and NonFinite for a row of logits that is not finite.
template <Real T>
[[nodiscard]] Tensor<double, Cpu> log_likelihoods(const Tensor<T, Cpu>& logits,
                                                  const Tensor<std::int32_t, Cpu>& labels) {
  detail::check_logits(logits, labels, 2, "log_likelihoods");
  const std::int64_t rows = logits.dim(0), classes = logits.dim(1);
  Tensor<double, Cpu> result({rows});
  parallel_for(rows, 32 * classes, [&](std::int64_t i) {
    const T* row = logits.row(i);
    const auto [largest, sum] = detail::sum_of_exponentials(row, classes, [](std::int64_t, double) {});
    result.data()[i] = static_cast<double>(row[*labels.row(i)]) - largest - std::log(sum);
  });
  detail::check_finite(result.data(), rows, "log_likelihoods");
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

/// What members say of labels: of their logits [K, N, classes] and the labels [N] of the rows, [K, 3, N]. First the
/// label's log-likelihood, as log_likelihoods has it; then the confidence, which is the largest probability; then 1
/// where the class of that, the first of equals, is the label, and 0 elsewhere. Adds the members' probabilities to
/// `sums` [N, classes], if not null, for ensemble_confidences. Throws as log_likelihoods.
template <Real T>
[[nodiscard]] Tensor<double, Cpu> label_scores(const Tensor<T, Cpu>& logits, const Tensor<std::int32_t, Cpu>& labels,
                                               Tensor<double, Cpu>* sums = nullptr) {
  detail::check_logits(logits, labels, 3, "label_scores");
  const std::int64_t members = logits.dim(0), rows = logits.dim(1), classes = logits.dim(2);
  require<ShapeError>(!sums || sums->shape() == Shape{rows, classes}, "label_scores: sums of probabilities are ",
                      sums ? sums->shape() : Shape(), ", expected ", Shape{rows, classes});
  Tensor<double, Cpu> result({members, 3, rows});
  parallel_for(rows, 32 * members * classes, [&](std::int64_t i) {
    std::vector<double> exponentials(sums ? to_size(classes) : 0);
    const std::int32_t label = *labels.row(i);
    for (std::int64_t k = 0; k < members; ++k) {
      const T* row = logits.row(k) + i * classes;
      const auto [largest, sum] = detail::sum_of_exponentials(row, classes, [&](std::int64_t c, double exponential) {
        if (sums) exponentials[to_size(c)] = exponential;
      });
      double* scores = result.row(k) + i;
      scores[0] = static_cast<double>(row[label]) - largest - std::log(sum);
      scores[rows] = 1 / sum;
      scores[2 * rows] = detail::is_first(row, label, largest) ? 1 : 0;
      for (std::int64_t c = 0; sums && c < classes; ++c) sums->row(i)[c] += exponentials[to_size(c)] / sum;
    }
  });
  for (std::int64_t k = 0; k < members; ++k) detail::check_finite(result.row(k), rows, "label_scores");
  return result;
}

/// Confidence, and 1 or 0, as label_scores has them, of the ensemble of K members whose probabilities [N, classes] are
/// summed: [2, N].
[[nodiscard]] inline Tensor<double, Cpu> ensemble_confidences(const Tensor<double, Cpu>& sums, std::int64_t members,
                                                              const Tensor<std::int32_t, Cpu>& labels) {
  require<ShapeError>(sums.shape().rank() == 2 && labels.shape() == Shape{sums.dim(0)} && members > 0,
                      "ensemble_confidences: sums are ", sums.shape(), ", labels ", labels.shape(), ", of ", members,
                      " members; expected [N classes], [N] and at least one");
  const std::int64_t rows = sums.dim(0), classes = sums.dim(1);
  Tensor<double, Cpu> result({2, rows});
  parallel_for(rows, 4 * classes, [&](std::int64_t i) {
    const double* row = sums.row(i);
    const double* best = std::max_element(row, row + classes);
    result.row(0)[i] = *best / static_cast<double>(members);
    result.row(1)[i] = best - row == *labels.row(i) ? 1 : 0;
  });
  return result;
}

}  // namespace lpw::inline LPW_ABI::metrics
