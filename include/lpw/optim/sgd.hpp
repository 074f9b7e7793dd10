// Stochastic gradient descent with Nesterov momentum, over the flat stores: base weights and late-phase weights each have their own rate
// and decay. Every member has its own momentum.
#pragma once

#include <lpw/optim/optimizer.hpp>

namespace lpw::inline LPW_ABI::optim {

struct SgdOptions {
  double learning_rate = 0.1;      // base weights
  double late_learning_rate = -1;  // late-phase weights; negative: as the base weights
  double momentum = 0.9;           //
  bool nesterov = true;            //
  double weight_decay = 5e-4;      // base weights
  double late_weight_decay = -1;   // late-phase weights; negative: as the base weights
  BaseGradient base_gradient = BaseGradient::sum;
  double clip = 0;  // largest norm of all gradients together; 0: any
};

template <class W, class D>
class Sgd : public FlatOptimizer<SgdOptions, W, D> {
  using Base = FlatOptimizer<SgdOptions, W, D>;

 public:
  template <nn::Visitable M>
  explicit Sgd(M& network, const SgdOptions& options = {}) : Base("Sgd", checked(options), network, {"velocity"}) {}

  /// One iteration of Algorithm 1's updates from the gradients accumulated since the last step, which are zeroed. `base_factor` and
  /// `late_factor` multiply the learning rates: what a schedule gives. Throws Error if the network has other weights
  /// by now: it was assigned to, collapsed, or released elsewhere.
  void step(double base_factor, double late_factor) {
    advance();
    apply(base_factor, late_factor);
  }
  void step(double factor = 1) { step(factor, factor); }

  void advance() { this->require_current(); }
  void apply(double base_factor, double late_factor) {
    this->require_current();
    const SgdOptions& o = this->options_;
    const auto &value = this->flat_->value, &gradient = this->flat_->gradient, &velocity = this->velocity();
    const SgdStep base{o.learning_rate * base_factor, o.momentum, o.nesterov, o.weight_decay, this->base_scale()};
    const SgdStep late{this->late_learning_rate() * late_factor, o.momentum, o.nesterov, this->late_weight_decay(), 1};
    sgd_step(SgdStore<W, D>{value.base, gradient.base, velocity.base, base}, SgdStore<W, D>{value.late, gradient.late, velocity.late, late},
             this->clipping());
  }

  /// Momentum, in the form of the weights.
  [[nodiscard]] nn::FlatPair<W, D>& velocity() { return this->states_[0].pair; }

 private:
  static const SgdOptions& checked(const SgdOptions& o) {
    require<OptionError>(is_finite(o.momentum) && o.momentum >= 0 && o.momentum < 1, "Sgd: momentum ", o.momentum, " is outside [0, 1)");
    require<OptionError>(!o.nesterov || o.momentum > 0, "Sgd: Nesterov momentum needs momentum > 0");
    return o;
  }
};

template <nn::Visitable M>
Sgd(M&, const SgdOptions&) -> Sgd<nn::WeightOf<M>, typename M::device_type>;
template <nn::Visitable M>
Sgd(M&) -> Sgd<nn::WeightOf<M>, typename M::device_type>;
template <class M>  // for what is no module: says so
  requires(!nn::Visitable<M>)
Sgd(M&, const SgdOptions&)
->Sgd<typename nn::detail::NotAModule<M>::value_type, Cpu>;

}  // namespace lpw::inline LPW_ABI::optim
