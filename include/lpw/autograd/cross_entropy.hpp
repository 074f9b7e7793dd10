// Softmax cross-entropy with integer labels.
#pragma once

#include <lpw/autograd/elementwise.hpp>
#include <lpw/tensor/float_bits.hpp>

namespace lpw::inline LPW_ABI {

/// See cross_entropy.
struct CrossEntropyOptions {
  double label_smoothing = 0;
};

/// Each member's mean loss over its minibatch, [K], from logits [K, B, classes] and labels [K, B]; backward of it is
/// backward of the sum over the members (Algorithm 1). Targets are (1 - s) [c = label] + s / classes. Throws
/// ShapeError, or OptionError unless 0 <= s < 1.
template <class T, class D>
[[nodiscard]] Variable<Accumulate<T>, D> cross_entropy(const Variable<T, D>& logits,
                                                       const Tensor<std::int32_t, D>& labels,
                                                       CrossEntropyOptions options = {}) {
  const Shape& in = logits.shape();
  require<ShapeError>(in.rank() == 3 && labels.shape() == in.slice(0, 2), "cross_entropy: logits are ", in, ", labels ",
                      labels.shape(), "; expected [K B classes] and [K B]");
  detail::require_elements("cross_entropy", in);
  require<OptionError>(
      is_finite(options.label_smoothing) && options.label_smoothing >= 0 && options.label_smoothing < 1,
      "cross_entropy: label_smoothing ", options.label_smoothing, " is outside [0, 1)");
  auto forward = cross_entropy_forward(logits.value(), labels, options.label_smoothing);
  return record(
      {"cross_entropy", {{"label_smoothing", options.label_smoothing}}}, forward.loss,
      [labels, in, p = forward.probabilities, smoothing = options.label_smoothing,
       dx = logits.edge()](Tensor<Accumulate<T>, D> dloss) {
        auto target = dx.sink(in);
        cross_entropy_backward(p, labels, smoothing, dloss, target);
      },
      logits, labels);
}

}  // namespace lpw::inline LPW_ABI
