// Prediction with a network whose dropout stays active (MC-dropout, Gal and Ghahramani 2016): the mean of the
// probabilities of several samples, each with masks of its own. Batch norms take their running statistics.
#pragma once

#include <lpw/late_phase/predict.hpp>

namespace lpw::inline LPW_ABI {

/// The tape of sample `sample`: evaluation with dropout. `random` is a stream of its own, such as
/// Philox(seed, Stream::dropout_sample).
[[nodiscard]] inline Tape dropout_tape(const Philox& random, std::int64_t sample) {
  return Tape({.record = false, .mode = Mode::evaluation, .random = random.later(static_cast<std::uint32_t>(sample))});
}
/// How many steps of a stream so many samples take: minibatch b begins with the b-th so many.
[[nodiscard]] constexpr std::uint32_t dropout_steps(std::int64_t samples) {
  return static_cast<std::uint32_t>(samples);
}

/// Softmax outputs of a plain network for inputs [1, B, ...], `samples` times with dropout: [S, B, classes], in double
/// on the host. Throws OptionError for less than one sample.
template <nn::Module M>
[[nodiscard]] Tensor<double, Cpu> predict_dropout(M& network,
                                                  const Tensor<typename M::value_type, typename M::device_type>& inputs,
                                                  std::int64_t samples, const Philox& random) {
  nn::require_all_members(nn::member_share(network), "predict_dropout");
  require<OptionError>(samples >= 1, "predict_dropout: ", samples, " samples; expected at least 1");
  require<ShapeError>(inputs.shape().rank() >= 2 && inputs.dim(0) == 1 && nn::members(network) == 1,
                      "predict_dropout: expected a plain network and inputs [1 B ...], got ", nn::members(network),
                      " members and ", inputs.shape());
  Tensor<double, Cpu> result;
  for (std::int64_t s = 0; s < samples; ++s) {
    const auto logits = to_host(network.forward(dropout_tape(random, s).input(inputs)).value());
    const auto probabilities = softmax_rows(logits.reshaped(logits.shape().slice(1, 3)));
    if (s == 0) result = Tensor<double, Cpu>(probabilities.shape().prepend(samples));
    auto row = result.rows(s, 1).reshaped(probabilities.shape());
    copy(probabilities, row);
  }
  return result;
}
/// For what is no module: says so.
template <nn::detail::NoForward M>
auto predict_dropout(M&, auto&&...) {
  return nn::detail::not_a_module<M>();
}

}  // namespace lpw::inline LPW_ABI
