// Batch norm over a minibatch that is cut over processes (MinibatchCut): normalised by the moments of the whole, as one
// process would. Each pass tells 2 C numbers forward, in two sums, and 2 C backward.
//
//   mean = sum_r share_r mean_r,  variance = sum_r share_r (variance_r + (mean_r - mean)^2)
//
// and with S_r = sum over the part of g and of g (x - mean), g the gradient of its own loss, a part's dx is the usual
// one with sum_r share_r S_r in the place of S: that is over the whole, of the loss' gradient, in units of this part's.
#pragma once

#include <cstdint>
#include <type_traits>

#include <lpw/autograd/minibatch_cut.hpp>
#include <lpw/autograd/primitives.hpp>
#include <lpw/autograd/process_sums.hpp>

namespace lpw::inline LPW_ABI::detail {

/// The moments [1, C] of the whole minibatch, given those of the part.
template <class W>
[[nodiscard]] Moments<W, Cpu> whole_moments(const MinibatchCut& cut, const Moments<W, Cpu>& part) {
  const std::int64_t size = part.mean.size();
  Moments<W, Cpu> whole{Tensor<W, Cpu>(part.mean.shape()), Tensor<W, Cpu>(part.mean.shape())};
  Tensor<double, Cpu> mean({size}), variance({size});
  for (std::int64_t i = 0; i < size; ++i) mean.data()[i] = cut.share() * static_cast<double>(part.mean.data()[i]);
  sum_over(cut, mean);
  for (std::int64_t i = 0; i < size; ++i) {
    const double distance = static_cast<double>(part.mean.data()[i]) - mean.data()[i];
    variance.data()[i] = cut.share() * (static_cast<double>(part.variance.data()[i]) + distance * distance);
  }
  sum_over(cut, variance);
  for (std::int64_t i = 0; i < size; ++i) {
    whole.mean.data()[i] = static_cast<W>(mean.data()[i]);
    whole.variance.data()[i] = static_cast<W>(variance.data()[i]);
  }
  return whole;
}

/// to = f(inputs), or to += f(inputs), for tensors of one shape.
template <Function f, class W, class D>
void apply_to(Tensor<W, D>& to, bool accumulate, const Tensor<W, D>& x, const Tensor<W, D>& y, double scale = 1) {
  FunctionInputs<W, W, D> inputs{.x = Strided<W, D>::of(x), .scale = scale};
  if constexpr (reads_y(f)) inputs.y = Strided<W, D>::of(y);
  if constexpr (reads_b(f)) inputs.b = Strided<W, D>::of(y);
  apply_function<f>(to.shape(), inputs, StridedTarget<W, D>{Strided<W, D>::of(to), accumulate});
}

/// to = keep to + take from; a keep of 0 is a new beginning, whatever was there.
template <class W, class D>
void blend(Tensor<W, D>& to, double keep, const Tensor<W, D>& from, double take) {
  if (keep != 0 && keep != 1) apply_to<Function::affine>(to, false, to, {}, keep);
  apply_to<Function::affine>(to, keep != 0, from, {}, take);
}

/// The same on a device that works on its own: by small launches, after which nothing waits.
template <class W, class D>
[[nodiscard]] Moments<W, D> whole_moments(const MinibatchCut& cut, Moments<W, D> moments) {
  auto& [mean, variance] = moments;
  auto distance = clone(mean);
  blend(mean, 0, distance, cut.share());
  sum_over(cut, mean);
  apply_to<Function::subtract>(distance, false, distance, mean);
  apply_to<Function::product>(variance, true, distance, distance);
  apply_to<Function::affine>(variance, false, variance, {}, cut.share());
  sum_over(cut, variance);
  return moments;
}

/// Moves running statistics as batch_norm_forward does, by the moments of a minibatch of so many rows.
template <class W, class D>
void move_running(RunningStatistics<W, D> running, const Moments<W, D>& batch, const BatchNormPass& pass) {
  const double take = pass.momentum, keep = 1 - take, rows = static_cast<double>(pass.rows);
  if (pass.pooled && keep != 0) {
    Tensor<W, D> distance(batch.mean.shape());
    apply_to<Function::subtract>(distance, false, batch.mean, running.mean);
    apply_to<Function::affine>(running.mean, true, distance, {}, take);
    apply_to<Function::product>(distance, false, distance, distance);
    blend(running.variance, 1, distance, take);
  } else {
    blend(running.mean, keep, batch.mean, take);
  }
  blend(running.variance, keep, batch.variance, pass.pooled || pass.rows < 2 ? take : take * rows / (rows - 1));
}

/// batch_norm_forward of a part, for a pass over the rows of the whole.
template <class T, class D, class W = Accumulate<T>>
[[nodiscard]] BatchNormResult<T, D> cut_batch_norm_forward(const MinibatchCut& cut, const Tensor<T, D>& x,
                                                           const Tensor<T, D>& residual, const Tensor<W, D>& gamma,
                                                           const Tensor<W, D>& beta,
                                                           const RunningStatistics<W, D>& running, BatchNormPass pass,
                                                           const Moments<W, D>& known) {
  const auto whole = whole_moments(cut, known.variance.empty() ? batch_moments(x) : known);
  if constexpr (std::is_same_v<D, Cpu>) {
    return batch_norm_forward(x, residual, gamma, beta, running, pass, whole);
  } else {
    move_running(running, whole, pass);
    pass.batch_statistics = false;
    auto result = batch_norm_forward(x, residual, gamma, beta, {whole.mean, whole.variance}, pass);
    result.saved.batch_statistics = true;
    return result;
  }
}

/// batch_norm_backward of a part: gamma's and beta's gradients are those of the part's own loss.
template <class T, class D, class W = Accumulate<T>>
void cut_batch_norm_backward(const MinibatchCut& cut, const BatchNormSaved<T, D>& saved, const Tensor<T, D>& dy,
                             Gradient<W, D>* dgamma, Gradient<W, D>* dbeta, Gradient<T, D>* dx,
                             Gradient<T, D>* dresidual, const Tensor<double, D>& known) {
  auto whole = batch_norm_part_sums(saved, dy, dgamma, dbeta, cut.share(), known);
  sum_over(cut, whole);
  if (dx || dresidual) batch_norm_backward<T>(saved, dy, nullptr, nullptr, dx, dresidual, whole);
}

}  // namespace lpw::inline LPW_ABI::detail
