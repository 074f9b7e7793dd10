// Temperature scaling (Guo, Pleiss, Sun and Weinberger, "On calibration of modern neural networks", 2017): one number
// that makes predictions surer or less sure, and changes no predicted class. It is applied to the logarithms of
// probabilities, which for one network is the same as to its logits; for an ensemble they are its mean's: members are
// pooled first and calibrated then (Rahaman and Thiery, "Uncertainty quantification and deep ensembles", 2021).
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include <lpw/cpu/base/parallel.hpp>
#include <lpw/metrics/probabilities.hpp>

namespace lpw::inline LPW_ABI::metrics {

/// log p of every element; 0 counts as the smallest positive double.
[[nodiscard]] inline Tensor<double, Cpu> log_probabilities(const Tensor<double, Cpu>& probabilities) {
  detail::check_probabilities(probabilities, "log_probabilities");
  auto result = clone(probabilities);
  for (std::int64_t i = 0; i < result.size(); ++i) {
    double& p = result.data()[i];
    p = p > 0 ? std::log(p) : detail::smallest_log;
  }
  return result;
}

/// The distributions [N, classes] proportional to p^(1 / temperature). Throws OptionError unless it is above 0, Error
/// for a row that is no distribution.
[[nodiscard]] inline Tensor<double, Cpu> with_temperature(const Tensor<double, Cpu>& probabilities,
                                                          double temperature) {
  require<OptionError>(is_finite(temperature) && temperature > 0, "`temperature` ", temperature,
                       ": expected a number above 0");
  auto logits = log_probabilities(probabilities);
  for (std::int64_t i = 0; i < logits.size(); ++i) logits.data()[i] /= temperature;
  return softmax_rows(logits);
}

/// A temperature, and whether the likelihood still grew where the search ends.
struct TemperatureFit {
  double temperature = 1;  // by which log p is divided
  bool at_limit = false;   // the likelihood rises up to the end of the range, as where every sample is right
};

namespace detail {

/// Of the mean of -log p(label) at inverse temperature b: the first two derivatives.
struct Slopes {
  double first = 0, second = 0;
};

[[nodiscard]] inline Slopes slopes(const Tensor<double, Cpu>& logs, const Tensor<std::int32_t, Cpu>& labels, double b) {
  const std::int64_t rows = logs.dim(0), classes = logs.dim(1);
  std::vector<Slopes> parts(to_size(rows));
  parallel_for(rows, 40 * classes, [&](std::int64_t i) {
    const double* row = logs.row(i);
    const double largest = *std::max_element(row, row + classes);
    double sum = 0, mean = 0, square = 0;
    for (std::int64_t c = 0; c < classes; ++c) {
      const double weight = std::exp(b * (row[c] - largest)), value = row[c] - largest;
      sum += weight, mean += weight * value, square += weight * value * value;
    }
    mean /= sum;
    parts[to_size(i)] = {mean - (row[*labels.row(i)] - largest), square / sum - mean * mean};
  });
  Slopes result;
  for (const Slopes& part : parts) result.first += part.first, result.second += part.second;
  return {result.first / static_cast<double>(rows), result.second / static_cast<double>(rows)};
}

}  // namespace detail

/// The temperature from 1/100 to 100 under which labels [N] are likeliest by predictions [N, classes]. Their mean
/// -log p is convex in the temperature's inverse, where Newton's steps look for its minimum between bounds. Throws
/// ShapeError, and Error for a row that is no distribution, an impossible label, or no rows that count.
[[nodiscard]] inline TemperatureFit fit_temperature(const Tensor<double, Cpu>& probabilities,
                                                    const Tensor<std::int32_t, Cpu>& labels,
                                                    const LabelOptions& options = {}) {
  constexpr double limit = 100;
  detail::check_labelled(probabilities, labels, "fit_temperature", options);
  const auto [rows, their_labels] = detail::counted(probabilities, labels, options);
  require<Error>(rows.dim(0) > 0, "fit_temperature: no samples");
  const auto logs = log_probabilities(rows);
  double low = 1 / limit, high = limit, b = 1;
  if (!(detail::slopes(logs, their_labels, high).first > 0)) return {1 / high, true};
  if (!(detail::slopes(logs, their_labels, low).first < 0)) return {1 / low, true};
  for (int step = 0; step < 100 && high - low > 1e-14 * high; ++step) {
    const auto [first, second] = detail::slopes(logs, their_labels, b);
    if (first == 0) break;
    (first < 0 ? low : high) = b;
    const double next = second > 0 ? b - first / second : low;
    const double inside = next > low && next < high ? next : (low + high) / 2;
    const double moved = std::abs(inside - b);
    b = inside;
    if (moved <= 1e-14 * b) break;
  }
  return {1 / b, false};
}

}  // namespace lpw::inline LPW_ABI::metrics
