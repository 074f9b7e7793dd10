// Stochastic gradient descent with Nesterov momentum, over the flat stores: one step is one pass over the base weights and one over the
// late-phase weights, each with its own rate and decay. Every member has its own momentum.
#pragma once

#include <cmath>

#include <lpw/nn/flat_weights.hpp>

namespace lpw::optim {

/// How the members' gradients of the shared base weights combine: summed (gamma_theta = 1) or averaged (gamma_theta = 1/K).
enum class BaseGradient { sum, mean };

struct SgdOptions {
  double learning_rate = 0.1;      // base weights
  double late_learning_rate = -1;  // late-phase weights; negative: as the base weights
  double momentum = 0.9;           //
  bool nesterov = true;            //
  double weight_decay = 5e-4;      // base weights
  double late_weight_decay = -1;   // late-phase weights; negative: as the base weights
  BaseGradient base_gradient = BaseGradient::sum;
};

template <class W, class D>
class Sgd {
 public:
  template <nn::Visitable M>
  explicit Sgd(M& network, const SgdOptions& options = {})
      : options_(checked(options)), flat_(nn::flatten(network)), velocity_(flat_->zeros_like()) {}

  /// One iteration of Algorithm 1's updates from the gradients accumulated since the last step, which are zeroed. `base_factor` and
  /// `late_factor` multiply the learning rates: what a schedule gives. Throws Error if the network was collapsed or released elsewhere.
  void step(double base_factor, double late_factor) {
    require(!flat_->retired,
            "Sgd: the network has been collapsed, released without this optimizer, or flattened together with or as a part of another; "
            "make a new "
            "optimizer for it");
    const double members = static_cast<double>(flat_->members);
    const SgdStep base{options_.learning_rate * base_factor, options_.momentum, options_.nesterov, options_.weight_decay,
                       options_.base_gradient == BaseGradient::mean ? 1 / members : 1};
    const SgdStep late{late_learning_rate() * late_factor, options_.momentum, options_.nesterov, late_weight_decay(), 1};
    sgd_step(flat_->value.base, flat_->gradient.base, velocity_.base, base);
    sgd_step(flat_->value.late, flat_->gradient.late, velocity_.late, late);
  }
  void step(double factor = 1) { step(factor, factor); }

  /// Whether this optimizer's weights are in these stores.
  [[nodiscard]] bool follows(const nn::FlatWeights<W, D>& flat) const { return &flat == flat_.get(); }
  /// Follows the network to new stores; called by release. What is new there starts without momentum.
  void rearrange(const nn::FlatWeights<W, D>& from, const std::shared_ptr<nn::FlatWeights<W, D>>& to) {
    velocity_ = nn::rearrange(velocity_, from, *to, to->zeros_like());
    flat_ = to;
  }

  [[nodiscard]] const SgdOptions& options() const { return options_; }
  [[nodiscard]] double late_learning_rate() const {
    return options_.late_learning_rate < 0 ? options_.learning_rate : options_.late_learning_rate;
  }
  [[nodiscard]] double late_weight_decay() const {
    return options_.late_weight_decay < 0 ? options_.weight_decay : options_.late_weight_decay;
  }
  /// Momentum state, in the form of the weights.
  [[nodiscard]] nn::FlatPair<W, D>& velocity() { return velocity_; }

 private:
  static const SgdOptions& checked(const SgdOptions& o) {
    for (const double value : {o.learning_rate, o.late_learning_rate, o.weight_decay, o.late_weight_decay})
      require<OptionError>(std::isfinite(value), "Sgd: a learning rate or weight decay is ", value);
    require<OptionError>(o.learning_rate >= 0, "Sgd: learning rate ", o.learning_rate, " is negative");
    require<OptionError>(o.momentum >= 0 && o.momentum < 1, "Sgd: momentum ", o.momentum, " is outside [0, 1)");
    require<OptionError>(!o.nesterov || o.momentum > 0, "Sgd: Nesterov momentum needs momentum > 0");
    require<OptionError>(o.weight_decay >= 0, "Sgd: weight decay ", o.weight_decay, " is negative");
    return o;
  }

  SgdOptions options_;
  std::shared_ptr<nn::FlatWeights<W, D>> flat_;
  nn::FlatPair<W, D> velocity_;
};

template <nn::Visitable M>
Sgd(M&, const SgdOptions&) -> Sgd<nn::WeightOf<M>, typename M::device_type>;
template <nn::Visitable M>
Sgd(M&) -> Sgd<nn::WeightOf<M>, typename M::device_type>;

}  // namespace lpw::optim
