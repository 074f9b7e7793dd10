// What cannot work among the options of averages over time and of snapshots, which options.hpp lists.
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>

#include <lpw/optim/averages/make_average.hpp>
#include <lpw/optim/schedules/pieces.hpp>
#include <lpw/tensor/error.hpp>

namespace lpw::inline LPW_ABI::train {

/// Throws OptionError for an average that cannot be, or that no epoch of a run would update.
inline void validate_average(const std::optional<optim::AverageOptions>& average, const optim::AveragePlan& plan,
                             std::int64_t epochs) {
  if (!average) return;
  optim::validate(*average);
  optim::validate(plan);
  require<OptionError>(plan.start < epochs, "weight averaging starts after epoch ", plan.start, ", but there are only ",
                       epochs, " epochs");
  require<OptionError>(plan.period == optim::AveragePlan::Period::steps || plan.every <= epochs - plan.start,
                       "`average_plan.every` ", plan.every, ": there are only ", epochs - plan.start,
                       " epochs from `average_plan.start` ", plan.start, " on, so that nothing would be averaged");
}

/// Throws OptionError for an average that no step of a run of so many epochs, of at most so many iterations, would
/// update.
inline void require_average_reached(const std::optional<optim::AverageOptions>& average, const optim::AveragePlan& plan,
                                    std::int64_t epochs, std::int64_t iterations) {
  if (!average || plan.period == optim::AveragePlan::Period::epochs) return;
  require<OptionError>((plan.every - 1) / iterations < epochs, "`average_plan.every` ", plan.every, ": ", epochs,
                       " epochs have at most ", iterations, " steps each, so that nothing would be averaged");
}

/// Throws OptionError for snapshots where no cycle of the schedule ends.
inline void validate_snapshots(std::int64_t snapshots, const optim::Schedule& schedule, std::int64_t epochs) {
  require<OptionError>(snapshots >= 0, "`snapshots` ", snapshots, "; expected at least 0");
  if (snapshots == 0) return;
  require<OptionError>(optim::has_cycles(schedule), "`snapshots` ", snapshots,
                       ": `schedule` has no cycles, at whose ends they are taken; take one with cycles, such as "
                       "cosine-cycles:LENGTH");
  const bool ends =
      schedule.unit == optim::ScheduleUnit::iterations || optim::cycles_done(schedule, static_cast<double>(epochs)) > 0;
  require<OptionError>(ends, "`snapshots` ", snapshots, ": no cycle of `schedule` ends within ", epochs,
                       " epochs; take shorter ones");
}

}  // namespace lpw::inline LPW_ABI::train
