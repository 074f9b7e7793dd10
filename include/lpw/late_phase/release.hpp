// Release: from one network to K members that differ in their late-phase weights only. Afterwards the same forward, on
// minibatches [K, B, ...], computes all members in one pass.
#pragma once

#include <concepts>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#include <lpw/late_phase/rank_one_start.hpp>
#include <lpw/late_phase/selectors.hpp>
#include <lpw/nn/flat_weights.hpp>
#include <lpw/nn/forms/additive.hpp>
#include <lpw/tensor/float_bits.hpp>

namespace lpw::inline LPW_ABI {

/// What an optimizer's states (momentum, Adam's moments) are after a release: each member's and the base weights' as
/// they were, or zero, as of a new optimizer.
enum class ReleaseMomentum { carry, zero };

/// What release replicates, how often, and how the members' weights and the optimizer's states start.
struct ReleaseOptions {
  std::int64_t members = 10;                          // K
  Selectors late = Group::batch_norm | Group::head;   // what becomes late-phase weights
  double sigma = 0;                                   // sigma_0: phi_k = phi_0 + sigma_0 rms(phi_0) eps_k, and
                                                      // for deviations from theta sigma_0 rms(theta) eps_k
  Philox random{0};                                   // for eps, and the start of rank-1 factors
  RankOneStart rank_one_start = {};                   // factors that do not start as ones get no noise beside
  ReleaseMomentum momentum = ReleaseMomentum::carry;  // what becomes of the optimizer's momenta
};

/// Network number k of those from which members are drawn anew: of the released network's form, with initial weights of
/// its own. Each is asked for once, in order, and let go before the next.
template <class M>
using MemberSource = std::function<M(std::int64_t k)>;

/// What follows a network from stores of type Flat to others: optimizers, averages, and whatever else is in the form of
/// the weights.
///   follows(flat)        whether what it holds belongs to these stores
///   rearrange(from, to)  takes it to the stores `to`
/// What holds more than that may also have
///   clear_states()       forgets all momentum: for ReleaseMomentum::zero
///   before_collapse(n)   is shown the released network n before that collapses: what are weights collapses as it does
template <class F, class Flat>
concept Follower = requires(F& follower, const F& fixed, const Flat& flat, const std::shared_ptr<Flat>& to) {
  { fixed.follows(flat) } -> std::same_as<bool>;
  follower.rearrange(flat, to);
};

/// Without an optimizer.
struct NoOptimizer {
  template <class Flat>
  [[nodiscard]] bool follows(const Flat&) const {
    return true;
  }
  template <class Flat>
  void rearrange(const Flat&, const std::shared_ptr<Flat>&) {}
};

namespace detail {

/// The calls that not every follower has.
template <class F>
void clear_states(F& follower) {
  if constexpr (requires { follower.clear_states(); }) follower.clear_states();
}
template <class F, class M>
void before_collapse(F& follower, M& network) {
  if constexpr (requires { follower.before_collapse(network); }) follower.before_collapse(network);
}

}  // namespace detail

/// An optimizer and whatever else (a weight average) follows the same release. Holds references.
template <class... Parts>
class Followers {
 public:
  /// Each follows in this order.
  explicit Followers(Parts&... parts) : parts_(parts...) {}
  template <class Flat>
  [[nodiscard]] bool follows(const Flat& flat) const {
    return std::apply([&](const auto&... part) { return (part.follows(flat) && ...); }, parts_);
  }
  template <class Flat>
  void rearrange(const Flat& from, const std::shared_ptr<Flat>& to) {
    std::apply([&](auto&... part) { (part.rearrange(from, to), ...); }, parts_);
  }
  void clear_states() {
    std::apply([](auto&... part) { (detail::clear_states(part), ...); }, parts_);
  }
  template <nn::Visitable M>
  void before_collapse(M& network) {
    std::apply([&](auto&... part) { (detail::before_collapse(part, network), ...); }, parts_);
  }

 private:
  std::tuple<Parts&...> parts_;
};

namespace detail {

/// Calls f(name, parameter) for the parameters that get deviations: of those that the network has, not of those that a
/// form brings, all that match and are not selected themselves. Once for one that layers share.
template <nn::Visitable M, class F>
void for_each_additive(M& network, const Selectors& selectors, F&& f) {
  if (selectors.additive.empty()) return;
  using Parameter = nn::Parameter<nn::WeightOf<M>, typename M::device_type>;
  std::vector<std::pair<std::string, Parameter>> chosen;  // f may add to what a walk visits
  std::set<const void*> seen;                             // by any of its names, where layers share a weight
  nn::for_each_parameter(network, [&](const std::string& name, Parameter& parameter) {
    if (selectors.selects(name, parameter)) seen.insert(parameter.id());
  });
  nn::for_each_parameter(network, [&](const std::string& name, Parameter& parameter) {
    if (selectors.adds_to(name) && seen.insert(parameter.id()).second) chosen.emplace_back(name, parameter);
  });
  for (auto& [name, parameter] : chosen) f(name, parameter);
}

/// Calls f(name, weight) for the dense weights that get rank-1 factors: all that take them (those made of templates,
/// and embeddings' tables whose shape does not say so, do not), are not selected themselves and get no deviations. Once
/// for one that layers share.
template <nn::Visitable M, class F>
void for_each_factored_weight(M& network, const Selectors& selectors, F&& f) {
  if (!contains(selectors.groups, Group::rank_one)) return;
  std::set<const void*> done;  // those that are selected themselves, by any of their names, and those that f has seen
  nn::for_each_parameter(network, [&](const std::string& name, const auto& parameter) {
    if (selectors.selects(name, parameter) || selectors.adds_to(name)) done.insert(parameter.id());
  });
  nn::for_each_dense_weight(network, [&](const std::string& name, auto& weight) {
    if (weight.takes_factors() && done.insert(weight.id()).second) f(name, weight);
  });
}

/// Whether a network has members: late-phase weights other than coefficients of templates, of which there is one row
/// before release.
template <nn::Visitable M>
[[nodiscard]] bool is_released(M& network) {
  bool released = nn::members(network) > 1;
  const nn::FormIds ids = nn::form_ids(network);
  nn::for_each_parameter(network, [&](const std::string&, const auto& parameter) {
    released = released || (parameter.late_phase() && !ids.coefficients.contains(parameter.id()));
  });
  return released;
}

/// FNV-1a: gives every parameter noise of its own, whatever else is released.
[[nodiscard]] inline std::uint32_t name_hash(const std::string& name) {
  std::uint32_t hash = 2166136261u;
  for (const char c : name) hash = (hash ^ static_cast<unsigned char>(c)) * 16777619u;
  return hash;
}

/// Throws OptionError if a module would read a weight that gets rank-1 factors as a plain parameter: without them,
/// until collapse multiplies them into what it reads.
template <nn::Visitable M>
void require_factors_read(M& network, const Selectors& selectors) {
  std::map<const void*, std::string> factored;
  for_each_factored_weight(network, selectors,
                           [&](const std::string& name, auto& weight) { factored.emplace(weight.id(), name); });
  const auto check = [&](const std::string& name, const void* id) {
    const auto found = factored.find(id);
    if (found == factored.end()) return;
    fail<OptionError>("release: '", name, "' is a plain Parameter that shares '", found->second,
                      "', and would not see its rank-1 factors; make it a DenseWeight, or leave the weight without "
                      "factors by set_takes_factors(false)");
  };
  nn::for_each_module(network, [&](const std::string& module_name, auto& module) {
    module.visit([&](const std::string& name, auto& member) {
      if constexpr (nn::detail::is_parameter<std::remove_reference_t<decltype(member)>>)
        check(module_name.empty() ? name : module_name + '.' + name, member.id());
    });
  });
}

/// Throws OptionError unless every pattern is one of some of the names.
inline void require_named(const std::vector<std::string>& patterns, const std::vector<std::string>& names) {
  for (const std::string& pattern : patterns) {
    if (any_matches(names, pattern)) continue;
    const auto close = close_names(pattern, names);
    const std::string cure = close.empty() ? Selectors::expected : "; close to it: " + quoted_list(close);
    fail<OptionError>("release: the network has no parameter '", pattern, "'", cure);
  }
}

/// Throws OptionError for options that no network can be released with.
inline void require_possible(const ReleaseOptions& o) {
  require<OptionError>(o.members >= 1, "release: members ", o.members, "; expected at least 1");
  require<OptionError>(o.sigma >= 0 && is_finite(o.sigma), "release: sigma ", o.sigma, "; expected 0 or more");
  require<OptionError>(o.members == 1 || !o.late.empty(), "release: no group of late-phase weights is chosen");
  const RankOneStart& start = o.rank_one_start;
  if (start.kind == RankOneStart::Kind::ones) return;
  require<OptionError>(start.deviation >= 0 && is_finite(start.deviation), "release: rank-1 factors with deviation ",
                       start.deviation, "; expected 0 or more");
  require<OptionError>(contains(o.late.groups, Group::rank_one), "release: rank-1 factors are to start as ",
                       start.text(), ", but none are chosen; add Group::rank_one, or leave `rank_one_start`");
}

/// Gives every member the late-phase weights that its network of the source has, but for factors and deviations, which
/// it has none of. Returns their ids.
template <nn::Visitable M>
std::set<const void*> draw_members(M& network, std::int64_t members, const MemberSource<M>& source) {
  using Parameter = nn::Parameter<nn::WeightOf<M>, typename M::device_type>;
  std::map<std::string, Parameter> late;
  std::set<const void*> drawn;
  nn::for_each_parameter(network, [&](const std::string& name, Parameter& parameter) {
    if (parameter.late_phase()) late.emplace(name, parameter);
  });
  for (std::int64_t k = 0; k < members; ++k) {
    M from = source(k);
    nn::for_each_parameter(from, [&](const std::string& name, Parameter& parameter) {
      const auto found = late.find(name);
      if (found == late.end()) return;
      require<ShapeError>(parameter.value().dim(0) == 1 && parameter.shape() == found->second.shape(), "release: '",
                          name, "' of network ", k, " to draw from is ", parameter.value().shape(), ", expected [1, ",
                          found->second.shape(), ']');
      auto row = found->second.value().rows(k, 1);
      copy(parameter.value(), row);
      drawn.insert(found->second.id());
    });
  }
  return drawn;
}

/// Makes the members differ: factors get their start, all else that is late-phase gets noise, deviations that of the
/// parameter that they belong to. Those whose ids are `seen` differ already.
template <nn::Visitable M>
void start_members(M& network, const ReleaseOptions& o, std::set<const void*> seen) {
  const nn::FormIds ids = nn::form_ids(network);
  // a weight shared by two modules gets its noise once
  nn::for_each_parameter(network, [&](const std::string& name, auto& parameter) {
    auto* const phi = parameter.deviations();
    if (!(phi || parameter.late_phase()) || !seen.insert(parameter.id()).second) return;
    if (phi) seen.insert(phi->id());
    const Philox random = o.random.stream(Stream::release, name_hash(name));
    if (ids.factors.contains(parameter.id()) && o.rank_one_start.kind != RankOneStart::Kind::ones)
      start_factor(parameter, o.rank_one_start, random);
    else if (o.sigma > 0 && phi)
      add_member_noise(phi->value(), parameter.value(), o.sigma, random);
    else if (o.sigma > 0)
      add_member_noise(parameter.value(), o.sigma, random);
  });
}

/// What a network without a layer for rank-1 factors can do about it.
template <nn::Visitable M>
[[nodiscard]] std::string rank_one_cure(M& network) {
  std::string left_out;
  nn::for_each_dense_weight(network, [&](const std::string& name, auto& weight) {
    if (left_out.empty() && weight.has_base() && weight.shape().rank() >= 2 && !weight.takes_factors()) left_out = name;
  });
  return left_out.empty()
             ? ""
             : "; '" + left_out + "' would with EmbeddingShape{.factors = true}, or set_takes_factors(true)";
}

/// What a network without batch norm, which has parameters of the groups `found`, can do about it.
template <nn::Visitable M>
[[nodiscard]] std::string batch_norm_cure(M& network, Group found) {
  for_each_factored_weight(network, Group::rank_one,
                           [&](const std::string&, auto&) { found = found | Group::rank_one; });
  return ", which .late names by default; it has " + Selectors(found).text();
}

/// Throws OptionError unless every selector has parameters.
template <nn::Visitable M>
void require_selected(M& network, const Selectors& selectors) {
  Group found = Group::none;
  std::vector<std::string> names;
  nn::for_each_parameter(network, [&](const std::string& name, const auto& parameter) {
    found = found | parameter.group();
    names.push_back(name);
  });
  for_each_factored_weight(network, selectors, [&](const std::string&, auto&) { found = found | Group::rank_one; });
  const auto missing = [&](Group group) { return contains(selectors.groups, group) && !contains(found, group); };
  require<OptionError>(!missing(Group::batch_norm), "release: the network has no batch norm to release",
                       missing(Group::batch_norm) ? batch_norm_cure(network, found) : "");
  require<OptionError>(!missing(Group::layer_norm), "release: the network has no layer norm to release");
  require<OptionError>(!missing(Group::group_norm), "release: the network has no group norm to release");
  require<OptionError>(!missing(Group::head), "release: the network has no head to release; ",
                       contains(found, Group::templates) ? "where that is made of templates, release these"
                                                         : "mark its last layer with .head = true");
  require<OptionError>(!missing(Group::rank_one), "release: the network has no layer that takes rank-1 factors",
                       rank_one_cure(network));
  require<OptionError>(!missing(Group::templates), "release: the network has no weights made of templates");
  for (int number = 0; number < 16; ++number)
    require<OptionError>(!missing(own_group(number)), "release: the network has no parameter of own_group(", number,
                         ")");
  require_named(selectors.patterns, names);
  require_named(selectors.additive, names);
  std::vector<std::string> additive;
  for_each_additive(network, selectors, [&](const std::string& name, auto&) { additive.push_back(name); });
  for (const std::string& pattern : selectors.additive)
    require<OptionError>(any_matches(additive, pattern), "release: other selectors have all parameters '", pattern,
                         "', so that none is left to be additive");
}

}  // namespace detail

/// Throws OptionError for selectors with which this network cannot be released: of which it has nothing, or that would
/// give a weight rank-1 factors that a plain Parameter shares.
template <nn::Visitable M>
void require_releasable(M& network, const Selectors& selectors) {
  detail::require_selected(network, selectors);
  detail::require_factors_read(network, selectors);
}
/// For what is no module: says so.
template <nn::detail::NoModule M>
auto require_releasable(M&, auto&&...) {
  return nn::detail::not_a_module<M>();
}

/// Throws OptionError unless something of what these selectors release could be drawn anew: factors and deviations have
/// a start of their own.
template <nn::Visitable M>
void require_drawable(M& network, const Selectors& selectors) {
  bool any = false;
  nn::for_each_parameter(network, [&](const std::string& name, const auto& parameter) {
    any = any || selectors.selects(name, parameter);
  });
  require<OptionError>(any, "release: nothing of ", selectors.text(),
                       " can be drawn anew; release parameters of the network, or let members start as copies");
}
/// For what is no module: says so.
template <nn::detail::NoModule M>
auto require_drawable(M&, auto&&...) {
  return nn::detail::not_a_module<M>();
}

namespace detail {

/// Release, after which start() makes the members differ.
template <nn::Visitable M, class Optimizer, class Start>
void release_members(M& network, Optimizer& optimizer, const ReleaseOptions& options, Start&& start) {
  using Parameter = nn::Parameter<nn::WeightOf<M>, typename M::device_type>;
  using Flat = nn::FlatWeights<nn::WeightOf<M>, typename M::device_type>;
  static_assert(Follower<std::remove_reference_t<Optimizer>, Flat>,
                "lpw: release takes what follows it, an optimizer or lpw::Followers(optimizer, average, ...), which "
                "have follows(stores) and "
                "rearrange(from, to)");
  const auto old = nn::flatten(network);
  require_possible(options);
  require<OptionError>(!is_released(network), "release: the network already has ", old->members,
                       " released members; collapse it first");
  require(optimizer.follows(*old),
          "release: the optimizer was made for another network, or before this one was moved to other stores");
  require_releasable(network, options.late);
  nn::for_each_parameter(network, [](const std::string&, Parameter& p) { p.set_late_phase(false); });
  nn::for_each_parameter(network, [&](const std::string& name, Parameter& parameter) {
    if (options.late.selects(name, parameter)) parameter.set_late_phase(true);
  });
  for_each_factored_weight(network, options.late, [](const std::string&, auto& weight) {
    weight.attach(nn::RankOne<nn::WeightOf<M>, typename M::device_type>(weight.shape()));
    for (auto* factor : {&weight.rank_one()->output, &weight.rank_one()->input}) factor->set_late_phase(true);
  });
  for_each_additive(network, options.late, [](const std::string&, Parameter& parameter) {
    nn::attach_additive(parameter);
    parameter.deviations()->set_late_phase(true);
  });
  const auto flat = nn::lay_out(network, options.members);
  optimizer.rearrange(*old, flat);
  if (options.momentum == ReleaseMomentum::zero) clear_states(optimizer);
  start();
}

}  // namespace detail

/// Replicates the selected parameters, all running statistics, and their optimizer state from one row to K, and adds
/// release noise to the parameters. Rank-1 factors are attached as ones, or as `rank_one_start` says, and deviations as
/// zeros; a weight that is released itself gets neither, one with deviations no factors. With sigma = 0 and factors of
/// ones every member computes exactly what the network did. `optimizer` is a Follower, as lpw::optim's are. A collapsed
/// network can be released again. Throws OptionError for a network that is released, members < 1, sigma < 0, or a
/// selector of which the network has no parameter; the network is untouched then.
template <nn::Visitable M, class Optimizer = NoOptimizer>
void release(M& network, Optimizer&& optimizer, const ReleaseOptions& options) {
  detail::release_members(network, optimizer, options, [&] { detail::start_members(network, options, {}); });
}

/// The same, and each member's released parameters are then those that network k of a source has, without noise beside:
/// members that start anew. Throws OptionError also where nothing is drawn so, ShapeError for a network of another
/// form.
template <nn::Visitable M, class Optimizer>
void release(M& network, Optimizer&& optimizer, const ReleaseOptions& options,
             const std::type_identity_t<MemberSource<M>>& source) {
  require_drawable(network, options.late);
  detail::release_members(network, optimizer, options, [&] {
    detail::start_members(network, options, detail::draw_members<M>(network, options.members, source));
  });
}

/// The same where nothing follows the network: no optimizer, no average.
template <nn::Visitable M>
void release(M& network, const ReleaseOptions& options) {
  release(network, NoOptimizer{}, options);
}
/// For what is no module: says so.
template <nn::detail::NoModule M>
auto release(M&, const ReleaseOptions&) {
  return nn::detail::not_a_module<M>();
}
/// For what is no module: says so.
template <nn::detail::NoModule M>
auto release(M&, auto&&, const ReleaseOptions&, auto&&...) {
  return nn::detail::not_a_module<M>();
}

}  // namespace lpw::inline LPW_ABI
