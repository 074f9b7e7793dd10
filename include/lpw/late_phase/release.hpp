// Release: from one network to K members that differ in their late-phase weights only. Afterwards the same forward, on minibatches
// [K, B, ...], computes all members in one pass.
#pragma once

#include <cstdint>
#include <memory>
#include <set>
#include <string>
#include <tuple>

#include <lpw/nn/flat_weights.hpp>
#include <lpw/nn/rank_one.hpp>
#include <lpw/tensor/float_bits.hpp>

namespace lpw::inline LPW_ABI {

struct ReleaseOptions {
  std::int64_t members = 10;                       // K
  Group groups = Group::batch_norm | Group::head;  // what becomes late-phase weights
  double sigma = 0;                                // sigma_0: phi_k = phi_0 + sigma_0 rms(phi_0) eps_k
  Philox random{0};                                // for eps
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

/// An optimizer and whatever else (a weight average) follows the same release. Holds references.
template <class... Parts>
class Followers {
 public:
  explicit Followers(Parts&... parts) : parts_(parts...) {}
  template <class Flat>
  [[nodiscard]] bool follows(const Flat& flat) const {
    return std::apply([&](const auto&... part) { return (part.follows(flat) && ...); }, parts_);
  }
  template <class Flat>
  void rearrange(const Flat& from, const std::shared_ptr<Flat>& to) {
    std::apply([&](auto&... part) { (part.rearrange(from, to), ...); }, parts_);
  }

 private:
  std::tuple<Parts&...> parts_;
};

namespace detail {

/// Whether release gives a module rank-1 factors: it can have them, and is not a head that is released whole.
template <class M>
[[nodiscard]] bool takes_rank_one(M& module, Group groups) {
  bool takes = contains(groups, Group::rank_one) && nn::HasDenseWeights<M>;
  if constexpr (nn::HasDenseWeights<M>)
    module.for_each_dense(
        [&](auto& weight, auto&) { takes = takes && !(contains(groups, Group::head) && contains(weight.group(), Group::head)); });
  return takes;
}

/// FNV-1a: gives every parameter noise of its own, whatever else is released.
[[nodiscard]] inline std::uint32_t name_hash(const std::string& name) {
  std::uint32_t hash = 2166136261u;
  for (const char c : name) hash = (hash ^ static_cast<unsigned char>(c)) * 16777619u;
  return hash;
}

/// Throws OptionError if two layers that would take rank-1 factors share one weight: a collapsed weight could not serve both.
template <nn::Visitable M>
void require_untied_weights(M& network, Group groups) {
  std::set<const void*> seen;
  nn::for_each_module(network, [&](const std::string& name, auto& module) {
    if constexpr (nn::HasDenseWeights<std::remove_reference_t<decltype(module)>>)
      if (takes_rank_one(module, groups))
        module.for_each_dense([&](auto& weight, auto&) {
          require<OptionError>(seen.insert(weight.id()).second, "release: layer '", name,
                               "' shares its weight with another, so it cannot have rank-1 factors of its own");
        });
  });
}

/// Throws OptionError unless every chosen group will have parameters.
template <nn::Visitable M>
void require_groups(M& network, Group groups) {
  Group found = Group::none;
  nn::for_each_parameter(network, [&](const std::string&, const auto& parameter) { found = found | parameter.group(); });
  nn::for_each_module(network, [&](const std::string&, auto& module) {
    if (takes_rank_one(module, groups)) found = found | Group::rank_one;
  });
  const auto missing = [&](Group group) { return contains(groups, group) && !contains(found, group); };
  require<OptionError>(!missing(Group::batch_norm), "release: the network has no batch norm to release");
  require<OptionError>(!missing(Group::head), "release: the network has no head to release; mark its last layer with .head = true");
  require<OptionError>(!missing(Group::rank_one), "release: the network has no layer that takes rank-1 factors");
}

}  // namespace detail

/// Replicates the parameters of the chosen groups, all running statistics, and their optimizer state from one row to K, and adds release
/// noise to the parameters. Rank-1 factors are attached as ones; a head that is released itself gets none. With sigma = 0 every member
/// computes exactly what the network did. `optimizer` is any type with follows(stores) and rearrange(from, to), as lpw::optim's have.
/// Throws OptionError for a network that has been released, members < 1, sigma < 0, or a chosen group of which the network has no
/// parameter; the network is untouched then.
template <nn::Visitable M, class Optimizer = NoOptimizer>
void release(M& network, Optimizer&& optimizer, const ReleaseOptions& options) {
  using Parameter = nn::Parameter<nn::WeightOf<M>, typename M::device_type>;
  const auto old = nn::flatten(network);
  require<OptionError>(options.members >= 1, "release: members ", options.members, "; expected at least 1");
  require<OptionError>(options.sigma >= 0 && is_finite(options.sigma), "release: sigma ", options.sigma, "; expected 0 or more");
  require<OptionError>(old->members == 1 && old->value.late.dim(1) == 0, "release: the network already has ", old->members,
                       " released members; collapse it first");
  require<OptionError>(options.members == 1 || options.groups != Group::none, "release: no group of late-phase weights is chosen");
  require(optimizer.follows(*old), "release: the optimizer was made for another network, or before this one was moved to other stores");
  detail::require_groups(network, options.groups);
  detail::require_untied_weights(network, options.groups);
  nn::for_each_module(network, [&](const std::string&, auto& module) {
    if constexpr (nn::HasDenseWeights<std::remove_reference_t<decltype(module)>>)
      if (detail::takes_rank_one(module, options.groups)) nn::attach_rank_one(module);
  });
  nn::for_each_parameter(network, [&](const std::string&, Parameter& parameter) {
    if (contains(options.groups, parameter.group())) parameter.set_late_phase(true);
  });
  const auto flat = nn::lay_out(network, options.members);
  optimizer.rearrange(*old, flat);
  std::set<const void*> seen;  // a weight shared by two modules gets its noise once
  nn::for_each_parameter(network, [&](const std::string& name, Parameter& parameter) {
    if (parameter.late_phase() && options.sigma > 0 && seen.insert(parameter.id()).second)
      add_member_noise(parameter.value(), options.sigma, options.random.stream(Stream::release, detail::name_hash(name)));
  });
}

template <nn::Visitable M>
void release(M& network, const ReleaseOptions& options) {
  release(network, NoOptimizer{}, options);
}

/// For what is no module: says so.
template <class M>
  requires(!nn::Visitable<M>)
typename nn::detail::NotAModule<M>::value_type release(M&, const ReleaseOptions&);
template <class M, class Optimizer>
  requires(!nn::Visitable<M>)
typename nn::detail::NotAModule<M>::value_type release(M&, Optimizer&&, const ReleaseOptions&);

}  // namespace lpw::inline LPW_ABI
