// What all optimizers are: the flat stores they step, states in the form of the weights, rates per store, and clipping.
#pragma once

#include <algorithm>
#include <cmath>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <lpw/optim/named_state.hpp>
#include <lpw/optim/step_stores.hpp>
#include <lpw/tensor/float_bits.hpp>

namespace lpw::inline LPW_ABI::optim {

/// How the members' gradients of the shared base weights combine: summed (gamma_theta = 1) or averaged (gamma_theta =
/// 1/K).
enum class BaseGradient { sum, mean };

namespace detail {

inline void require_valid(const char* optimizer, const Rates& rates) {
  for (const double value : {rates.learning_rate, rates.weight_decay})
    require<OptionError>(is_finite(value), optimizer, ": a learning rate or weight decay is ", value);
  require<OptionError>(rates.learning_rate >= 0, optimizer, ": learning rate ", rates.learning_rate, " is negative");
  require<OptionError>(rates.weight_decay >= 0, optimizer, ": weight decay ", rates.weight_decay, " is negative");
}

}  // namespace detail

/// Steps since the states of each store were zero; stay 0 where an optimizer does not need them.
struct StepCounts {
  std::int64_t base = 0, late = 0;
  [[nodiscard]] bool operator==(const StepCounts&) const = default;
};

/// An optimizer of all weights of a network. States and step counts are all that changes in the course of a run. A step
/// is advance(...), which counts and puts the rates where the device reads them, and then apply(), which is work on the
/// device only: what a device may record once and replay, whatever the rates become.
template <class W, class D>
class Optimizer {
 public:
  using Flat = nn::FlatWeights<W, D>;
  virtual ~Optimizer() = default;

  /// One iteration of Algorithm 1's updates from the gradients accumulated since the last step, which are zeroed.
  /// The factors multiply the learning rates: what schedules give, for coefficients of templates with rates of their
  /// own the late-phase weights' unless it is given. Throws Error if the network has other weights by now: it was
  /// assigned to, collapsed, or released elsewhere.
  void step(double base_factor, double late_factor, std::optional<double> coefficient_factor = {}) {
    advance(base_factor, late_factor, coefficient_factor);
    apply();
  }
  void step(double factor = 1) { step(factor, factor); }

  /// Counts a step with these factors. Throws as step does.
  void advance(double base_factor = 1, double late_factor = 1, std::optional<double> coefficient_factor = {}) {
    require_current();
    count();
    base_rate_.set(rates().learning_rate * base_factor);
    late_rate_.set(late_rates().learning_rate * late_factor);
    coefficient_rate_.set(coefficient_rates().learning_rate * coefficient_factor.value_or(late_factor));
  }
  /// The updates of the step that advance() has counted. Throws as step does.
  void apply() {
    require_current();
    const Tensor<W, D> factor = clipping();
    if (!rules_.coefficients || !has_coefficients(*flat_)) return update(all_stores(), factor);
    const auto apart = taken_apart(*flat_, coefficient_stores());  // as they are before the others' step
    update(all_stores(), factor);
    update(apart, factor);
    put_back(apart, *flat_, all_stores());
  }

  /// What it is called: "Sgd", "Adam".
  [[nodiscard]] const char* name() const { return name_; }
  /// The stores it steps.
  [[nodiscard]] const Flat& weights() const { return *flat_; }
  /// The same, for what moves the weights between steps. Throws as step does.
  [[nodiscard]] const std::shared_ptr<Flat>& current_weights() const {
    require_current();
    return flat_;
  }
  /// Whether this optimizer's weights are in these stores.
  [[nodiscard]] bool follows(const Flat& flat) const { return &flat == flat_.get(); }
  /// Follows the network to new stores; called by release and collapse. What is new there starts with zero states.
  virtual void rearrange(const Flat& from, const std::shared_ptr<Flat>& to) {
    for (auto& state : states_) state.pair = nn::rearrange(state.pair, from, *to, to->zeros_like());
    flat_ = to;
  }
  /// Forgets all steps: states and counts are those of a new optimizer.
  void clear_states() {
    for (auto& [name, pair] : states_) fill(pair.base, W(0)), fill(pair.late, W(0));
    steps_ = {};
  }

  /// What a checkpoint holds, beside steps(): copy to and from the tensors.
  [[nodiscard]] std::vector<NamedState<W, D>>& states() { return states_; }
  [[nodiscard]] StepCounts steps() const { return steps_; }
  void set_steps(StepCounts steps) { steps_ = steps; }

  /// Of base weights, of late-phase weights, and of coefficients of templates, which have those of late-phase weights
  /// where none are given.
  [[nodiscard]] const Rates& rates() const { return rules_.base; }
  [[nodiscard]] const Rates& late_rates() const { return rules_.late ? *rules_.late : rules_.base; }
  [[nodiscard]] const Rates& coefficient_rates() const {
    return rules_.coefficients ? *rules_.coefficients : late_rates();
  }

 protected:
  /// What the options of all optimizers have.
  struct Rules {
    Rates base;
    std::optional<Rates> late, coefficients;
    BaseGradient base_gradient;
    double clip;
  };
  template <class Options>
  [[nodiscard]] static Rules rules(const Options& o) {
    return {{o.learning_rate, o.weight_decay}, o.late, o.coefficients, o.base_gradient, o.clip};
  }

  template <nn::Visitable M>
  Optimizer(const char* name, const Rules& rules, M& network, std::initializer_list<const char*> states)
      : name_(name), rules_(checked(name, rules)), flat_(nn::flatten(network)) {
    for (const char* state : states) states_.push_back({state, flat_->zeros_like()});
    base_rate_.set(rates().learning_rate);
    late_rate_.set(late_rates().learning_rate);
    coefficient_rate_.set(coefficient_rates().learning_rate);
  }
  Optimizer(const Optimizer&) = delete;  // states and rates would be shared
  Optimizer& operator=(const Optimizer&) = delete;
  Optimizer(Optimizer&&) = default;
  Optimizer& operator=(Optimizer&&) = default;

  virtual void count() {}
  /// Steps these weights; clipping() is the factor of their gradients.
  virtual void update(const StepStores<W, D>& stores, const Tensor<W, D>& clipping) = 0;

 private:
  const char* name_;
  Rules rules_;  // checked before the network is touched

 protected:
  /// gamma_theta.
  [[nodiscard]] double base_scale() const {
    return rules_.base_gradient == BaseGradient::mean ? 1 / static_cast<double>(flat_->all_members()) : 1;
  }
  /// gamma_theta K: the base gradient of these stores over that of a plain network, where the members agree.
  [[nodiscard]] double base_gradient_size(const Flat& flat) const {
    return rules_.base_gradient == BaseGradient::mean ? 1 : static_cast<double>(flat.all_members());
  }
  /// The factor [1] by which clipping shortens all gradients, empty where there is none. The norm is that of what steps
  /// the weights: the base gradient times gamma_theta together with the late-phase gradients of all members. For a
  /// plain network that is PyTorch's clip_grad_norm_. Members that other processes hold count.
  [[nodiscard]] Tensor<W, D> clipping() const {
    if (rules_.clip == 0) return {};
    const ScaledGradient<W, D> base{flat_->gradient.base, base_scale()};
    if (!flat_->share) return clip_factor(base, ScaledGradient<W, D>{flat_->gradient.late}, rules_.clip);
    const double square = flat_->share->sum(squared_norm(to_host(flat_->gradient.late)));
    return clip_factor(base, ScaledGradient<W, D>{full<W, D>({1, 1}, static_cast<W>(std::sqrt(square)))}, rules_.clip);
  }

  std::shared_ptr<Flat> flat_;
  std::vector<NamedState<W, D>> states_;
  StepCounts steps_;

 private:
  [[nodiscard]] StepStores<W, D> all_stores() const {
    return {flat_->value, flat_->gradient, states_, rates(), late_rates(), base_rate_.there, late_rate_.there};
  }
  /// The same weights, all of them with the coefficients' rates.
  [[nodiscard]] StepStores<W, D> coefficient_stores() const {
    const auto& [own, rate] = std::pair(coefficient_rates(), coefficient_rate_.there);
    return {flat_->value, flat_->gradient, states_, own, own, rate, rate};
  }

  /// Throws Error if the stores are no longer those of a network.
  void require_current() const {
    require(!flat_->retired, name_,
            ": the network has been assigned to, collapsed, released without this optimizer, flattened together with "
            "or as a part of another, or is gone; make a new optimizer for it");
  }

  static const Rules& checked(const char* name, const Rules& o) {
    detail::require_valid(name, o.base);
    if (o.late) detail::require_valid(name, *o.late);
    if (o.coefficients) detail::require_valid(name, *o.coefficients);
    require<OptionError>(o.clip >= 0 && is_finite(o.clip), name, ": clip ", o.clip,
                         "; expected a norm above 0, or 0 for none");
    return o;
  }

  /// A rate where the device reads it, written only when it changes.
  struct DeviceRate {
    void set(double rate) {
      if (value == rate) return;
      fill(there, rate);
      value = rate;
    }
    Tensor<double, D> there{{1}};
    std::optional<double> value = {};  // none yet
  };
  DeviceRate base_rate_, late_rate_, coefficient_rate_;
};

}  // namespace lpw::inline LPW_ABI::optim
