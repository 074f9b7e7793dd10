// primitives/elementwise_loss.hpp on the CPU: one read of x and target, each sample's sum in double.
#pragma once

#include <algorithm>
#include <cmath>

#include <lpw/cpu/base/loss_weights.hpp>
#include <lpw/cpu/base/parallel.hpp>
#include <lpw/cpu/base/sigmoid.hpp>
#include <lpw/primitives/elementwise_loss.hpp>

namespace lpw::inline LPW_ABI {

namespace detail {

/// p of element i of a sample.
template <class W>
[[nodiscard]] W positive_weight(const ElementwiseLoss<W, Cpu>& of, std::int64_t i) {
  return of.positive_weight.empty() ? W(1) : of.positive_weight.data()[i % of.positive_weight.size()];
}

/// The loss of element i of a sample.
template <class W>
[[nodiscard]] W element_loss(const ElementwiseLoss<W, Cpu>& of, std::int64_t i, W x, W target) {
  const W difference = x - target;
  if (of.kind == ElementLoss::squared) return difference * difference;
  if (of.kind == ElementLoss::absolute) return std::abs(difference);
  const W rest = std::log1p(exp_of_negative(-std::abs(x)));
  return (1 - target) * (std::max(x, W(0)) + rest) + positive_weight(of, i) * target * (std::max(-x, W(0)) + rest);
}

/// Its derivative by x.
template <class W>
[[nodiscard]] W element_loss_derivative(const ElementwiseLoss<W, Cpu>& of, std::int64_t i, W x, W target) {
  const W difference = x - target;
  if (of.kind == ElementLoss::squared) return 2 * difference;
  if (of.kind == ElementLoss::absolute)
    return difference > 0 ? W(1) : difference < 0 ? W(-1) : 0 * difference;  // NaN stays NaN
  return (1 - target) * sigmoid(x) - positive_weight(of, i) * target * sigmoid(-x);
}

}  // namespace detail

template <class T>
[[nodiscard]] Tensor<Accumulate<T>, Cpu> elementwise_loss_forward(const Tensor<T, Cpu>& x, const Tensor<T, Cpu>& target,
                                                                  const ElementwiseLoss<Accumulate<T>, Cpu>& of) {
  using W = Accumulate<T>;
  detail::require_loss_weights("binary_cross_entropy_with_logits: positive weight", of.positive_weight);
  const std::int64_t samples = x.dim(0) * x.dim(1), elements = x.size() / samples;
  Tensor<W, Cpu> losses({x.dim(0), x.dim(1)});
  parallel_for(samples, 16 * elements, [&](std::int64_t sample) {
    const T *in = x.data() + sample * elements, *wanted = target.data() + sample * elements;
    double sum = 0;
    for (std::int64_t i = 0; i < elements; ++i) sum += double(detail::element_loss(of, i, W(in[i]), W(wanted[i])));
    losses.data()[sample] = static_cast<W>(sum / static_cast<double>(elements));
  });
  return losses;
}

template <class T>
void elementwise_loss_backward(const Tensor<T, Cpu>& x, const Tensor<T, Cpu>& target,
                               const ElementwiseLoss<Accumulate<T>, Cpu>& of, const Tensor<Accumulate<T>, Cpu>& dlosses,
                               Gradient<T, Cpu>& dx) {
  using W = Accumulate<T>;
  const std::int64_t samples = x.dim(0) * x.dim(1), elements = x.size() / samples;
  parallel_for(samples, 16 * elements, [&](std::int64_t sample) {
    const W share = dlosses.data()[sample] / static_cast<W>(elements);
    const T *in = x.data() + sample * elements, *wanted = target.data() + sample * elements;
    T* out = dx.tensor.data() + sample * elements;
    for (std::int64_t i = 0; i < elements; ++i) {
      const W value = share == 0 ? W(0) : share * detail::element_loss_derivative(of, i, W(in[i]), W(wanted[i]));
      store(out[i], dx.accumulate ? W(out[i]) + value : value);
    }
  });
}

}  // namespace lpw::inline LPW_ABI
