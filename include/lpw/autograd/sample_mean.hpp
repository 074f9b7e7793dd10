// The mean of each member's losses over its minibatch, from a loss for each sample: the last step of every loss here
// but the plain cross-entropy, and of losses of one's own.
#pragma once

#include <string_view>
#include <type_traits>

#include <lpw/autograd/elementwise.hpp>
#include <lpw/primitives/sample_mean.hpp>

namespace lpw::inline LPW_ABI {

/// What a loss gives: each member's mean over its minibatch, [K], which backward takes the sum of (Algorithm 1), or the
/// losses of the samples, [K, B], of which sample_mean makes that.
enum class Reduction { mean, samples };

/// A Reduction among a loss's options.
class ReductionOption {
 public:
  /// Made of what it holds.
  constexpr ReductionOption(Reduction reduction) : value_(reduction) {}
  /// Ends the compilation with one line where a text is given, as in PyTorch.
  template <class Text>
    requires std::is_convertible_v<const Text&, std::string_view>
  constexpr ReductionOption(const Text&) {
    static_assert(std::is_void_v<Text>, "lpw: a reduction is lpw::Reduction::mean or lpw::Reduction::samples, no text");
  }
  /// Which of both.
  constexpr operator Reduction() const { return value_; }

 private:
  Reduction value_ = Reduction::mean;
};

namespace detail {

template <class W, class D>
[[nodiscard]] Variable<W, D> sample_mean(const Variable<W, D>& losses, SampleWeights<W, D> weights) {
  const Shape& in = losses.shape();
  require<ShapeError>(in.rank() == 2, "sample_mean: expected losses [K B], got ", in);
  require<ShapeError>(weights.values.empty() || weights.values.shape() == in, "sample_mean: losses are ", in,
                      ", weights ", weights.values.shape(), "; expected one for each loss");
  require_elements("sample_mean", in);
  require(weights.values.empty() || !losses.recording() || !losses.recording()->options.cut,
          "sample_mean: other processes have the rest of this minibatch, whose weights count in its mean; release "
          "members first, or take the mean without weights, ignored labels or class weights");
  weights.values = packed(weights.values);
  return record(
      {"sample_mean", {{"in_losses", std::int64_t{weights.in_losses}}}}, sample_mean_forward(losses.value(), weights),
      [weights, in, dx = losses.edge()](Tensor<W, D> dmean) {
        auto target = dx.sink(in);
        sample_mean_backward(dmean, weights, target);
      },
      losses, weights.values);
}

/// What a loss gives, from the losses of the samples, which hold their weights where there are any.
template <class W, class D>
[[nodiscard]] Variable<W, D> reduced(Variable<W, D> losses, Reduction reduction, const Tensor<W, D>& weights = {}) {
  return reduction == Reduction::samples ? std::move(losses) : sample_mean(losses, SampleWeights<W, D>{weights, true});
}

}  // namespace detail

/// sum_b weights_kb losses_kb / sum_b weights_kb, [K], for losses [K, B] and weights of one shape, which are data and
/// not negative: a mask, say. A loss of weight 0 counts 0 and has no gradient, be it infinite or NaN. A member whose
/// weights are all 0 has the mean 0 and no gradient. Throws ShapeError, and on the CPU OptionError for a weight that is
/// negative or not finite.
template <class W, class D>
[[nodiscard]] Variable<W, D> sample_mean(const Variable<W, D>& losses, const Tensor<W, D>& weights) {
  return detail::sample_mean(losses, SampleWeights<W, D>{weights});
}

/// The mean over b, [K], of losses [K, B]. Throws ShapeError.
template <class W, class D>
[[nodiscard]] Variable<W, D> sample_mean(const Variable<W, D>& losses) {
  return detail::sample_mean(losses, SampleWeights<W, D>());
}

}  // namespace lpw::inline LPW_ABI
