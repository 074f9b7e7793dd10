// Exponential moving average of all weights (EMA), of which recent weights have the largest shares.
#pragma once

#include <array>
#include <cmath>
#include <optional>
#include <utility>

#include <lpw/optim/averages/average.hpp>
#include <lpw/tensor/float_bits.hpp>

namespace lpw::inline LPW_ABI::optim {

/// The decays of an exponential average.
struct EmaOptions {
  double decay = 0.999;                   // the past's share in an update, from 0 to below 1
  std::optional<double> late_decay = {};  // the same while there are late-phase weights; none: decay
  bool bias_correction = true;            // false: the first weights have the share that would be the past's
};

/// Throws OptionError for a decay outside of [0, 1).
inline void validate(const EmaOptions& o) {
  for (const double decay : {o.decay, o.late_decay.value_or(o.decay)})
    require<OptionError>(is_finite(decay) && decay >= 0 && decay < 1, "ExponentialAverage: decay ", decay,
                         "; expected 0 or more, and below 1");
}

/// With decays d_i of the updates i = 1..t, of weights w_i: sum_i w_i (1 - d_i) prod_{j>i} d_j / (1 - prod_j d_j), kept
/// as the running average that it is: average += (w - average) (1 - d_t) / (1 - prod_j d_j). Without bias correction,
/// average += (w - average) (1 - d_t) from the first weights on, as PyTorch's swa_utils does. A decay of 0 gives the
/// last weights, bit for bit.
template <class W, class D>
class ExponentialAverage final : public Average<W, D> {
  using Base = Average<W, D>;

 public:
  /// Throws OptionError as validate() does.
  template <nn::Visitable M>
  explicit ExponentialAverage(M& network, const EmaOptions& options = {})
      : Base("ExponentialAverage", network, 1), options_(checked(options)) {}
  /// For what is no module: says so.
  template <nn::detail::NoModule M>
  explicit ExponentialAverage(M&, const EmaOptions& = {})
      : ExponentialAverage(nn::detail::not_a_module<M>().template as<ExponentialAverage>()) {}

  /// As they were given.
  [[nodiscard]] const EmaOptions& options() const { return options_; }

 private:
  void take(const typename Base::Pair& weights) override { this->move(weights, share()); }

  /// Of the last weights in the average.
  [[nodiscard]] double share() const {
    const double decay = this->released() ? late_decay() : options_.decay;
    if (this->updates() == 1 || decay == 0) return 1;
    return options_.bias_correction ? (1 - decay) / total_share() : 1 - decay;
  }
  /// 1 - prod_j d_j.
  [[nodiscard]] double total_share() const {
    const AverageCounts counts = this->counts();
    const std::array<std::pair<double, std::int64_t>, 2> powers{
        {{options_.decay, counts.updates - counts.late_updates}, {late_decay(), counts.late_updates}}};
    double logarithm = 0;
    for (const auto& [decay, count] : powers) {
      if (count == 0) continue;
      if (decay == 0) return 1;
      logarithm += static_cast<double>(count) * std::log(decay);
    }
    return -std::expm1(logarithm);
  }
  [[nodiscard]] double late_decay() const { return options_.late_decay.value_or(options_.decay); }

  static const EmaOptions& checked(const EmaOptions& o) {
    validate(o);
    return o;
  }

  EmaOptions options_;
};

template <nn::Visitable M>
ExponentialAverage(M&, const EmaOptions&) -> ExponentialAverage<nn::WeightOf<M>, typename M::device_type>;
template <nn::Visitable M>
ExponentialAverage(M&) -> ExponentialAverage<nn::WeightOf<M>, typename M::device_type>;
template <nn::detail::NoModule M>
ExponentialAverage(M&, const EmaOptions& = {}) -> ExponentialAverage<float, Cpu>;

}  // namespace lpw::inline LPW_ABI::optim
