// Running statistics of weights that a run was not trained with: averages of it, or the centre of its members.
#pragma once

#include <lpw/optim/statistics.hpp>
#include <lpw/train/interrupt.hpp>
#include <lpw/train/run.hpp>

namespace lpw::inline LPW_ABI::train {

/// Gathers them in one pass over the training set, for networks that have any and whose tasks say what the inputs of a
/// batch are. Throws Interrupted where a signal came.
template <nn::Visitable Network, class Task>
void recompute_statistics(TrainingRun<Network, Task>& run) {
  if constexpr (requires(const typename Task::Batch& batch) { Task::inputs(batch); })
    optim::recompute_statistics(run.network, run.task.epoch(run.options.epochs, run.members(), 0),
                                run.options.member_chunk, [](const typename Task::Batch& batch) {
                                  InterruptGuard::check();
                                  return Task::inputs(batch);
                                });
}

}  // namespace lpw::inline LPW_ABI::train
