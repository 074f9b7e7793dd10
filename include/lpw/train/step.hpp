// One iteration of a run: gradients of all members, the optimizer's step, and the losses. Inside SAM the gradient is
// taken twice, of the same minibatches with the same random numbers and carried states; what a step reports and carries
// on is the first pass's.
//
// A device that works on its own is given the next step before the host reads the losses of the one before: it has
// something to do all the time. settle() reads those of the last.
#pragma once

#include <optional>
#include <string>
#include <utility>

#include <lpw/optim/sam.hpp>
#include <lpw/tensor/host_copy.hpp>
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

  /// Counts the step in the run's progress. Its losses are among the sums after settle(), or with the next step. Throws
  /// NonFinite for one that is no number.
  void take(Run& run, const typename Task::Batch& batch) {
    const std::int64_t members = run.members();
    if (!outputs_ || outputs_->losses.dim(0) != members) outputs_.emplace(members);
    const optim::Time now = run.now();
    run.optimizer->advance(run.base_factor(now), run.late_factor(now), run.coefficient_factor(now));
    const std::string key =
        to_text(key_of(run), place_of(outputs_->losses), place_of(outputs_->correct), Task::place(batch));
    replay_.run(key, static_cast<std::uint32_t>(run.progress.step), [&](std::uint32_t number) {
      take_gradient(run, batch, Philox(run.options.seed, Stream::dropout, number));
      run.optimizer->apply();
    });
    settle(run);
    copies_.send(outputs_->losses, outputs_->correct);
    sent_ = Sent{run.progress.epoch, run.progress.iteration, run.task.samples_in(batch)};
    const std::int64_t passed = (run.ascends() ? 2 : 1) * sent_->samples;
    run.progress.work.forward += passed, run.progress.work.backward += passed;
    ++run.progress.iteration;
    ++run.progress.step;
    if (!Copies::late) settle(run);
  }

  /// What a recorded step depends on of the run: the members, passes, and the optimizer with its stores.
  [[nodiscard]] static std::string key_of(const Run& run) {
    return to_text(run.members(), run.ascends() ? " two passes " : " ", run.optimizer->replay_key(run.progress.step));
  }

  /// Adds what the last step left on the device to the epoch's sums, unless that was done. Throws as take().
  void settle(Run& run) {
    if (!sent_) return;
    const Sent step = *std::exchange(sent_, std::nullopt);
    const auto [losses, correct] = copies_.received();
    const auto members = static_cast<double>(losses.size());
    for (std::size_t k = 0; k < losses.size(); ++k) {
      const double loss = static_cast<double>(losses[k]);
      if (!is_finite(loss))
        run.fail_diverged(to_text("the loss of member ", k, " became ", loss), step.epoch, step.iteration);
      run.progress.sums.loss += loss * static_cast<double>(step.samples) / members;
      run.progress.sums.correct += correct[k];
    }
    run.progress.sums.seen += step.samples;
  }

 private:
  /// The gradient that the optimizer steps with.
  void take_gradient(Run& run, const typename Task::Batch& batch, const Philox& random) {
    if (!run.ascends()) return accumulate_gradient(run, batch, random, *outputs_);
    optim::Sam sam(*run.optimizer, run.options.sam);
    StepOutputs<W, D> unread(run.members());
    const auto second_pass = [&] {
      auto ascent = sam.ascend();
      accumulate_gradient(run, batch, random, unread);
      ascent.restore();
    };
    if constexpr (requires { run.task.carry(run.task.carried()); }) {
      const auto before = run.task.carried();
      accumulate_gradient(run, batch, random, *outputs_);
      const auto after = run.task.carried();
      run.task.carry(before);
      second_pass();
      run.task.carry(after);
    } else {
      accumulate_gradient(run, batch, random, *outputs_);
      second_pass();
    }
  }

  void accumulate_gradient(Run& run, const typename Task::Batch& batch, const Philox& random,
                           StepOutputs<W, D>& outputs) {
    const auto& weights = run.optimizer->weights().value;
    const UnchangedWeights<W, D> unchanged(weights.base, weights.late);
    for (const MemberRange range : member_chunks(run.members(), run.options.member_chunk)) {
      Tape tape({.members = range, .random = random});
      run.task.accumulate_gradient(run.network, tape, batch, outputs);
    }
  }

  using Copies = HostCopy<D, W, std::int32_t>;
  /// Which step the copies are of.
  struct Sent {
    std::int64_t epoch, iteration, samples;
  };

  std::optional<StepOutputs<W, D>> outputs_;
  Copies copies_;
  std::optional<Sent> sent_;
  Replay<D> replay_;
};

}  // namespace lpw::inline LPW_ABI::train
