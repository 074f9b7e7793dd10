// What weights are stepped with: rates of base weights, late-phase weights, coefficients of templates, and of groups of
// parameters by their names; and what weight decay pulls rank-1 factors to.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <lpw/nn/flat_weights.hpp>
#include <lpw/optim/schedules/pieces.hpp>
#include <lpw/tensor/float_bits.hpp>
#include <lpw/tensor/patterns.hpp>

namespace lpw::inline LPW_ABI::optim {

/// What a group of weights is stepped with, before a schedule multiplies the rate. Given for late-phase weights or
/// coefficients of templates, both count: name the base weights' weight decay where that is to hold.
struct Rates {
  double learning_rate = 0;  // by which a step multiplies
  double weight_decay = 0;   // times the weight: of the gradient or, where decoupled, of the step
  [[nodiscard]] bool operator==(const Rates&) const = default;
};

/// Parameters that are stepped otherwise than the rest, base and late-phase weights alike. A parameter is in the first
/// group that names it, by any of its names where layers share it.
struct ParameterGroup {
  std::vector<std::string> names;            // patterns, * stands for any part of a name: {"layer1.*", "*.bias"}
  std::optional<double> learning_rate = {};  // none: that of the weights they are among
  std::optional<double> weight_decay = {};   // likewise
  std::optional<Schedule> schedule = {};     // in place of the others' factors; the steps are then told the time
  bool frozen = false;                       // they and their states stay as they are, and clipping does not see them;
                                             // a Coupling moves them, as all late-phase weights
};

/// Where weight decay pulls rank-1 factors, which change nothing as ones: to 0 as all weights, to 1, or nowhere.
enum class FactorDecay { to_zero, to_one, none };

/// All that an optimizer's rates are made of.
struct RateRules {
  Rates base;                               // of base weights
  std::optional<Rates> late = {};           // of late-phase weights; none: as the base weights
  std::optional<Rates> coefficients = {};   // of templates' coefficients; none: of the weights that they are among
  std::vector<ParameterGroup> groups = {};  // a parameter is in the first that names it
  FactorDecay factor_decay = FactorDecay::to_zero;  // where rank-1 factors decay to
};

namespace detail {

/// How some weights are stepped where it is not as the rest of their store.
struct Treatment {
  std::optional<std::size_t> group = {};  // its number
  bool coefficients = false;              // with the rates of coefficients
  bool factors = false;                   // with another weight decay, as rank-1 factors
  std::int64_t missed = 0;                // steps of their store that they were frozen in, as optimizers count them

  [[nodiscard]] bool operator==(const Treatment&) const = default;
};

/// How a segment is stepped that has missed so many steps.
[[nodiscard]] inline Treatment treatment_of(const nn::Segment& segment, const RateRules& rules, std::int64_t missed) {
  const auto names_it = [&](const ParameterGroup& some) {
    const auto& others = segment.other_names;
    return matches_any(segment.name, some.names) ||
           std::any_of(others.begin(), others.end(), [&](const auto& name) { return matches_any(name, some.names); });
  };
  const auto group = std::find_if(rules.groups.begin(), rules.groups.end(), names_it);
  Treatment how{.coefficients = rules.coefficients && contains(segment.group, Group::templates),
                .factors = rules.factor_decay != FactorDecay::to_zero && contains(segment.group, Group::rank_one)};
  if (group != rules.groups.end()) how.group = static_cast<std::size_t>(group - rules.groups.begin());
  if (group == rules.groups.end() || !group->frozen) how.missed = missed;  // frozen, they have no step to count for
  return how;
}

/// The rates of weights that are treated so, among those with the rates `rest`.
[[nodiscard]] inline Rates rates_of(const Treatment& how, const RateRules& rules, const Rates& rest) {
  Rates rates = how.coefficients ? *rules.coefficients : rest;
  if (how.group) {
    const ParameterGroup& group = rules.groups[*how.group];
    rates.learning_rate = group.learning_rate.value_or(rates.learning_rate);
    rates.weight_decay = group.weight_decay.value_or(rates.weight_decay);
  }
  if (how.factors && rules.factor_decay == FactorDecay::none) rates.weight_decay = 0;
  return rates;
}

inline void require_valid(const char* optimizer, const Rates& rates) {
  for (const double value : {rates.learning_rate, rates.weight_decay})
    require<OptionError>(is_finite(value), optimizer, ": a learning rate or weight decay is ", value);
  require<OptionError>(rates.learning_rate >= 0, optimizer, ": learning rate ", rates.learning_rate, " is negative");
  require<OptionError>(rates.weight_decay >= 0, optimizer, ": weight decay ", rates.weight_decay, " is negative");
}

/// Throws OptionError unless the group's rates can be, and each of its patterns is one of some of the names.
inline void require_valid(const char* optimizer, const ParameterGroup& group, const std::vector<std::string>& names) {
  require_valid(optimizer, Rates{group.learning_rate.value_or(0), group.weight_decay.value_or(0)});
  require<OptionError>(!group.names.empty(), optimizer, ": a parameter group without names");
  for (const std::string& pattern : group.names) {
    if (any_matches(names, pattern)) continue;
    const auto close = close_names(pattern, names);
    fail<OptionError>(optimizer, ": no parameter is called '", pattern, "', as a group says",
                      close.empty() ? "" : "; close to it: " + quoted_list(close));
  }
}

/// The names of a network's parameters, and of what a release may attach to them.
template <nn::Visitable M>
[[nodiscard]] std::vector<std::string> possible_names(M& network) {
  std::vector<std::string> names;
  nn::for_each_parameter(network, [&](const std::string& name, const auto&) { names.push_back(name); });
  for (std::size_t i = 0, count = names.size(); i < count; ++i) names.push_back(names[i] + ".additive");
  nn::for_each_dense_weight(network, [&](const std::string& name, const auto& weight) {
    if (!weight.takes_factors()) return;
    for (const char* factor : {"rank_one_r", "rank_one_s"}) names.push_back(nn::detail::name_beside(name, factor));
  });
  return names;
}

}  // namespace detail
}  // namespace lpw::inline LPW_ABI::optim
