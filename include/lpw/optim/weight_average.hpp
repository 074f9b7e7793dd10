// Stochastic weight averaging (Izmailov et al. 2018) of all weights, base and late-phase.
#pragma once

#include <lpw/optim/averages/average.hpp>

namespace lpw::inline LPW_ABI::optim {

/// Stochastic weight averaging has none.
struct SwaOptions {};

/// There is nothing in them that cannot be.
inline void validate(const SwaOptions&) {}

/// The mean of the weights at all updates: average += (weights - average) / (updates so far + 1).
template <class W, class D>
class WeightAverage final : public Average<W, D> {
  using Base = Average<W, D>;

 public:
  /// Of a network's weights, of which none are averaged yet.
  template <nn::Visitable M>
  explicit WeightAverage(M& network, const SwaOptions& = {}) : Base("WeightAverage", network, 1) {}
  /// For what is no module: says so.
  template <nn::detail::NoModule M>
  explicit WeightAverage(M&, const SwaOptions& = {})
      : WeightAverage(nn::detail::not_a_module<M>().template as<WeightAverage>()) {}

 private:
  void take(const typename Base::Pair& weights) override {
    this->move(weights, 1 / static_cast<double>(this->updates()));
  }
};

template <nn::Visitable M>
WeightAverage(M&) -> WeightAverage<nn::WeightOf<M>, typename M::device_type>;
template <nn::detail::NoModule M>
WeightAverage(M&, const SwaOptions& = {}) -> WeightAverage<float, Cpu>;

}  // namespace lpw::inline LPW_ABI::optim
