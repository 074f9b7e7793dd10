// What cannot work among the options of averages over time and of snapshots, which options.hpp lists.
#pragma once

#include <algorithm>
#include <cstdint>
#include <limits>
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
  require<OptionError>(plan.start < epochs, "`average_plan.start` ", plan.start, ": averaging would begin after all ",
                       epochs, " epochs; take a smaller one");
  require<OptionError>(plan.period == optim::AveragePlan::Period::steps || plan.every <= epochs - plan.start,
                       "`average_plan.every` ", plan.every, ": there are only ", epochs - plan.start,
                       " epochs from `average_plan.start` ", plan.start,
                       " on, so that nothing would be averaged; take a smaller one");
}

/// Whether a run takes no more steps than can be counted.
template <class TrainOptions>
[[nodiscard]] bool countable(const TrainOptions& o, std::int64_t base_iterations, std::int64_t late_iterations) {
  return o.epochs <= std::numeric_limits<std::int64_t>::max() / 2 / std::max(base_iterations, late_iterations);
}

/// How many steps a run takes in its first so many epochs, with the iterations that an epoch has before and after the
/// release.
template <class TrainOptions>
[[nodiscard]] std::int64_t steps_in_epochs(const TrainOptions& o, std::int64_t epochs, std::int64_t base_iterations,
                                           std::int64_t late_iterations) {
  std::int64_t base_epochs = o.epochs, cut = 0;  // of the last of those
  if (o.releases()) {
    base_epochs = o.release_epoch;
    if (o.release_step >= 0) {
      base_epochs = (o.release_step + base_iterations - 1) / base_iterations;
      cut = base_epochs * base_iterations - o.release_step;
    }
  }
  if (epochs < base_epochs) return epochs * base_iterations;
  return base_epochs * base_iterations - cut + (epochs - base_epochs) * late_iterations;
}

/// Throws OptionError for an average that no step of a run, from `average_plan.start` on, would update.
template <class TrainOptions>
void require_average_due(const TrainOptions& o, std::int64_t base_iterations, std::int64_t late_iterations) {
  if (!o.average || o.average_plan.period == optim::AveragePlan::Period::epochs) return;
  if (!countable(o, base_iterations, late_iterations)) return;  // some are due
  const std::int64_t every = o.average_plan.every,
                     before = steps_in_epochs(o, o.average_plan.start, base_iterations, late_iterations),
                     all = steps_in_epochs(o, o.epochs, base_iterations, late_iterations);
  require<OptionError>(all / every > before / every, "`average_plan.every` ", every, ": none of the steps ", before + 1,
                       " to ", all, ", which are those from `average_plan.start` ", o.average_plan.start,
                       " on, is a multiple of it, so that nothing would be averaged; take a smaller one");
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
