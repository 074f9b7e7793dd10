// One iteration of a run: gradients of all members, the optimizer's step, and the losses.
#pragma once

#include <optional>
#include <string>

#include <lpw/tensor/replay.hpp>
#include <lpw/tensor/unchanged_weights.hpp>
#include <lpw/train/run.hpp>

namespace lpw::inline LPW_ABI::train {

/// Takes steps, which a device may replay.
template <nn::Visitable Network, class Task>
class TrainingStep {
 public:
  using Run = TrainingRun<Network, Task>;
  using W = typename Run::W;
  using D = typename Run::D;

  /// Throws NonFinite for a loss that is none.
  void take(Run& run, const typename Task::Batch& batch) {
    const std::int64_t members = run.members();
    if (!outputs_ || outputs_->losses.dim(0) != members) outputs_.emplace(members);
    run.optimizer->advance(run.base_factor(), run.late_factor());
    const auto& weights = run.optimizer->weights().value;
    const std::string key = to_text(members, ' ', place_of(weights.base), place_of(weights.late),
                                    place_of(outputs_->losses), place_of(outputs_->correct), Task::place(batch));
    replay_.run(key, static_cast<std::uint32_t>(run.progress.step), [&](std::uint32_t number) {
      accumulate_gradient(run, batch, Philox(run.options.seed, Stream::dropout, number));
      run.optimizer->apply();
    });
    read_outputs(run, run.task.samples_in(batch));
    ++run.progress.iteration;
    ++run.progress.step;
  }

 private:
  void accumulate_gradient(Run& run, const typename Task::Batch& batch, const Philox& random) {
    const auto& weights = run.optimizer->weights().value;
    const UnchangedWeights<W, D> unchanged(weights.base, weights.late);
    for (const MemberRange range : member_chunks(run.members(), run.options.member_chunk)) {
      Tape tape({.members = range, .random = random});
      run.task.accumulate_gradient(run.network, tape, batch, *outputs_);
    }
  }

  /// Adds what the step left on the device to the epoch's sums.
  void read_outputs(Run& run, std::int64_t samples) {
    const auto losses = to_host(outputs_->losses);
    const auto correct = to_host(outputs_->correct);
    const std::int64_t members = run.members();
    for (std::int64_t k = 0; k < members; ++k) {
      const double loss = static_cast<double>(losses.data()[k]);
      if (!is_finite(loss)) run.fail_diverged(to_text("the loss of member ", k, " became ", loss));
      run.progress.sums.loss += loss * static_cast<double>(samples) / static_cast<double>(members);
      run.progress.sums.correct += correct.data()[k];
    }
    run.progress.sums.seen += samples;
  }

  std::optional<StepOutputs<W, D>> outputs_;
  Replay<D> replay_;
};

}  // namespace lpw::inline LPW_ABI::train
