// Adam (Kingma and Ba 2015) and AdamW (Loshchilov and Hutter 2019) over the flat stores: base weights and late-phase
// weights each have their own rate and decay. Every member has its own moments.
#pragma once

#include <optional>

#include <lpw/optim/optimizer.hpp>

namespace lpw::inline LPW_ABI::optim {

/// Adam's rates, moments' decays and weight decay; of late-phase weights and coefficients too, where they differ.
struct AdamOptions {
  double learning_rate = 1e-3;             // of base weights
  double beta1 = 0.9, beta2 = 0.999;       // decays of the moments
  double epsilon = 1e-8;                   // beside the square root
  double weight_decay = 0;                 // of base weights
  std::optional<Rates> late = {};          // of late-phase weights; none: as the base weights
  std::optional<Rates> coefficients = {};  // of templates' coefficients; none: of the weights that they are among
  bool decoupled = false;                  // weight decay outside the moments: AdamW
  BaseGradient base_gradient = BaseGradient::sum;   // summed over members, or their mean
  double clip = 0;                                  // largest norm of all gradients together; 0: any
  std::vector<ParameterGroup> groups = {};          // parameters with rates of their own, or frozen
  FactorDecay factor_decay = FactorDecay::to_zero;  // what weight decay pulls rank-1 factors to
};

/// The update is written beside adam_step (primitives/optimizer.hpp).
template <class W, class D>
class Adam final : public Optimizer<W, D> {
  using Base = Optimizer<W, D>;
  using Flat = nn::FlatWeights<W, D>;

 public:
  /// Throws OptionError for what cannot be: a negative rate, a beta outside of [0, 1), an epsilon of 0.
  template <nn::Visitable M>
  explicit Adam(M& network, const AdamOptions& options = {})
      : Base("Adam", Base::rules(checked(options)), network, {"mean", "square"}), options_(options) {}
  /// For what is no module: says so.
  template <nn::detail::NoModule M>
  explicit Adam(M&, const AdamOptions& = {}) : Adam(nn::detail::not_a_module<M>().template as<Adam>()) {}

  /// As they were given; rules() has what was changed since.
  [[nodiscard]] const AdamOptions& options() const { return options_; }

  /// Follows the network to new stores; called by release and collapse. A store in which some weights are new (rank-1
  /// factors) starts from zero moments and counts its steps from there: bias correction by a count that its moments
  /// have not seen would make the first steps some three to six times too long. A store whose weights all have a past
  /// takes moments and count along. Where gamma_theta changes the size of the base gradient by a factor, so that K
  /// members sum to K times the gradient of one, the base weights' mean is multiplied by it and their square by its
  /// square: moments of smaller gradients would make the steps up to K times too long, for as long as the square
  /// remembers. Weights that were frozen keep the count of the steps that they have seen.
  void rearrange(const Flat& from, const std::shared_ptr<Flat>& to) override {
    const StepCounts carried{carried_steps(from, *to, false), carried_steps(from, *to, true)};
    const std::int64_t count = std::max(carried.base, carried.late);
    carry_missed(from, *to, carried);
    scale_moments(1 / this->base_gradient_size(from), this->steps_, {count, count});
    Base::rearrange(from, to);
    for (auto& [name, pair] : this->states_) {
      if (carried.base == 0) fill(pair.base, W(0));
      if (carried.late == 0) fill(pair.late, W(0));
    }
    this->steps_ = carried;
    scale_moments(this->base_gradient_size(*to), {count, count}, carried);
  }

 private:
  void count() override {
    ++this->steps_.base;
    ++this->steps_.late;
  }

  void update(const StepStores<W, D>& s, const Tensor<W, D>& clipping) override {
    const AdamOptions& o = options_;
    const auto &mean = s.states[0].pair, &square = s.states[1].pair;
    AdamStep base{.learning_rate = s.base.learning_rate,
                  .beta1 = o.beta1,
                  .beta2 = o.beta2,
                  .epsilon = o.epsilon,
                  .weight_decay = s.base.weight_decay,
                  .decoupled = o.decoupled,
                  .gradient_scale = this->base_scale(),
                  .count = this->steps_.base - s.missed,
                  .decay_target = s.decay_target};
    AdamStep late = base;
    late.learning_rate = s.late.learning_rate;
    late.weight_decay = s.late.weight_decay;
    late.gradient_scale = 1;
    late.count = this->steps_.late - s.missed;
    adam_step(AdamStore<W, D>{s.value.base, s.gradient.base, mean.base, square.base, base, s.base_rate},
              AdamStore<W, D>{s.value.late, s.gradient.late, mean.late, square.late, late, s.late_rate}, clipping);
  }

  /// The most steps behind the moments that a store takes along; 0 if one of its weights is new.
  [[nodiscard]] std::int64_t carried_steps(const Flat& from, const Flat& to, bool late_phase) const {
    std::int64_t steps = 0;
    for (const nn::Segment& target : to.segments) {
      if (target.late_phase != late_phase) continue;
      const auto source =
          std::find_if(from.segments.begin(), from.segments.end(), [&](const auto& s) { return s.id == target.id; });
      const std::int64_t past = source == from.segments.end() ? 0
                                : source->late_phase          ? this->steps_.late
                                                              : this->steps_.base;
      if (past == 0) return 0;
      steps = std::max(steps, past);
    }
    return steps;
  }

  /// Makes moments of `past` steps those of `steps`, and of base gradients multiplied by `factor`. Where a collapse
  /// joins weights with other counts, bias correction makes the same of them as before.
  void scale_moments(double factor, const StepCounts& past, const StepCounts& steps) {
    auto &mean = this->states_[0].pair, &square = this->states_[1].pair;
    scale(mean.base, factor * carried(options_.beta1, past.base, steps.base));
    scale(square.base, factor * factor * carried(options_.beta2, past.base, steps.base));
    scale(mean.late, carried(options_.beta1, past.late, steps.late));
    scale(square.late, carried(options_.beta2, past.late, steps.late));
  }

  /// What moments of `before` steps are multiplied by to be those of `after`.
  [[nodiscard]] static double carried(double beta, std::int64_t before, std::int64_t after) {
    const auto weight = [&](std::int64_t n) { return 1 - std::pow(beta, static_cast<double>(n)); };
    return before == 0 || after == 0 ? 1 : weight(after) / weight(before);
  }
  static void scale(Tensor<W, D>& moments, double by) {  // by their own multiple: no primitive of its own
    if (by != 1) move_average(moments, zeros<W, D>(moments.shape()), 1 - by);
  }

  /// The steps that weights have missed, of those that their new stores count. Where these are others than the old
  /// ones', moments are made those of all steps, or all steps were missed.
  void carry_missed(const Flat& from, const Flat& to, const StepCounts& counts) {
    for (const nn::Segment& target : to.segments) {
      const auto source = std::find_if(from.segments.begin(), from.segments.end(),
                                       [&](const nn::Segment& some) { return some.id == target.id; });
      const std::int64_t missed = this->missed_by(target), after = target.late_phase ? counts.late : counts.base;
      if (missed == 0 || source == from.segments.end()) continue;
      const std::int64_t before = source->late_phase ? this->steps_.late : this->steps_.base, seen = before - missed;
      if (after == before) continue;
      this->missed_[target.id] = seen > 0 ? 0 : after;
      if (seen > 0)
        scale_columns(*source, carried(options_.beta1, seen, before), carried(options_.beta2, seen, before));
    }
  }
  /// Multiplies the moments of one of the present stores' segments.
  void scale_columns(const nn::Segment& segment, double mean, double square) {
    for (auto* state : {&this->states_[0], &this->states_[1]}) {
      auto columns = (segment.late_phase ? state->pair.late : state->pair.base).columns(segment.offset, {segment.size});
      auto moments = clone(columns);
      scale(moments, state == &this->states_[0] ? mean : square);
      copy(moments, columns);
    }
  }

  static const AdamOptions& checked(const AdamOptions& o) {
    require<OptionError>(
        is_finite(o.beta1) && o.beta1 >= 0 && o.beta1 < 1 && is_finite(o.beta2) && o.beta2 >= 0 && o.beta2 < 1,
        "Adam: betas ", o.beta1, " and ", o.beta2, "; expected both in [0, 1)");
    require<OptionError>(o.epsilon > 0 && is_finite(o.epsilon), "Adam: epsilon ", o.epsilon, "; expected above 0");
    return o;
  }

  AdamOptions options_;
};

template <nn::Visitable M>
Adam(M&, const AdamOptions&) -> Adam<nn::WeightOf<M>, typename M::device_type>;
template <nn::Visitable M>
Adam(M&) -> Adam<nn::WeightOf<M>, typename M::device_type>;
template <nn::detail::NoModule M>
Adam(M&, const AdamOptions& = {}) -> Adam<float, Cpu>;

}  // namespace lpw::inline LPW_ABI::optim
