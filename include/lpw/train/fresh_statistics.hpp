// Running statistics of weights that a run was not trained with: averages of it over time or of its members.
#pragma once

#include <lpw/optim/statistics.hpp>
#include <lpw/train/interrupt.hpp>
#include <lpw/train/run.hpp>

namespace lpw::inline LPW_ABI::train {

namespace detail {

/// An epoch of a network's own minibatches: of the members that are here, or of one's the part that is this process'.
template <nn::Visitable Network, class Task>
[[nodiscard]] auto minibatches_of(TrainingRun<Network, Task>& run, Network& network, std::int64_t epoch) {
  if constexpr (SharedTask<Task>) {
    return run.task.epoch(epoch, run.team.of(network), 0);
  } else {
    return run.task.epoch(epoch, nn::members(network), 0);
  }
}

}  // namespace detail

/// Gathers a network's in one pass over the training set in the order of an epoch, for networks that have any and whose
/// tasks say what the inputs of a batch are. Counts the pass. Throws Interrupted where a signal came. Of several
/// processes, each does it for its own members, and those that have one together each with a part of its minibatches.
template <nn::Visitable Network, class Task>
void recompute_statistics(TrainingRun<Network, Task>& run, Network& network, std::int64_t epoch) {
  if (nn::flatten(network)->buffers.size() == 0) return nn::set_statistics_stale(network, false);
  if constexpr (requires(const typename Task::Batch& batch) { Task::inputs(batch); }) {
    using Batch = typename Task::Batch;
    const std::int64_t members = nn::flatten(network)->all_members();
    std::int64_t iteration = 0, here = 0;
    distributed::WholeMinibatch whole;
    const auto inputs_of = [&](const Batch& batch) {
      InterruptGuard::check();
      here = run.task.samples_in(batch);
      std::int64_t samples = here;  // of all members
      if constexpr (SharedTask<Task>) samples = run.task.samples_in_iteration(members, iteration++);
      whole = run.whole_of(batch, samples / members);
      run.progress.work.forward += samples;
      return Task::inputs(batch);
    };
    const auto pass_of = [&](const auto&) { return run.team.statistics_pass(network, here, whole); };
    optim::recompute_statistics(network, detail::minibatches_of(run, network, epoch), run.options.member_chunk,
                                inputs_of, pass_of);
  }
}

}  // namespace lpw::inline LPW_ABI::train
