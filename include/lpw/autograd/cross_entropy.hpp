// Softmax cross-entropy with integer labels, or with probabilities.
//
// The plain mean takes one pass over the logits (primitives/cross_entropy.hpp) and keeps the probabilities; all else is
// a loss for each sample (primitives/softmax_loss.hpp), of which sample_mean makes the member's.
#pragma once

#include <concepts>
#include <cstdint>
#include <optional>
#include <type_traits>

#include <lpw/autograd/sample_mean.hpp>
#include <lpw/primitives/softmax_loss.hpp>
#include <lpw/tensor/float_bits.hpp>

namespace lpw::inline LPW_ABI {

/// See cross_entropy.
template <class W, class D>
struct CrossEntropyOptions {
  double label_smoothing = 0;                               // s in [0, 1]
  Tensor<W, D> class_weights = {};                          // w [classes], not negative; empty: ones
  std::optional<std::int32_t> ignore_index = std::nullopt;  // samples of this label are left out
  ReductionOption reduction = Reduction::mean;              // whether the mean is wanted, or each sample's loss
};

namespace detail {

template <class W, class D>
void check_cross_entropy(const Shape& logits, const CrossEntropyOptions<W, D>& options) {
  require_elements("cross_entropy", logits);
  require<OptionError>(
      is_finite(options.label_smoothing) && options.label_smoothing >= 0 && options.label_smoothing < 1,
      "cross_entropy: label_smoothing ", options.label_smoothing, " is outside [0, 1)");
  const auto& weights = options.class_weights;
  require<ShapeError>(weights.empty() || weights.shape() == Shape{logits[2]}, "cross_entropy: class_weights are ",
                      weights.shape(), ", the logits have ", logits[2], " classes; expected a weight for each");
}

/// The mean loss with labels alone.
template <class T, class D>
[[nodiscard]] Variable<Accumulate<T>, D> plain_cross_entropy(const Variable<T, D>& logits,
                                                             const Tensor<std::int32_t, D>& labels, double smoothing) {
  auto forward = cross_entropy_forward(logits.value(), labels, smoothing);
  return record(
      {"cross_entropy", {{"label_smoothing", smoothing}}}, forward.loss,
      [labels, in = logits.shape(), p = forward.probabilities, smoothing,
       dx = logits.edge()](Tensor<Accumulate<T>, D> dloss) {
        auto target = dx.sink(in);
        cross_entropy_backward(p, labels, smoothing, dloss, target);
      },
      logits, labels);
}

/// The mean loss or those of the samples, with any targets.
template <class T, class D>
[[nodiscard]] Variable<Accumulate<T>, D> softmax_loss(const Variable<T, D>& logits, const SoftmaxTargets<T, D>& targets,
                                                      Reduction reduction) {
  const auto value = logits.value();
  const auto forward = softmax_loss_forward(value, targets);
  auto losses = record(
      {"cross_entropy_samples",
       {{"label_smoothing", targets.smoothing},
        {"ignores", std::int64_t{targets.ignored.has_value()}},
        {"ignore_index", std::int64_t{targets.ignored.value_or(0)}}}},
      forward.losses,
      [value, targets, statistics = forward.statistics, dx = logits.edge()](Tensor<Accumulate<T>, D> dlosses) {
        auto target = dx.sink(value.shape());
        softmax_loss_backward(value, targets, statistics, dlosses, target);
      },
      logits, targets.labels, targets.probabilities, targets.class_weights);
  return reduced(std::move(losses), reduction, forward.weights);
}

/// What can be done about labels [K, T, B] of logits [K, T B, classes].
[[nodiscard]] inline std::string label_cure(const Shape& logits, const Shape& labels) {
  const bool parted =
      logits.rank() == 3 && labels.rank() > 2 && labels[0] == logits[0] && labels.size_from(1) == logits[1];
  return parted ? to_text("; reshape the labels to [K, T B]: reshaped({", logits[0], ", ", logits[1], "})") : "";
}

}  // namespace detail

/// Each member's mean loss over its minibatch, [K], from logits [K, B, classes] and labels [K, B]; backward of it is
/// backward of the sum over the members (Algorithm 1). Targets are t_c = (1 - s) [c = label] + s / classes, a sample's
/// loss is -sum_c w_c t_c log softmax(logits)_c with class weights w, and the mean is PyTorch's: the sum of the losses
/// over the sum of the weights of the samples' labels, with the label `ignore_index` among neither. A member of which
/// all samples are ignored has the loss 0 and no gradient, where PyTorch has NaN, which would spread from one member to
/// what all share. With Reduction::samples the losses themselves, [K, B], 0 for an ignored one. Throws ShapeError, or
/// OptionError unless 0 <= s < 1, and on the CPU for a weight that is negative or not finite.
template <class T, class D>
[[nodiscard]] Variable<Accumulate<T>, D> cross_entropy(const Variable<T, D>& logits,
                                                       const Tensor<std::int32_t, D>& labels,
                                                       const CrossEntropyOptions<Accumulate<T>, D>& options = {}) {
  const Shape& in = logits.shape();
  require<ShapeError>(in.rank() == 3 && labels.shape() == in.slice(0, 2), "cross_entropy: logits are ", in, ", labels ",
                      labels.shape(), "; expected [K B classes] and [K B]", detail::label_cure(in, labels.shape()));
  detail::check_cross_entropy(in, options);
  const bool plain = options.class_weights.empty() && !options.ignore_index && options.reduction == Reduction::mean;
  if (plain) return detail::plain_cross_entropy(logits, packed(labels), options.label_smoothing);
  const SoftmaxTargets<T, D> targets{
      packed(labels), {}, packed(options.class_weights), options.label_smoothing, options.ignore_index};
  return detail::softmax_loss(logits, targets, options.reduction);
}

/// Says in one line that labels are of another type.
template <class T, class D, std::integral I>
  requires(!std::is_same_v<I, std::int32_t>)
Variable<Accumulate<T>, D> cross_entropy(const Variable<T, D>& logits, const Tensor<I, D>&,
                                         const CrossEntropyOptions<Accumulate<T>, D>& = {}) {
  require_int32<I>();
  return detail::plain_cross_entropy(logits, Tensor<std::int32_t, D>(), 0);
}

/// The same with probabilities p [K, B, classes] for labels, as of mixup or a teacher, which are data: targets are
/// (1 - s) p + s / classes, and the mean is over the samples, whatever w, as PyTorch's. Throws ShapeError, or
/// OptionError for `ignore_index`, which probabilities have none of.
template <class T, class D>
[[nodiscard]] Variable<Accumulate<T>, D> cross_entropy(const Variable<T, D>& logits, const Tensor<T, D>& probabilities,
                                                       const CrossEntropyOptions<Accumulate<T>, D>& options = {}) {
  const Shape& in = logits.shape();
  require<ShapeError>(in.rank() == 3 && probabilities.shape() == in, "cross_entropy: logits are ", in,
                      ", probabilities ", probabilities.shape(), "; expected both [K B classes]");
  detail::check_cross_entropy(in, options);
  require<OptionError>(!options.ignore_index,
                       "cross_entropy: ignore_index is a label, and there are probabilities; leave it out");
  const SoftmaxTargets<T, D> targets{
      {}, packed(probabilities), packed(options.class_weights), options.label_smoothing, {}};
  return detail::softmax_loss(logits, targets, options.reduction);
}

}  // namespace lpw::inline LPW_ABI
