// Dropout. Nothing is saved: backward draws the mask again.
#pragma once

#include <lpw/autograd/tape.hpp>
#include <lpw/tensor/float_bits.hpp>

namespace lpw::inline LPW_ABI {

namespace detail {

/// The same mask for x [1, ...] of a part of the samples as they have in the whole minibatch. What is not of the
/// samples, so that their number does not divide its elements, drops out alike in all parts.
inline void number_in_whole(DropoutMask& mask, const SamplePart& part, const Shape& x) {
  const std::int64_t samples = part.steps * part.count, elements = x.size_from(1);
  if (samples == 0 || elements % samples != 0) return;
  const std::int64_t sample = elements / samples;
  mask.runs = part.steps, mask.before = part.before * sample, mask.whole = part.whole * sample;
}

}  // namespace detail

/// In training, and in evaluation on a tape with random numbers (samples of MC-dropout), each element becomes 0 with
/// probability `rate`, else x / (1 - rate); otherwise x itself. The mask depends on the tape's random seed and step,
/// the place of this call in the pass, the member and the element, whatever part of a minibatch is here. Throws
/// OptionError unless 0 <= rate < 1, or in training on a tape without random numbers.
template <class T, class D>
[[nodiscard]] Variable<T, D> dropout(const Variable<T, D>& x, double rate) {
  require<OptionError>(is_finite(rate) && rate >= 0 && rate < 1, "dropout: rate ", rate, " is outside [0, 1)");
  auto& recording = *x.recording();
  const bool sampled = x.mode() == Mode::evaluation && recording.options.random.has_value();
  if (rate == 0 || (x.mode() != Mode::training && !sampled)) return x;
  require<OptionError>(recording.options.random.has_value(),
                       "dropout: the tape has no random numbers; make it as "
                       "Tape({.random = Philox(seed, Stream::dropout, iteration)})");
  DropoutMask mask{*recording.options.random, recording.random_operations++,
                   recording.options.first_member + recording.options.members.first, rate};
  detail::number_in_whole(mask, recording.options.part, x.shape());
  Gradient<T, D> y{Tensor<T, D>(x.shape()), false};
  apply_dropout(x.value(), mask, y);
  return record(
      {"dropout", {{"rate", rate}}}, y.tensor,
      [mask, dx = x.edge()](Tensor<T, D> dy) {
        auto target = dx.sink(dy.shape());
        apply_dropout(dy, mask, target);
      },
      x);
}

}  // namespace lpw::inline LPW_ABI
