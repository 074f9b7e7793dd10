// The rows of the options of averages over time and of snapshots.
#pragma once

#include <cstdint>
#include <optional>

#include "option_table.hpp"

namespace example::detail {

/// Why what concerns an average does nothing.
template <class O>
std::optional<Idle> without_average(const O& o) {
  if (o.average != "none") return std::nullopt;
  return Idle{"average", "no weights are averaged"};
}

template <class O>
OptionTable<O> averaging_options() {
  OptionTable<O> table{
      {.name = "average",
       .member = &O::average,
       .help = "average of the weights over time, which is served in their place: none, swa (the mean of all), "
               "ema:DECAY or ema:DECAY:LATE_DECAY (exponential, with a decay of its own while there are late-phase "
               "weights), or lawa:N (the "
               "mean of the last N)",
       .section = Section::training},
      {.name = "average-start",
       .member = &O::average_start,
       .help = "epochs before averaging: the first weights are those of the epoch after them",
       .check = at_least<std::int64_t>(0),
       .section = Section::training,
       .field = "average_plan.start",
       .idle = without_average<O>},
      {.name = "average-every",
       .member = &O::average_every,
       .help = "epochs or steps from one update of the average to the next",
       .check = at_least<std::int64_t>(1),
       .section = Section::training,
       .field = "average_plan.every",
       .idle = without_average<O>},
      {.name = "average-by",
       .member = &O::average_by,
       .help = "what --average-every counts, epochs or steps; default: steps for ema, epochs for others",
       .check = one_of({"epochs", "steps"}),
       .section = Section::training,
       .idle = without_average<O>},
      {.name = "snapshots",
       .member = &O::snapshots,
       .help = "networks kept from the ends of the last so many cycles of --schedule, whose ensemble is scored at the "
               "end; 0: none",
       .check = at_least<std::int64_t>(0),
       .section = Section::training},
  };
  for (auto& option : table) option.role = Role::training, option.later = true;
  return table;
}

}  // namespace example::detail
