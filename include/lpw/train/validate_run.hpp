// What cannot work among a run's options with its task and network. The options by themselves: validate (options.hpp).
#pragma once

#include <algorithm>
#include <string>
#include <type_traits>

#include <lpw/late_phase/release.hpp>
#include <lpw/train/collapsing.hpp>
#include <lpw/train/options.hpp>
#include <lpw/train/run.hpp>
#include <lpw/train/scoring.hpp>

namespace lpw::inline LPW_ABI::train {

namespace detail {

template <nn::Visitable Network>
void require_base_weights(Network& network, const Selectors& late) {
  bool any = false;
  nn::for_each_parameter(
      network, [&](const std::string& name, const auto& parameter) { any = any || !late.selects(name, parameter); });
  require<OptionError>(any, "`sam.weights` base: all weights are late-phase; let all ascend");
}

/// That the network has what is to be released, and what is done with it.
template <nn::Visitable Network>
void require_late_phase(const TrainOptions& options, Network& network) {
  if (!options.releases()) return;
  try {
    require_releasable(network, options.late);
    require<OptionError>(options.release_every == 0 || !nn::has_templates(network),
                         "collapsed members are a plain network, in which no weights made of templates are left to "
                         "release again; leave `release_every` at 0");
    if (options.release_start == ReleaseStart::redraw) require_drawable(network, options.late);
    if (options.sam.rho > 0 && options.sam.weights == optim::Ascending::base)
      require_base_weights(network, options.late);
  } catch (const OptionError& error) {
    fail<OptionError>("`late` ", options.late.text(), ": ", error.what());
  }
}

/// That another release comes before the end, or with it: then the run is one of a single release.
template <class Task>
void require_released_again(const TrainOptions& o, const Task& task) {
  if (!o.releases()) return;
  const std::int64_t epochs = member_epochs(o, task);
  require<OptionError>(o.release_every <= epochs, "`release_every` ", o.release_every, ": only ", epochs,
                       " epochs follow the release, so that there would be no other; take fewer, or leave it at 0");
}

/// That members take enough steps from a release to the next, or to the end, to be coupled.
template <class Task>
void require_coupled(const TrainOptions& o, const Task& task) {
  if (!o.coupling || !countable(o, task.iterations(1), task.iterations(o.members))) return;
  const bool again = o.release_every > 0;
  const std::int64_t steps = task.iterations(o.members) * (again ? o.release_every : member_epochs(o, task));
  require<OptionError>(o.coupling_every <= steps, "`coupling_every` ", o.coupling_every, ": members take ", steps,
                       " steps ", again ? "from a release to the next" : "after their release",
                       ", so that they would never be coupled; take a smaller one");
}

/// That a cycle of a schedule in iterations ends within the run, if there are to be snapshots.
template <class Task>
void require_snapshot(const TrainOptions& o, const Task& task) {
  if (o.snapshots == 0 || o.schedule.unit != optim::ScheduleUnit::iterations) return;
  const std::int64_t steps =
      steps_in_epochs(o, o.epochs, task.iterations(1), task.iterations(o.releases() ? o.members : 1));
  require<OptionError>(optim::cycles_done(o.schedule, static_cast<double>(steps)) > 0, "`snapshots` ", o.snapshots,
                       ": no cycle of `schedule` ends within the run's ", steps, " iterations; take shorter ones");
}

}  // namespace detail

/// Throws OptionError where a run cannot be shared out over its processes.
template <class Run>
void require_possible_over_processes(const Run& run) {
  if (!run.processes.several()) return;
  using Task = std::remove_cvref_t<decltype(run.task)>;
  require<OptionError>(SharedTask<Task>, run.processes.size(),
                       " processes: the task is one process' (SharedTask); start one");
}

/// Returns the options. Throws OptionError where they cannot work with this task or network.
template <nn::Visitable Network, class Task>
const TrainOptions& possible(const TrainOptions& options, const Task& task, Network& network) {
  validate(options);
  detail::require_late_phase(options, network);
  require<OptionError>(!options.groups_coefficients() || nn::has_templates(network),
                       "`coefficient_schedule` and the optimizer's `coefficients`: no weights of the network are made "
                       "of templates; leave them out");
  const std::int64_t members = options.releases() ? options.members : 1;
  task.check(members);
  require_held_out(options.serving, holds_out<Network>(task));
  require<OptionError>(SamplesDropout<Task, Network> || options.serving.served != Served::dropout,
                       "`serve` dropout: the task scores no dropout samples (evaluate_dropout); serve another");
  // The epoch of that step ends with it, and there must be one after.
  const std::int64_t step = options.release_step, iterations = task.iterations(1);
  require<OptionError>(!options.releases() || step < 0 || (step + iterations - 1) / iterations < options.epochs,
                       "`release_step` ", step, " is not reached before the last of ", options.epochs, " epochs of ",
                       iterations, " iterations, which is the members'; take an earlier step or more epochs");
  require<OptionError>(options.sam.rho == 0 || options.sam.weights != optim::Ascending::late_phase ||
                           options.releases() || nn::has_templates(network),
                       "`sam.weights` late: no members are released, whose weights would ascend; let all ascend");
  detail::require_snapshot(options, task);
  detail::require_released_again(options, task);
  detail::require_coupled(options, task);
  require_average_due(options, iterations, task.iterations(members));
  return options;
}

}  // namespace lpw::inline LPW_ABI::train
