// Losses that are a mean over elements: squared and absolute error, and binary cross-entropy with logits. Each saves
// its inputs, and nothing else.
#pragma once

#include <lpw/autograd/sample_mean.hpp>
#include <lpw/primitives/elementwise_loss.hpp>

namespace lpw::inline LPW_ABI {

/// See mse_loss and l1_loss.
struct LossOptions {
  ReductionOption reduction = Reduction::mean;  // whether the mean is wanted, or each sample's loss
};

/// See binary_cross_entropy_with_logits.
template <class W, class D>
struct BinaryCrossEntropyOptions {
  Tensor<W, D> positive_weight = {};  // [columns of the last axis]: what positive targets weigh; empty: as much
  ReductionOption reduction = Reduction::mean;  // whether the mean is wanted, or each sample's loss
};

namespace detail {

inline void check_elementwise_loss(const char* operation, const Shape& x, const Shape& target) {
  require_axes(operation, "[K B ...]", x.rank() >= 2, x);
  require<ShapeError>(target == x, operation, ": x is ", x, ", target ", target,
                      "; shapes must be equal, nothing is broadcast");
  require_elements(operation, x);
}

/// The losses of samples where the loss of (x, target) is that of (target, x).
template <class T, class D>
[[nodiscard]] Variable<Accumulate<T>, D> symmetric_loss(const char* operation, ElementLoss kind,
                                                        const Variable<T, D>& x, const Variable<T, D>& target) {
  check_elementwise_loss(operation, x.shape(), target.shape());
  const ElementwiseLoss<Accumulate<T>, D> of{kind};
  const auto a = x.value(), b = target.value();
  return record(
      operation, elementwise_loss_forward(a, b, of),
      [a, b, of, da = x.edge(), db = target.edge()](Tensor<Accumulate<T>, D> dlosses) {
        const auto add = [&](const Edge<T, D>& edge, const Tensor<T, D>& from, const Tensor<T, D>& to) {
          if (!edge.needed()) return;
          auto sink = edge.sink(from.shape());
          elementwise_loss_backward(from, to, of, dlosses, sink);
        };
        add(da, a, b);
        add(db, b, a);
      },
      x, target);
}

/// Data on the tape of x.
template <class T, class D>
[[nodiscard]] Variable<T, D> data_beside(const Variable<T, D>& x, const Tensor<T, D>& data) {
  return Variable<T, D>({data}, x.recording(), -1);
}

}  // namespace detail

/// (x - target)^2 for x and target [K, B, ...] of one shape: the mean over all elements of a member's minibatch, [K],
/// or over each sample's, [K, B]. A target that wants a gradient gets one. Throws ShapeError.
template <class T, class D>
[[nodiscard]] Variable<Accumulate<T>, D> mse_loss(const Variable<T, D>& x, const Variable<T, D>& target,
                                                  LossOptions options = {}) {
  return detail::reduced(detail::symmetric_loss("mse_loss", ElementLoss::squared, x, target), options.reduction);
}

/// With a target that is data.
template <class T, class D>
[[nodiscard]] Variable<Accumulate<T>, D> mse_loss(const Variable<T, D>& x, const Tensor<T, D>& target,
                                                  LossOptions options = {}) {
  return mse_loss(x, detail::data_beside(x, target), options);
}

/// |x - target|, otherwise as mse_loss; its derivative at 0 is 0.
template <class T, class D>
[[nodiscard]] Variable<Accumulate<T>, D> l1_loss(const Variable<T, D>& x, const Variable<T, D>& target,
                                                 LossOptions options = {}) {
  return detail::reduced(detail::symmetric_loss("l1_loss", ElementLoss::absolute, x, target), options.reduction);
}

/// With a target that is data.
template <class T, class D>
[[nodiscard]] Variable<Accumulate<T>, D> l1_loss(const Variable<T, D>& x, const Tensor<T, D>& target,
                                                 LossOptions options = {}) {
  return l1_loss(x, detail::data_beside(x, target), options);
}

/// -(p t log sigmoid(x) + (1 - t) log(1 - sigmoid(x))) for logits x [K, B, ..., C] and targets t in [0, 1] of one
/// shape, which are data, with positive weights p [C]: the mean over all elements of a member's minibatch, [K], or over
/// each sample's, [K, B]. Finite, with a gradient of full precision, for logits of any size. Throws ShapeError, and on
/// the CPU OptionError for a p that is negative or not finite.
template <class T, class D>
[[nodiscard]] Variable<Accumulate<T>, D> binary_cross_entropy_with_logits(
    const Variable<T, D>& x, const Tensor<T, D>& targets,
    const BinaryCrossEntropyOptions<Accumulate<T>, D>& options = {}) {
  constexpr const char* name = "binary_cross_entropy_with_logits";
  detail::check_elementwise_loss(name, x.shape(), targets.shape());
  const auto& positive = options.positive_weight;
  require<ShapeError>(positive.empty() || positive.shape() == Shape{x.shape()[-1]}, name, ": positive_weight is ",
                      positive.shape(), ", the last axis of x ", x.shape(), " has ", x.shape()[-1],
                      " columns; expected a weight for each");
  const ElementwiseLoss<Accumulate<T>, D> of{ElementLoss::logistic, packed(positive)};
  const auto logits = x.value(), wanted = packed(targets);
  auto losses = record(
      name, elementwise_loss_forward(logits, wanted, of),
      [logits, wanted, of, dx = x.edge()](Tensor<Accumulate<T>, D> dlosses) {
        auto sink = dx.sink(logits.shape());
        elementwise_loss_backward(logits, wanted, of, dlosses, sink);
      },
      x, targets, positive);
  return detail::reduced(std::move(losses), options.reduction);
}

}  // namespace lpw::inline LPW_ABI
