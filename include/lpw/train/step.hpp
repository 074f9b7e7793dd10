// One iteration of a run: gradients of all members, their sum over processes, the optimizer's step, and the losses.
// Inside SAM the gradient is taken twice, of the same minibatches with the same random numbers and carried states; what
// a step reports and carries on is the first pass's.
//
// A device that works on its own is given the next step before the host reads the losses of the one before: it has
// something to do all the time. settle() reads those of the last.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <lpw/optim/sam.hpp>
#include <lpw/tensor/host_copy.hpp>
#include <lpw/tensor/replay.hpp>
#include <lpw/tensor/unchanged_weights.hpp>
#include <lpw/train/interrupt.hpp>
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
  /// NonFinite for one that is no number. With the losses processes tell each other signals that came (InterruptGuard),
  /// and whether `due`, which process 0 says: see due().
  void take(Run& run, const typename Task::Batch& batch, bool due = false) {
    const std::int64_t members = run.members_here();
    if (!outputs_ || outputs_->losses.dim(0) != members) outputs_.emplace(members);
    const optim::Time now = run.now();
    run.optimizer->advance(run.base_factor(now), run.late_factor(now), run.coefficient_factor(now), now);
    TapeOptions pass = pass_of(run, batch);
    const std::string key = to_text(key_of(run), place_of(outputs_->losses), place_of(outputs_->correct),
                                    Task::place(batch), ' ', pass.part.whole);
    const auto step = [&](std::uint32_t number) {
      pass.random = Philox(run.options.seed, Stream::dropout, number);
      take_gradient(run, batch, pass);
      run.optimizer->apply();
    };
    const auto number = static_cast<std::uint32_t>(run.progress.step);
    if (run.processes.several() && !run.processes.sums_on_device())
      step(number);  // what processes tell each other by way of the host is not to be recorded
    else
      replay_.run(key, number, step);
    settle(run);
    copies_.send(outputs_->losses, outputs_->correct);
    sent_ = Sent{run.progress.epoch,         run.progress.iteration, run.samples_in(batch),
                 run.task.samples_in(batch), run.team.part(),        due};
    const std::int64_t passed = (run.ascends() ? 2 : 1) * sent_->samples;
    run.progress.work.forward += passed, run.progress.work.backward += passed;
    ++run.progress.iteration;
    ++run.progress.step;
    if (!Copies::late) settle(run);
  }

  /// What process 0 said of the last step that is settled; no more after the checkpoint.
  [[nodiscard]] bool due() const { return due_; }
  /// The checkpoint that was due is written.
  void saved() { due_ = false; }

  /// What a recorded step depends on of the run: the members, passes, and the optimizer with its stores.
  [[nodiscard]] static std::string key_of(const Run& run) {
    return to_text(run.members(), run.ascends() ? " two passes " : " ", run.optimizer->replay_key(run.progress.step));
  }

  /// Adds what the last step left on the device to the epoch's sums, unless that was done. Throws as take().
  void settle(Run& run) {
    if (!sent_) return;
    const Sent step = *std::exchange(sent_, std::nullopt);
    due_ = step.due;
    const auto [losses, correct] = copies_.received();
    std::vector<double> of_members(losses.begin(), losses.end());
    std::int64_t right = 0;
    for (const auto count : correct) right += count;
    if (run.processes.several()) add_up(run, step, of_members, right);
    const auto members = static_cast<double>(of_members.size());
    for (std::size_t k = 0; k < of_members.size(); ++k) {
      const double loss = of_members[k];
      if (!is_finite(loss))
        run.fail_diverged(to_text("the loss of member ", k, " became ", loss), step.epoch, step.iteration);
      run.progress.sums.loss += loss * static_cast<double>(step.samples) / members;
    }
    run.progress.sums.correct += right;
    run.progress.sums.seen += step.samples;
  }

 private:
  /// Which step the copies are of.
  struct Sent {
    std::int64_t epoch, iteration, samples, samples_here;
    double part;  // of one member's minibatch, what was here
    bool due;
  };

  /// The losses of all members and the right predictions of all processes, from those of this one, and what else they
  /// agree upon at a step, in one sum. Of a minibatch that is smaller than the number of processes that share it, each
  /// has all, and counts as a part.
  void add_up(Run& run, const Sent& step, std::vector<double>& losses, std::int64_t& right) {
    const auto share = run.weights().share;
    const std::size_t members = to_size(run.members()), first = share ? to_size(share->here().first) : 0;
    InterruptGuard::Came came = InterruptGuard::came();
    std::vector<double> all(members + 2);
    for (std::size_t k = 0; k < losses.size(); ++k) all[first + k] = step.part * losses[k];
    const double counted = step.part * static_cast<double>(losses.size()) / static_cast<double>(members);
    all[members] = static_cast<double>(right) / static_cast<double>(step.samples_here) * counted;
    all[members + 1] = run.processes.leads() && step.due ? 1 : 0;
    all.insert(all.end(), came.begin(), came.end());
    run.processes.sum(std::span<double>(all));
    std::copy_n(all.begin() + static_cast<std::ptrdiff_t>(members) + 2, came.size(), came.begin());
    InterruptGuard::agree(came);
    due_ = all[members + 1] > 0;
    right = std::lround(all[members] * static_cast<double>(step.samples));
    losses.assign(all.begin(), all.begin() + static_cast<std::ptrdiff_t>(members));
  }

  /// The gradient that the optimizer steps with.
  void take_gradient(Run& run, const typename Task::Batch& batch, const TapeOptions& pass) {
    if (!run.ascends()) {
      accumulate_gradient(run, batch, pass, *outputs_);
      return;
    }
    optim::Sam sam(*run.optimizer, run.options.sam);
    StepOutputs<W, D> unread(run.members_here());
    const auto second_pass = [&] {
      auto ascent = sam.ascend();
      accumulate_gradient(run, batch, pass, unread);
      ascent.restore();
    };
    if constexpr (requires { run.task.carry(run.task.carried()); }) {
      const auto before = run.task.carried();
      accumulate_gradient(run, batch, pass, *outputs_);
      const auto after = run.task.carried();
      run.task.carry(before);
      second_pass();
      run.task.carry(after);
    } else {
      accumulate_gradient(run, batch, pass, *outputs_);
      second_pass();
    }
  }

  static void sum_over_processes(Run& run) {
    run.team.sum_gradients(run.network);
    if (run.options.statistics == SharedStatistics::local) run.team.average_statistics(run.network);
  }

  /// What the tapes of an iteration have in common, but for random numbers. Processes tell each other how many samples
  /// they have.
  [[nodiscard]] static TapeOptions pass_of(Run& run, const typename Task::Batch& batch) {
    if (!run.processes.several()) return {};
    auto pass = run.team.pass_of(run.network, run.task.samples_in(batch),
                                 run.whole_of(batch, run.samples_in(batch) / run.members()));
    if (run.options.statistics == SharedStatistics::local) pass.cut.reset();
    return pass;
  }

  /// Of all members, summed over the processes.
  void accumulate_gradient(Run& run, const typename Task::Batch& batch, TapeOptions pass, StepOutputs<W, D>& outputs) {
    const auto& weights = run.optimizer->weights().value;
    const UnchangedWeights<W, D> unchanged(weights.base, weights.late);
    const auto chunks = member_chunks(run.members_here(), run.options.member_chunk);
    for (const MemberRange range : chunks) {
      pass.members = range;
      if (range.first == chunks.back().first) run.team.overlap(run.network, pass);
      Tape tape(pass);
      run.task.accumulate_gradient(run.network, tape, batch, outputs);
    }
    if (run.processes.several()) sum_over_processes(run);
  }

  using Copies = HostCopy<D, W, std::int32_t>;

  std::optional<StepOutputs<W, D>> outputs_;
  Copies copies_;
  std::optional<Sent> sent_;
  bool due_ = false;
  Replay<D> replay_;
};

}  // namespace lpw::inline LPW_ABI::train
