// What cannot work among a run's options of coupling, SAM and the members' start.
#pragma once

#include <cstdint>

#include <lpw/late_phase/coupling_options.hpp>
#include <lpw/late_phase/release.hpp>
#include <lpw/optim/sam.hpp>
#include <lpw/tensor/error.hpp>
#include <lpw/train/serving_options.hpp>

namespace lpw::inline LPW_ABI::train {

namespace detail {

template <class TrainOptions>
void validate_elastic(const TrainOptions& o) {
  const bool centre = o.coupling && std::holds_alternative<Elastic>(*o.coupling) &&
                      o.elastic_served == decltype(o.elastic_served)::centre;
  require<OptionError>(!centre || !o.average,
                       "`average`: a run ends either with the centre of elastic members or with averaged weights; "
                       "leave `average` at none, or set "
                       "`elastic_served` to members");
  require<OptionError>(
      !centre || o.serving.served != Served::ensemble,
      "`serve` ensemble: with an elastic centre all members end as that one network; serve the collapsed "
      "network, or train with `elastic_served` at members");
  require<OptionError>(
      !centre || !o.serving.chooses(), "`collapse` ", o.serving.collapse == Averaging::greedy ? "greedy" : "fitted",
      " has nothing to choose: with an elastic centre all members end as that one network; leave `collapse` "
      "at affine, or train with `elastic_served` at members");
}

/// What is done with members does something only where they are released.
template <class TrainOptions>
void validate_idle_members(const TrainOptions& o) {
  require<OptionError>(!o.coupling || (o.releases() && o.members > 1),
                       "`coupling`: no members are released that could pull on each other; leave it out");
  using Start = decltype(o.release_start);
  require<OptionError>(o.releases() || o.release_start == Start::copy,
                       "`release_start` redraw: no members are released; leave it at copy");
}

template <class TrainOptions>
void validate_redraw(const TrainOptions& o) {
  using Start = decltype(o.release_start);
  if (o.release_start != Start::redraw || !o.releases()) return;
  const bool at_once = o.due(0, 0);
  require<OptionError>(
      o.release_every == 0,
      "`release_every`: members that are drawn anew do not go on from collapsed ones; leave `release_every` at 0, or "
      "set `release_start` to copy");
  require<OptionError>(
      at_once || !o.late.all,
      "`release_epoch`: all weights are drawn anew at a release, so that training before it is for nothing; set "
      "`release_epoch` to 0, or `release_start` to copy");
  require<OptionError>(at_once || o.release_momentum == ReleaseMomentum::zero,
                       "`release_momentum` carry: weights that are drawn anew have no past; set `release_momentum` to "
                       "zero, or `release_start` to "
                       "copy");
  const bool averaged_before = o.average && !at_once && (o.release_step >= 0 || o.average_plan.start < o.release_epoch);
  require<OptionError>(
      !averaged_before,
      "`average_plan.start`: weights that are drawn anew have no past to be averaged with; set `average_plan.start` to "
      "`release_epoch` or later, or `release_start` to copy");
}

}  // namespace detail

/// Part of validate().
template <class TrainOptions>
void validate_coupling(const TrainOptions& o) {
  if (o.coupling) require_possible(CouplingOptions{.rule = *o.coupling, .every = o.coupling_every}, o.members);
  detail::validate_idle_members(o);
  detail::validate_elastic(o);
  detail::validate_redraw(o);
  optim::require_possible(o.sam);
  require<OptionError>(o.sam_start >= 0 && (o.sam.rho == 0 || o.sam_start < o.epochs), "`sam_start` ", o.sam_start,
                       "; expected from 0 to fewer than the ", o.epochs, " epochs");
}

}  // namespace lpw::inline LPW_ABI::train
