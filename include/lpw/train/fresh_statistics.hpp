// Running statistics of weights that a run was not trained with: averages of it over time or of its members.
#pragma once

#include <lpw/optim/statistics.hpp>
#include <lpw/train/interrupt.hpp>
#include <lpw/train/run.hpp>

namespace lpw::inline LPW_ABI::train {

namespace detail {

/// An epoch of a network's own minibatches, whole ones: of the members that are here where processes share them.
template <class Task, nn::Visitable Network>
[[nodiscard]] auto whole_minibatches(Task& task, Network& network, std::int64_t epoch) {
  if constexpr (SharedTask<Task>) {
    const auto share = nn::member_share(network);
    return task.epoch(epoch,
                      share ? data::ReadMembers(share->members(), share->here().first, share->here().count)
                            : data::ReadMembers(nn::members(network)),
                      0);
  } else {
    return task.epoch(epoch, nn::members(network), 0);
  }
}

}  // namespace detail

/// Gathers a network's in one pass over the training set in the order of an epoch, for networks that have any and whose
/// tasks say what the inputs of a batch are. Counts the pass. Throws Interrupted where a signal came. Of several
/// processes, each does it for its own members, or all for a network of one.
template <nn::Visitable Network, class Task>
void recompute_statistics(TrainingRun<Network, Task>& run, Network& network, std::int64_t epoch) {
  if (nn::flatten(network)->buffers.size() == 0) return nn::set_statistics_stale(network, false);
  if constexpr (requires(const typename Task::Batch& batch) { Task::inputs(batch); }) {
    const std::int64_t here = nn::members(network), all = nn::flatten(network)->all_members();
    optim::recompute_statistics(network, detail::whole_minibatches(run.task, network, epoch), run.options.member_chunk,
                                [&](const typename Task::Batch& batch) {
                                  InterruptGuard::check();
                                  run.progress.work.forward += run.task.samples_in(batch) / here * all;
                                  return Task::inputs(batch);
                                });
  }
}

}  // namespace lpw::inline LPW_ABI::train
