// What all optimizers share: the flat stores they step, states in the form of the weights, rates per store, and clipping.
//
// An optimizer is any type with step(base_factor, late_factor), follows, rearrange, states, steps and set_steps: a trainer, release and a
// checkpoint need no more. States and step counts are all that changes in the course of a run. step is advance(), which counts, and then
// apply(...), which is work on the device only: what a device may record once and replay.
#pragma once

#include <algorithm>
#include <cmath>
#include <string>
#include <utility>
#include <vector>

#include <lpw/nn/flat_weights.hpp>
#include <lpw/tensor/float_bits.hpp>

namespace lpw::inline LPW_ABI::optim {

/// How the members' gradients of the shared base weights combine: summed (gamma_theta = 1) or averaged (gamma_theta = 1/K).
enum class BaseGradient { sum, mean };

/// A state of an optimizer, such as momentum, in the form of the weights.
template <class W, class D>
struct NamedState {
  std::string name;
  nn::FlatPair<W, D> pair;
};

/// Steps since the states of each store were zero; stay 0 where an optimizer does not need them.
struct StepCounts {
  std::int64_t base = 0, late = 0;
  [[nodiscard]] bool operator==(const StepCounts&) const = default;
};

/// Options: an aggregate with learning_rate, late_learning_rate, weight_decay, late_weight_decay, base_gradient and clip.
template <class Options, class W, class D>
class FlatOptimizer {
 public:
  /// The stores it steps.
  [[nodiscard]] const nn::FlatWeights<W, D>& weights() const { return *flat_; }
  /// Whether this optimizer's weights are in these stores.
  [[nodiscard]] bool follows(const nn::FlatWeights<W, D>& flat) const { return &flat == flat_.get(); }
  /// Follows the network to new stores; called by release. What is new there starts with zero states.
  void rearrange(const nn::FlatWeights<W, D>& from, const std::shared_ptr<nn::FlatWeights<W, D>>& to) {
    for (auto& state : states_) state.pair = nn::rearrange(state.pair, from, *to, to->zeros_like());
    flat_ = to;
  }

  /// What a checkpoint holds, beside steps(): copy to and from the tensors.
  [[nodiscard]] std::vector<NamedState<W, D>>& states() { return states_; }
  [[nodiscard]] StepCounts steps() const { return steps_; }
  void set_steps(StepCounts steps) { steps_ = steps; }

  [[nodiscard]] const Options& options() const { return options_; }
  [[nodiscard]] double late_learning_rate() const {
    return options_.late_learning_rate < 0 ? options_.learning_rate : options_.late_learning_rate;
  }
  [[nodiscard]] double late_weight_decay() const {
    return options_.late_weight_decay < 0 ? options_.weight_decay : options_.late_weight_decay;
  }

 protected:
  template <nn::Visitable M>
  FlatOptimizer(const char* name, const Options& options, M& network, std::initializer_list<const char*> states)
      : name_(name), options_(checked(name, options)), flat_(nn::flatten(network)) {
    for (const char* state : states) states_.push_back({state, flat_->zeros_like()});
  }

  /// Throws Error if the stores are no longer those of a network.
  void require_current() const {
    require(!flat_->retired, name_,
            ": the network has been assigned to, collapsed, released without this optimizer, flattened together with or as a part of "
            "another, or is gone; make a new optimizer for it");
  }
  /// gamma_theta.
  [[nodiscard]] double base_scale() const {
    return options_.base_gradient == BaseGradient::mean ? 1 / static_cast<double>(flat_->members) : 1;
  }
  /// The factor [1] by which clipping shortens all gradients, empty where there is none. The norm is that of what steps the weights: the
  /// base gradient times gamma_theta together with the late-phase gradients of all members. For a plain network that is PyTorch's
  /// clip_grad_norm_.
  [[nodiscard]] Tensor<W, D> clipping() const {
    if (options_.clip == 0) return {};
    return clip_factor(ScaledGradient<W, D>{flat_->gradient.base, base_scale()}, ScaledGradient<W, D>{flat_->gradient.late}, options_.clip);
  }

  const char* name_;
  Options options_;
  std::shared_ptr<nn::FlatWeights<W, D>> flat_;
  std::vector<NamedState<W, D>> states_;
  StepCounts steps_;

 private:
  static const Options& checked(const char* name, const Options& o) {
    const double values[] = {o.learning_rate, o.late_learning_rate, o.weight_decay, o.late_weight_decay};
    for (const double value : values) require<OptionError>(is_finite(value), name, ": a learning rate or weight decay is ", value);
    require<OptionError>(o.learning_rate >= 0, name, ": learning rate ", o.learning_rate, " is negative");
    require<OptionError>(o.weight_decay >= 0, name, ": weight decay ", o.weight_decay, " is negative");
    require<OptionError>(o.clip >= 0 && is_finite(o.clip), name, ": clip ", o.clip, "; expected a norm above 0, or 0 for none");
    return o;
  }
};

}  // namespace lpw::inline LPW_ABI::optim
