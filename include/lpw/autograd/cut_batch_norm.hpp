// Batch norm over a minibatch that is cut over processes (MinibatchCut): normalised by the moments of the whole, as one
// process would. Each pass tells 2 C numbers forward, in two sums, and 2 C backward.
//
//   mean = sum_r share_r mean_r,  variance = sum_r share_r (variance_r + (mean_r - mean)^2)
//
// and with S_r = sum over the part of g and of g (x - mean), g the gradient of its own loss, a part's dx is the usual
// one with sum_r share_r S_r in the place of S: that is over the whole, of the loss' gradient, in units of this part's.
#pragma once

#include <cmath>
#include <cstdint>
#include <span>
#include <type_traits>
#include <vector>

#include <lpw/autograd/minibatch_cut.hpp>
#include <lpw/autograd/primitives.hpp>

namespace lpw::inline LPW_ABI::detail {

/// The moments [1, C] of the whole minibatch, given those of the part.
template <class W>
[[nodiscard]] Moments<W, Cpu> whole_moments(const MinibatchCut& cut, const Moments<W, Cpu>& part) {
  const std::int64_t size = part.mean.size();
  Moments<W, Cpu> whole{Tensor<W, Cpu>(part.mean.shape()), Tensor<W, Cpu>(part.mean.shape())};
  std::vector<double> mean(to_size(size)), variance(to_size(size));
  for (std::int64_t i = 0; i < size; ++i) mean[to_size(i)] = cut.share() * static_cast<double>(part.mean.data()[i]);
  cut.sum(mean);
  for (std::int64_t i = 0; i < size; ++i) {
    const double distance = static_cast<double>(part.mean.data()[i]) - mean[to_size(i)];
    variance[to_size(i)] = cut.share() * (static_cast<double>(part.variance.data()[i]) + distance * distance);
  }
  cut.sum(variance);
  for (std::int64_t i = 0; i < size; ++i) {
    whole.mean.data()[i] = static_cast<W>(mean[to_size(i)]);
    whole.variance.data()[i] = static_cast<W>(variance[to_size(i)]);
  }
  return whole;
}

/// batch_norm_forward of a part. Throws Error on a GPU, whose kernel sums and normalises in one launch.
template <class T, class D, class W = Accumulate<T>>
[[nodiscard]] BatchNormResult<T, D> cut_batch_norm_forward(const MinibatchCut& cut, const Tensor<T, D>& x,
                                                           const Tensor<T, D>& residual, const Tensor<W, D>& gamma,
                                                           const Tensor<W, D>& beta,
                                                           const RunningStatistics<W, D>& running, BatchNormPass pass,
                                                           const Moments<W, D>& known) {
  if constexpr (std::is_same_v<D, Cpu>) {
    const auto whole = whole_moments(cut, known.variance.empty() ? batch_moments(x) : known);
    pass.rows = std::lround(static_cast<double>(MemberRows::of(x.shape()).rows) / cut.share());
    return batch_norm_forward(x, residual, gamma, beta, running, pass, whole);
  } else {
    fail(
        "batch_norm: a minibatch that is cut over processes is normalised on the CPU only; release before, or train "
        "until then in one process");
  }
}

/// batch_norm_backward of a part: gamma's and beta's gradients are those of the part's own loss.
template <class T, class D, class W = Accumulate<T>>
void cut_batch_norm_backward(const MinibatchCut& cut, const BatchNormSaved<T, D>& saved, const Tensor<T, D>& dy,
                             Gradient<W, D>* dgamma, Gradient<W, D>* dbeta, Gradient<T, D>* dx,
                             Gradient<T, D>* dresidual, const Tensor<double, D>& known) {
  if constexpr (std::is_same_v<D, Cpu>) {
    const auto part = known.empty() ? batch_norm_gradient_sums(saved, dy) : known;
    if (dgamma || dbeta) batch_norm_backward<T>(saved, dy, dgamma, dbeta, nullptr, nullptr, part);
    Tensor<double, Cpu> whole = clone(part);
    const std::span<double> sums(whole.data(), to_size(whole.size()));
    for (double& sum : sums) sum *= cut.share();
    cut.sum(sums);
    batch_norm_backward<T>(saved, dy, nullptr, nullptr, dx, dresidual, whole);
  }
}

}  // namespace lpw::inline LPW_ABI::detail
