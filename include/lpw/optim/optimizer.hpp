// What all optimizers are: the flat stores they step, states in the form of the weights, rates per store and per group
// of parameters, and clipping.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <iomanip>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include <lpw/optim/named_state.hpp>
#include <lpw/optim/step_stores.hpp>
#include <lpw/tensor/float_bits.hpp>
#include <lpw/tensor/replay.hpp>

namespace lpw::inline LPW_ABI::optim {

/// How the members' gradients of the shared base weights combine: summed (gamma_theta = 1) or averaged (gamma_theta =
/// 1/K).
enum class BaseGradient { sum, mean };

/// Steps since the states of each store were zero, less those that a weight has missed (see missed_steps); stay 0 where
/// an optimizer does not need them.
struct StepCounts {
  std::int64_t base = 0, late = 0;  // of each store
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
  /// assigned to, collapsed, or released elsewhere; or if a group of parameters has a schedule, which needs the time.
  void step(double base_factor, double late_factor, std::optional<double> coefficient_factor = {}) {
    advance(base_factor, late_factor, coefficient_factor);
    apply();
  }
  void step(double factor = 1) { step(factor, factor); }
  /// The same where training stands at a time: with what a schedule says of all weights, or another one, if given, of
  /// late-phase weights, and groups' own schedules of their parameters.
  void step(const Time& at, const Schedule& schedule = Constant{}, const std::optional<Schedule>& late = {}) {
    const double base_factor = factor(schedule, at);
    advance(base_factor, late ? factor(*late, at) : base_factor, {}, at);
    apply();
  }

  /// Ends the compilation with one line where a text stands for a schedule.
  template <class Text>
    requires std::is_convertible_v<const Text&, std::string_view>
  void step(const Text&) {
    static_assert(std::is_void_v<Text>,
                  "lpw: step takes a factor, or a time and a schedule, optimizer.step(time, "
                  "lpw::optim::parse_schedule(text, learning_rate, epochs))");
  }

  /// Counts a step with these factors. Throws as step does.
  void advance(double base_factor = 1, double late_factor = 1, std::optional<double> coefficient_factor = {},
               const std::optional<Time>& at = {}) {
    require_current();
    const auto factors = [&](const detail::Treatment& how) {
      if (const auto own = group_factor(how, at)) return std::pair(*own, *own);
      if (!how.coefficients) return std::pair(base_factor, late_factor);
      const double own = coefficient_factor.value_or(late_factor);
      return std::pair(own, own);
    };
    for (auto& apart : apart_) factors(apart.how);  // throws before anything is counted
    const StepCounts before = steps_;
    count();
    if (steps_ != before) count_missed();
    base_rate_.set(rates().learning_rate * base_factor);
    late_rate_.set(late_rates().learning_rate * late_factor);
    for (auto& apart : apart_) {
      const auto [base, late] = factors(apart.how);
      apart.base_rate.set(detail::rates_of(apart.how, rules_, rates()).learning_rate * base);
      apart.late_rate.set(detail::rates_of(apart.how, rules_, late_rates()).learning_rate * late);
    }
  }
  /// The updates of the step that advance() has counted. Throws as step does.
  void apply() {
    require_current();
    clear_frozen_gradients();
    const Tensor<W, D> factor = clipping();
    std::vector<StepStores<W, D>> apart;  // as they are before the others' step
    for (const auto& weights : apart_) apart.push_back(taken_apart(weights.segments, stores_of(weights)));
    update(all_stores(), factor);
    for (std::size_t i = 0; i < apart.size(); ++i) {
      if (!frozen(apart_[i].how)) update(apart[i], factor);
      put_back(apart[i], apart_[i].segments, all_stores());
    }
  }

  /// What a recorded apply() depends on beside the contents of tensors, for the key of a Replay: the places of all that
  /// it reads and writes, the rates among it, decays, which weights are stepped apart and how, and how far the counts
  /// are from `step`, the number given to the replay, which counts on from those that it was recorded with.
  [[nodiscard]] std::string replay_key(std::int64_t step) const {
    const auto beside = [&](std::int64_t count) { return count == 0 ? 0 : count - step; };
    const auto rates_key = [](const StepStores<W, D>& s) {
      return to_text(std::setprecision(17), s.base.weight_decay, ' ', s.late.weight_decay, ' ', s.decay_target, ' ',
                     s.missed, ' ', place_of(s.base_rate), place_of(s.late_rate));
    };
    std::string key = to_text(beside(steps_.base), ' ', beside(steps_.late), ' ', place_of(flat_->value.base),
                              place_of(flat_->value.late), place_of(flat_->gradient.base),
                              place_of(flat_->gradient.late), place_of(flat_->buffers), rates_key(all_stores()));
    for (const auto& state : states_) key += place_of(state.pair.base) + place_of(state.pair.late);
    for (const auto& apart : apart_) {
      key += to_text(frozen(apart.how) ? "frozen " : "apart ", rates_key(stores_of(apart)));
      for (const nn::Segment& segment : apart.segments)
        key += to_text(segment.late_phase ? "late " : "base ", segment.offset, ' ', segment.size, ' ');
    }
    return key;
  }

  /// Makes the gradients of frozen parameters zero, before anything is made of all gradients.
  void clear_frozen_gradients() const {
    for (const auto& apart : apart_)
      if (frozen(apart.how)) clear_gradients(apart.segments);
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
    std::erase_if(missed_, [&](const auto& missed) {
      return std::none_of(to->segments.begin(), to->segments.end(),
                          [&](const nn::Segment& segment) { return segment.id == missed.first; });
    });
    set_apart();
  }
  /// Forgets all steps: states and counts are those of a new optimizer.
  void clear_states() {
    for (auto& [name, pair] : states_) fill(pair.base, W(0)), fill(pair.late, W(0));
    steps_ = {};
    missed_.clear();
    set_apart();
  }

  /// What a checkpoint holds, beside steps() and missed_steps(): copy to and from the tensors.
  [[nodiscard]] std::vector<NamedState<W, D>>& states() { return states_; }
  /// What a checkpoint holds of them.
  [[nodiscard]] StepCounts steps() const { return steps_; }
  /// As a checkpoint had them.
  void set_steps(StepCounts steps) { steps_ = steps; }
  /// How many of those steps parameters were frozen in, by their names: their states have not seen them, and where
  /// steps are counted these are not. Parameters that have missed none are not named.
  [[nodiscard]] std::map<std::string, std::int64_t> missed_steps() const {
    std::map<std::string, std::int64_t> missed;
    for (const nn::Segment& segment : flat_->segments)
      if (const std::int64_t count = missed_by(segment); count > 0) missed.emplace(segment.name, count);
    return missed;
  }
  /// After set_steps; of more steps than there are, all count as missed.
  void set_missed_steps(const std::map<std::string, std::int64_t>& missed) {
    missed_.clear();
    for (const nn::Segment& segment : flat_->segments)
      if (const auto found = missed.find(segment.name); found != missed.end())
        missed_[segment.id] = std::min(found->second, segment.late_phase ? steps_.late : steps_.base);
    set_apart();
  }

  /// Of base weights, of late-phase weights, and of coefficients of templates, which have those of late-phase weights
  /// where none are given.
  [[nodiscard]] const Rates& rates() const { return rules_.base; }
  /// Of late-phase weights, which have the base weights' where none are given.
  [[nodiscard]] const Rates& late_rates() const { return rules_.late ? *rules_.late : rules_.base; }
  /// Of coefficients of templates, which have late-phase weights' where none are given.
  [[nodiscard]] const Rates& coefficient_rates() const {
    return rules_.coefficients ? *rules_.coefficients : late_rates();
  }

  /// The rates of all of them, as they are now; with FactorDecay::to_one, rank-1 factors' weight decay pulls to 1.
  [[nodiscard]] const RateRules& rules() const { return rules_; }
  /// Other rates from the next step on, or other groups; states stay as they are. Throws OptionError for what cannot
  /// be, as the constructor does.
  void set_rules(RateRules rules) {
    rules_ = checked(rules);
    set_apart();
  }
  /// Other rates of base weights, and of late-phase weights where these have none of their own.
  void set_rates(const Rates& base) {
    RateRules rules = rules_;
    rules.base = base;
    set_rules(std::move(rules));
  }

 protected:
  /// What the options of all optimizers have.
  struct Rules {
    RateRules rates;             // of all weights
    BaseGradient base_gradient;  // gamma_theta: 1 or 1/K
    double clip;                 // largest norm of all gradients together; 0: any
  };
  /// Of an optimizer's own options.
  template <class Options>
  [[nodiscard]] static Rules rules(const Options& o) {
    return {
        {{o.learning_rate, o.weight_decay}, o.late, o.coefficients, o.groups, o.factor_decay}, o.base_gradient, o.clip};
  }

  /// With states of these names, which are zero. Throws OptionError for rules that cannot be.
  template <nn::Visitable M>
  Optimizer(const char* name, const Rules& rules, M& network, std::initializer_list<const char*> states)
      : name_(name),
        names_(detail::possible_names(network)),
        rules_(checked(rules.rates)),
        base_gradient_(rules.base_gradient),
        clip_(checked_clip(rules.clip)),
        flat_(nn::flatten(network)) {
    for (const char* state : states) states_.push_back({state, flat_->zeros_like()});
    base_rate_.set(rates().learning_rate);
    late_rate_.set(late_rates().learning_rate);
    set_apart();
  }
  Optimizer(const Optimizer&) = delete;  // states and rates would be shared
  Optimizer& operator=(const Optimizer&) = delete;
  Optimizer(Optimizer&&) = default;
  Optimizer& operator=(Optimizer&&) = default;

  /// Counts a step where an optimizer needs their number.
  virtual void count() {}
  /// Steps these weights; clipping() is the factor of their gradients.
  virtual void update(const StepStores<W, D>& stores, const Tensor<W, D>& clipping) = 0;

 private:
  const char* name_;
  std::vector<std::string> names_;  // that groups may give
  RateRules rules_;                 // checked, as what follows, before the network is touched
  BaseGradient base_gradient_;
  double clip_;

 protected:
  /// gamma_theta.
  [[nodiscard]] double base_scale() const {
    return base_gradient_ == BaseGradient::mean ? 1 / static_cast<double>(flat_->all_members()) : 1;
  }
  /// gamma_theta K: the base gradient of these stores over that of a plain network, where the members agree.
  [[nodiscard]] double base_gradient_size(const Flat& flat) const {
    return base_gradient_ == BaseGradient::mean ? 1 : static_cast<double>(flat.all_members());
  }
  /// The factor [1] by which clipping shortens all gradients, empty where there is none. The norm is that of what steps
  /// the weights: the base gradient times gamma_theta together with the late-phase gradients of all members. For a
  /// plain network that is PyTorch's clip_grad_norm_. Members that other processes hold count.
  [[nodiscard]] Tensor<W, D> clipping() const {
    if (clip_ == 0) return {};
    const ScaledGradient<W, D> base{flat_->gradient.base, base_scale()};
    if (!flat_->share) return clip_factor(base, ScaledGradient<W, D>{flat_->gradient.late}, clip_);
    const auto norms = ascent_norms(AscentStore<W, D>(), {flat_->value.late, flat_->gradient.late, {}}, Ascent());
    const auto all = nn::all_numbers(*flat_->share, norms.rows(1, flat_->members));
    return clip_factor(base, ScaledGradient<W, D>{all.reshaped({1, all.size()})}, clip_);
  }

  std::shared_ptr<Flat> flat_;                  // of the network
  std::vector<NamedState<W, D>> states_;        // in the order of their names
  StepCounts steps_;                            // see StepCounts
  std::map<const void*, std::int64_t> missed_;  // of steps_, by the parameters' ids
  /// Steps that were counted while the parameter was frozen.
  [[nodiscard]] std::int64_t missed_by(const nn::Segment& segment) const {
    const auto found = missed_.find(segment.id);
    return found == missed_.end() ? 0 : found->second;
  }

 private:
  [[nodiscard]] StepStores<W, D> all_stores() const {
    return {flat_->value, flat_->gradient, states_, rates(), late_rates(), base_rate_.there, late_rate_.there};
  }
  /// The same weights, all of them with the rates of those that are stepped apart.
  [[nodiscard]] StepStores<W, D> stores_of(const detail::ApartWeights<D>& apart) const {
    return {flat_->value,
            flat_->gradient,
            states_,
            detail::rates_of(apart.how, rules_, rates()),
            detail::rates_of(apart.how, rules_, late_rates()),
            apart.base_rate.there,
            apart.late_rate.there,
            apart.how.missed,
            apart.how.factors && rules_.factor_decay == FactorDecay::to_one ? 1. : 0.};
  }
  /// Finds the weights that are not stepped as the rest. Those that are treated as before keep the rates where they
  /// lie, which a recorded step may read.
  void set_apart() {
    const auto before = std::exchange(apart_, {});
    for (const nn::Segment& segment : flat_->segments) {
      const detail::Treatment how = detail::treatment_of(segment, rules_, missed_by(segment));
      if (how == detail::Treatment()) continue;
      auto found = std::find_if(apart_.begin(), apart_.end(), [&](const auto& apart) { return apart.how == how; });
      if (found == apart_.end()) {
        const auto kept =
            std::find_if(before.begin(), before.end(), [&](const auto& apart) { return apart.how == how; });
        found = apart_.insert(apart_.end(), kept == before.end() ? detail::ApartWeights<D>{how} : *kept);
        found->segments.clear();
      }
      found->segments.push_back(segment);
    }
  }
  void count_missed() {
    for (const auto& apart : apart_)
      if (frozen(apart.how))
        for (const nn::Segment& segment : apart.segments) ++missed_[segment.id];
  }
  [[nodiscard]] bool frozen(const detail::Treatment& how) const {
    return how.group && rules_.groups[*how.group].frozen;
  }
  /// What a group's own schedule says of a time, if it has one.
  [[nodiscard]] std::optional<double> group_factor(const detail::Treatment& how, const std::optional<Time>& at) const {
    if (!how.group || !rules_.groups[*how.group].schedule) return std::nullopt;
    const ParameterGroup& group = rules_.groups[*how.group];
    require(at.has_value(), name_, ": the parameter group '", group.names.front(),
            "' has a schedule of its own, which needs the time; call step(time, schedule)");
    return factor(*group.schedule, *at);
  }
  void clear_gradients(const std::vector<nn::Segment>& segments) const {
    for (const nn::Segment& segment : segments) {
      auto columns =
          (segment.late_phase ? flat_->gradient.late : flat_->gradient.base).columns(segment.offset, {segment.size});
      fill(columns, W(0));
    }
  }
  /// Throws Error if the stores are no longer those of a network.
  void require_current() const {
    require(
        !flat_->retired, name_,
        ": the network has been assigned to, collapsed, released without this optimizer, flattened together with "
        "or as a part of another, or is gone; make a new optimizer for it, or let this one follow: release(network, "
        "optimizer, ...), collapse(network, optimizer)");
  }

  [[nodiscard]] const RateRules& checked(const RateRules& o) const {
    detail::require_valid(name_, o.base);
    if (o.late) detail::require_valid(name_, *o.late);
    if (o.coefficients) detail::require_valid(name_, *o.coefficients);
    for (const ParameterGroup& group : o.groups) detail::require_valid(name_, group, names_);
    return o;
  }
  [[nodiscard]] double checked_clip(double clip) const {
    require<OptionError>(clip >= 0 && is_finite(clip), name_, ": clip ", clip,
                         "; expected a norm above 0, or 0 for none");
    return clip;
  }

  detail::DeviceRate<D> base_rate_, late_rate_;
  std::vector<detail::ApartWeights<D>> apart_;
};

}  // namespace lpw::inline LPW_ABI::optim
