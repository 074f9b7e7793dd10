// The rows of how members start, what they read, how they pull on each other, and SAM.
#pragma once

#include <optional>

#include "idle.hpp"
#include "run_options.hpp"

namespace example::detail {

/// Why what concerns a coupling does nothing.
template <class O>
std::optional<Idle> without_coupling(const O& o) {
  if (auto why = without_released_others(o)) return why;
  if (o.coupling != "none") return std::nullopt;
  return Idle{"coupling", "members do not pull on each other"};
}
template <class O>
std::optional<Idle> without_elastic(const O& o) {
  if (auto why = without_coupling(o)) return why;
  if (o.coupling.starts_with("elastic")) return std::nullopt;
  return Idle{"coupling", "there is no centre"};
}
template <class O>
std::optional<Idle> without_sam(const O& o) {
  if (o.sam != 0) return std::nullopt;
  return Idle{"sam", "no weights ascend"};
}

/// Why an ascent of late-phase weights does nothing; those made of templates are there from the start.
template <class O>
std::optional<Idle> without_late_phase(const O& o) {
  if constexpr (requires { o.has_templates(); })
    if (o.has_templates()) return std::nullopt;
  return without_release(o);
}

template <class O>
OptionTable<O> sam_options() {
  constexpr auto training = Section::training;
  return {
      {.name = "sam",
       .member = &O::sam,
       .help = "rho of sharpness-aware minimisation, with which each step takes two passes; 0: none",
       .check = at_least(0.0),
       .section = training},
      {.name = "sam-adaptive",
       .member = &O::sam_adaptive,
       .help = "--sam relative to each weight's size (ASAM)",
       .section = training,
       .idle = without_sam<O>},
      {.name = "sam-weights",
       .member = &O::sam_weights,
       .help = "which weights --sam moves: all, late (once there are late-phase weights) or base",
       .check = one_of({"all", "late", "base"}),
       .section = training,
       .field = "sam.weights",
       .idle = [](const O& o) -> std::optional<Idle> {
         if (auto why = without_sam(o)) return why;
         return o.sam_weights == "late" ? without_late_phase(o) : std::nullopt;
       }},
      {.name = "sam-start",
       .member = &O::sam_start,
       .help = "epochs before --sam",
       .check = at_least<std::int64_t>(0),
       .section = training,
       .idle = without_sam<O>},
  };
}

template <class O>
OptionTable<O> coupling_options() {
  constexpr auto late_phase = Section::late_phase;
  OptionTable<O> table{
      {.name = "coupling",
       .member = &O::coupling,
       .help = "how members pull on each other after their steps: none, pull:ALPHA or pull:ALPHA:GROWTH (to their "
               "mean), elastic or elastic:RHO (to a centre), swap:SHARE or swap:SHARE:states",
       .section = late_phase,
       .idle = without_released_others<O>},
      {.name = "coupling-every",
       .member = &O::coupling_every,
       .help = "iterations from a coupling to the next, from the release on",
       .check = at_least<std::int64_t>(1),
       .section = late_phase,
       .idle = without_coupling<O>},
      {.name = "elastic-served",
       .member = &O::elastic_served,
       .help = "what a run with --coupling elastic ends with: the centre, or the members",
       .check = one_of({"centre", "members"}),
       .section = late_phase,
       .idle = without_elastic<O>},
      {.name = "member-data",
       .member = &O::member_data,
       .help = "what members read: own minibatches, the same ones, or each the whole training set in its own order",
       .check = one_of({"own", "same", "whole"}),
       .section = late_phase,
       .idle = without_released_others<O>},
      {.name = "release-start",
       .member = &O::release_start,
       .help = "what members' weights start from: copy, the network's, or redraw, initial weights of their own",
       .check = one_of({"copy", "redraw"}),
       .section = late_phase,
       .idle = without_release<O>},
  };
  for (auto&& row : sam_options<O>()) table.push_back(row);
  for (auto& option : table) option.role = Role::training, option.later = true;
  return table;
}

}  // namespace example::detail
