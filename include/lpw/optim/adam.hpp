// Adam (Kingma and Ba 2015) and AdamW (Loshchilov and Hutter 2019) over the flat stores: base weights and late-phase weights each have
// their own rate and decay. Every member has its own moments.
#pragma once

#include <optional>

#include <lpw/optim/optimizer.hpp>

namespace lpw::inline LPW_ABI::optim {

struct AdamOptions {
  double learning_rate = 1e-3;        // base weights
  double late_learning_rate = -1;     // late-phase weights; negative: as the base weights
  double beta1 = 0.9, beta2 = 0.999;  //
  double epsilon = 1e-8;              //
  double weight_decay = 0;            // base weights
  double late_weight_decay = -1;      // late-phase weights; negative: as the base weights
  bool decoupled = false;             // weight decay outside the moments: AdamW
  BaseGradient base_gradient = BaseGradient::sum;
  double clip = 0;  // largest norm of all gradients together; 0: any
};

template <class W, class D>
class Adam : public FlatOptimizer<AdamOptions, W, D> {
  using Base = FlatOptimizer<AdamOptions, W, D>;
  using Flat = nn::FlatWeights<W, D>;

 public:
  template <nn::Visitable M>
  explicit Adam(M& network, const AdamOptions& options = {}) : Base("Adam", checked(options), network, {"mean", "square"}) {}

  /// As Sgd::step.
  void step(double base_factor, double late_factor) {
    advance();
    apply(base_factor, late_factor);
  }
  void step(double factor = 1) { step(factor, factor); }

  void advance() {
    this->require_current();
    ++this->steps_.base;
    ++this->steps_.late;
  }
  void apply(double base_factor, double late_factor) {
    this->require_current();
    const AdamOptions& o = this->options_;
    const auto &value = this->flat_->value, &gradient = this->flat_->gradient, &mean = this->states_[0].pair,
               &square = this->states_[1].pair;
    AdamStep base{.learning_rate = o.learning_rate * base_factor,
                  .beta1 = o.beta1,
                  .beta2 = o.beta2,
                  .epsilon = o.epsilon,
                  .weight_decay = o.weight_decay,
                  .decoupled = o.decoupled,
                  .gradient_scale = this->base_scale(),
                  .count = this->steps_.base};
    AdamStep late = base;
    late.learning_rate = this->late_learning_rate() * late_factor;
    late.weight_decay = this->late_weight_decay();
    late.gradient_scale = 1;
    late.count = this->steps_.late;
    adam_step(AdamStore<W, D>{value.base, gradient.base, mean.base, square.base, base},
              AdamStore<W, D>{value.late, gradient.late, mean.late, square.late, late}, this->clipping());
  }

  /// Follows the network to new stores; called by release. A store in which some weights are new (rank-1 factors) starts from zero moments
  /// and counts its steps from there: bias correction by a count that its moments have not seen would make the first steps some three to
  /// six times too long. A store whose weights all have a past takes moments and count along.
  void rearrange(const Flat& from, const std::shared_ptr<Flat>& to) {
    const StepCounts carried{carried_steps(from, *to, false), carried_steps(from, *to, true)};
    Base::rearrange(from, to);
    for (auto& [name, pair] : this->states_) {
      if (carried.base == 0) fill(pair.base, W(0));
      if (carried.late == 0) fill(pair.late, W(0));
    }
    this->steps_ = carried;
  }

 private:
  /// The steps behind all moments that a store takes along; 0 if one of its weights is new, or they come with different counts.
  [[nodiscard]] std::int64_t carried_steps(const Flat& from, const Flat& to, bool late_phase) const {
    std::optional<std::int64_t> steps;
    for (const nn::Segment& target : to.segments) {
      if (target.late_phase != late_phase) continue;
      const auto source = std::find_if(from.segments.begin(), from.segments.end(), [&](const auto& s) { return s.id == target.id; });
      const std::int64_t past = source == from.segments.end() ? 0 : source->late_phase ? this->steps_.late : this->steps_.base;
      if (steps && *steps != past) return 0;
      steps = past;
    }
    return steps.value_or(0);
  }

  static const AdamOptions& checked(const AdamOptions& o) {
    require<OptionError>(is_finite(o.beta1) && o.beta1 >= 0 && o.beta1 < 1 && is_finite(o.beta2) && o.beta2 >= 0 && o.beta2 < 1,
                         "Adam: betas ", o.beta1, " and ", o.beta2, "; expected both in [0, 1)");
    require<OptionError>(o.epsilon > 0 && is_finite(o.epsilon), "Adam: epsilon ", o.epsilon, "; expected above 0");
    return o;
  }
};

template <nn::Visitable M>
Adam(M&, const AdamOptions&) -> Adam<nn::WeightOf<M>, typename M::device_type>;
template <nn::Visitable M>
Adam(M&) -> Adam<nn::WeightOf<M>, typename M::device_type>;
template <class M>  // for what is no module: says so
  requires(!nn::Visitable<M>)
Adam(M&, const AdamOptions&)
->Adam<typename nn::detail::NotAModule<M>::value_type, Cpu>;

}  // namespace lpw::inline LPW_ABI::optim
