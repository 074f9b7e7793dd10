// primitives/sample_mean.hpp on the CPU: in double, the samples in order.
#pragma once

#include <numeric>

#include <lpw/cpu/base/loss_weights.hpp>
#include <lpw/primitives/sample_mean.hpp>

namespace lpw::inline LPW_ABI {

namespace detail {

/// The sum of a member's weights.
template <class W>
[[nodiscard]] double total_weight(const SampleWeights<W, Cpu>& weights, std::int64_t k, std::int64_t batch) {
  if (weights.values.empty()) return static_cast<double>(batch);
  const W* row = weights.values.row(k);
  return std::accumulate(row, row + batch, 0.0);
}

/// What a loss is multiplied by; one that is multiplied by 0 is not read.
template <class W>
[[nodiscard]] double sample_factor(const SampleWeights<W, Cpu>& weights, std::int64_t k, std::int64_t b) {
  return weights.values.empty() || weights.in_losses ? 1 : double(weights.values.row(k)[b]);
}

}  // namespace detail

template <class W>
[[nodiscard]] Tensor<W, Cpu> sample_mean_forward(const Tensor<W, Cpu>& losses, const SampleWeights<W, Cpu>& weights) {
  const std::int64_t members = losses.dim(0), batch = losses.dim(1);
  if (!weights.in_losses) detail::require_loss_weights("sample_mean: weight", weights.values);
  Tensor<W, Cpu> mean({members});
  for (std::int64_t k = 0; k < members; ++k) {
    const double total = detail::total_weight(weights, k, batch);
    double sum = 0;
    for (std::int64_t b = 0; b < batch; ++b)
      if (const double factor = detail::sample_factor(weights, k, b); factor != 0)
        sum += factor * double(losses.row(k)[b]);
    mean.data()[k] = total == 0 ? W(0) : static_cast<W>(sum / total);
  }
  return mean;
}

template <class W>
void sample_mean_backward(const Tensor<W, Cpu>& dmean, const SampleWeights<W, Cpu>& weights,
                          Gradient<W, Cpu>& dlosses) {
  const std::int64_t members = dlosses.tensor.dim(0), batch = dlosses.tensor.dim(1);
  for (std::int64_t k = 0; k < members; ++k) {
    const double total = detail::total_weight(weights, k, batch),
                 share = total == 0 ? 0 : double(dmean.data()[k]) / total;
    W* out = dlosses.tensor.row(k);
    for (std::int64_t b = 0; b < batch; ++b) {
      const auto value = static_cast<W>(share * detail::sample_factor(weights, k, b));
      out[b] = dlosses.accumulate ? out[b] + value : value;
    }
  }
}

}  // namespace lpw::inline LPW_ABI
