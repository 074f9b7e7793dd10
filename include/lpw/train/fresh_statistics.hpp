// Running statistics of weights that a run was not trained with: averages of it over time or of its members.
#pragma once

#include <lpw/optim/statistics.hpp>
#include <lpw/train/interrupt.hpp>
#include <lpw/train/run.hpp>

namespace lpw::inline LPW_ABI::train {

/// Gathers a network's in one pass over the training set in the order of an epoch, for networks that have any and whose
/// tasks say what the inputs of a batch are. Counts the pass. Throws Interrupted where a signal came.
template <nn::Visitable Network, class Task>
void recompute_statistics(TrainingRun<Network, Task>& run, Network& network, std::int64_t epoch) {
  if (nn::flatten(network)->buffers.size() == 0) return nn::set_statistics_stale(network, false);
  if constexpr (requires(const typename Task::Batch& batch) { Task::inputs(batch); })
    optim::recompute_statistics(network, run.task.epoch(epoch, nn::members(network), 0), run.options.member_chunk,
                                [&](const typename Task::Batch& batch) {
                                  InterruptGuard::check();
                                  run.progress.work.forward += run.task.samples_in(batch);
                                  return Task::inputs(batch);
                                });
}

}  // namespace lpw::inline LPW_ABI::train
