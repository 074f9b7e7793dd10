// Release: from one network to K members that differ in their late-phase weights only. Afterwards the same forward, on minibatches
// [K, B, ...], computes all members in one pass.
#pragma once

#include <lpw/nn/flat_weights.hpp>

namespace lpw {

struct ReleaseOptions {
  std::int64_t members = 10;                                        // K
  Group groups = Group::batch_norm | Group::head;       // what becomes late-phase weights
  double sigma = 0;                                                 // sigma_0: phi_k = phi_0 + sigma_0 rms(phi_0) eps_k
  Philox random{0};                                                 // for eps
};

/// Without an optimizer.
struct NoOptimizer {
  template <class Flat>
  void rearrange(const Flat&, const std::shared_ptr<Flat>&) {}
};

/// Replicates the parameters of the chosen groups, all running statistics, and their optimizer state from one row to K, and adds release
/// noise to the parameters. Rank-1 factors are attached as ones; a head that is released itself gets none. With sigma = 0 every member
/// computes exactly what the network did. `optimizer` is any type with rearrange(from, to) for stores, as lpw::optim's have.
/// Throws OptionError for a network that has been released, members < 1, sigma < 0, or a chosen group of which the network has no parameter.
template <nn::Visitable M, class Optimizer = NoOptimizer>
void release(M& network, Optimizer&& optimizer, const ReleaseOptions& options) {
  using Parameter = nn::Parameter<nn::WeightOf<M>, typename M::device_type>;
  const auto old = nn::flatten(network);
  require<OptionError>(options.members >= 1, "release: members ", options.members, "; expected at least 1");
  require<OptionError>(options.sigma >= 0, "release: sigma ", options.sigma, " is negative");
  require<OptionError>(old->members == 1 && old->value.late.dim(1) == 0, "release: the network already has ", old->members,
                       " released members; collapse it first");
  if (contains(options.groups, Group::rank_one))
    nn::for_each_module(network, [&](const std::string&, auto& module) {
      if constexpr (requires { module.attach_rank_one(); }) {
        const bool released_whole = contains(options.groups, Group::head) && contains(module.weight.group(), Group::head);
        if (!released_whole) module.attach_rank_one();
      }
    });
  unsigned found = 0;
  nn::for_each_parameter(network, [&](const std::string&, Parameter& parameter) {
    if (!contains(options.groups, parameter.group())) return;
    found |= unsigned(parameter.group());
    parameter.set_late_phase(true);
  });
  require<OptionError>((unsigned(options.groups) & ~found) == 0, "release: the network has no parameters of a chosen late-phase group",
                       contains(options.groups, Group::head) && !(found & unsigned(Group::head)) ? "; mark its last layer with .head = true" : "");
  const auto flat = nn::restore_flat(network, options.members);
  optimizer.rearrange(*old, flat);
  old->retired = true;
  std::uint32_t index = 0;
  nn::for_each_parameter(network, [&](const std::string&, Parameter& parameter) {
    if (parameter.late_phase() && options.sigma > 0) add_member_noise(parameter.value(), options.sigma, options.random.stream(Stream::release, index));
    ++index;
  });
}

template <nn::Visitable M>
void release(M& network, const ReleaseOptions& options) {
  release(network, NoOptimizer{}, options);
}

}  // namespace lpw
