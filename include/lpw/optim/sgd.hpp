// Stochastic gradient descent with Nesterov momentum, over the flat stores: base weights and late-phase weights each
// have their own rate and decay. Every member has its own momentum.
#pragma once

#include <lpw/optim/optimizer.hpp>

namespace lpw::inline LPW_ABI::optim {

/// SGD's rates, momentum and weight decay; of late-phase weights and coefficients too, where they differ.
struct SgdOptions {
  double learning_rate = 0.1;              // of base weights
  double momentum = 0.9;                   // 0: none
  bool nesterov = true;                    // looks ahead by the momentum
  double weight_decay = 5e-4;              // of base weights
  std::optional<Rates> late = {};          // of late-phase weights; none: as the base weights
  std::optional<Rates> coefficients = {};  // of templates' coefficients; none: of the weights that they are among
  BaseGradient base_gradient = BaseGradient::sum;   // summed over members, or their mean
  double clip = 0;                                  // largest norm of all gradients together; 0: any
  std::vector<ParameterGroup> groups = {};          // parameters with rates of their own, or frozen
  FactorDecay factor_decay = FactorDecay::to_zero;  // what weight decay pulls rank-1 factors to
};

/// v = momentum v + g + weight_decay w; w -= learning_rate (nesterov ? g + weight_decay w + momentum v : v), as
/// PyTorch's.
template <class W, class D>
class Sgd final : public Optimizer<W, D> {
  using Base = Optimizer<W, D>;

 public:
  /// Throws OptionError for what cannot be: a negative rate, momentum outside of [0, 1), Nesterov's without momentum.
  template <nn::Visitable M>
  explicit Sgd(M& network, const SgdOptions& options = {})
      : Base("Sgd", Base::rules(checked(options)), network, {"velocity"}), options_(options) {}
  /// For what is no module: says so.
  template <nn::detail::NoModule M>
  explicit Sgd(M&, const SgdOptions& = {}) : Sgd(nn::detail::not_a_module<M>().template as<Sgd>()) {}

  /// As they were given; rules() has what was changed since.
  [[nodiscard]] const SgdOptions& options() const { return options_; }

  /// Momentum, in the form of the weights.
  [[nodiscard]] nn::FlatPair<W, D>& velocity() { return this->states_[0].pair; }

 private:
  void update(const StepStores<W, D>& s, const Tensor<W, D>& clipping) override {
    const auto& velocity = s.states[0].pair;
    SgdStep base{s.base.learning_rate, options_.momentum,  options_.nesterov,
                 s.base.weight_decay,  this->base_scale(), s.decay_target};
    SgdStep late{s.late.learning_rate, options_.momentum, options_.nesterov, s.late.weight_decay, 1, s.decay_target};
    sgd_step(SgdStore<W, D>{s.value.base, s.gradient.base, velocity.base, base, s.base_rate},
             SgdStore<W, D>{s.value.late, s.gradient.late, velocity.late, late, s.late_rate}, clipping);
  }

  static const SgdOptions& checked(const SgdOptions& o) {
    require<OptionError>(is_finite(o.momentum) && o.momentum >= 0 && o.momentum < 1, "Sgd: momentum ", o.momentum,
                         " is outside [0, 1)");
    require<OptionError>(!o.nesterov || o.momentum > 0, "Sgd: Nesterov momentum needs momentum > 0");
    return o;
  }

  SgdOptions options_;
};

template <nn::Visitable M>
Sgd(M&, const SgdOptions&) -> Sgd<nn::WeightOf<M>, typename M::device_type>;
template <nn::Visitable M>
Sgd(M&) -> Sgd<nn::WeightOf<M>, typename M::device_type>;
template <nn::detail::NoModule M>
Sgd(M&, const SgdOptions& = {}) -> Sgd<float, Cpu>;

}  // namespace lpw::inline LPW_ABI::optim
