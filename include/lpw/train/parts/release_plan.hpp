// Releases the members when their time has come, and again every so many epochs.
#pragma once

#include <algorithm>

#include <lpw/data/member_data.hpp>
#include <lpw/late_phase/collapse.hpp>
#include <lpw/train/run.hpp>

namespace lpw::inline LPW_ABI::train {

/// Release comes between epochs: one that falls due within an epoch ends it.
template <nn::Visitable Network, class Task>
class ReleasePlan final : public Part<Network, Task> {
 public:
  using Run = TrainingRun<Network, Task>;

  void before_epoch(Run& run, Display& display) override {
    if (run.progress.released) return release_again(run, display);
    if (!ends_epoch(run)) return;
    display.progress([] { return "evaluating the network before release"; });
    run.progress.before_release = run.scored([&] { return run.task.evaluate(run.network); });
    release_over_processes(run);
    Run::D::trim();
    const auto& flat = run.weights();
    display.line(to_text("release after ", run.progress.epoch, " epochs, ", run.progress.step, " iterations: ",
                         run.options.members == 1 ? "one member, " : to_text(run.options.members, " members, "),
                         flat.value.late.dim(1),
                         run.options.members == 1 ? " late-phase weights beside " : " late-phase weights each beside ",
                         flat.value.base.dim(1), " shared ones; ", Run::words.held_out, ' ', Run::words.metric,
                         " before ", run.progress.before_release.front().second));
    run.account();
  }

  [[nodiscard]] bool ends_epoch(const Run& run) const override {
    return !run.progress.released && run.options.due(run.progress.epoch, run.progress.step);
  }

  /// The weights that a checkpoint holds come afterwards.
  void load(Run& run, const io::NamedTensors&) override {
    if (run.progress.released) release_members(run);
  }

 private:
  /// Epochs that members have been trained for, over all releases.
  [[nodiscard]] static std::int64_t late_epochs(const Run& run) {
    const auto& history = run.progress.history;
    return std::count_if(history.begin(), history.end(), [](const auto& row) { return row.phase.starts_with("late"); });
  }

  static void release_again(Run& run, Display& display) {
    if (!run.options.due_again(late_epochs(run))) return;
    collapse(run.network, run);
    release_over_processes(run);
    Run::D::trim();
    display.line(to_text(
        "release again after ", run.progress.epoch, " epochs: ",
        run.options.members == 1 ? "the member was folded into the network" : "the members were averaged into one"));
    run.account();
  }

  static void release_over_processes(Run& run) {
    release_members(run);
    if (run.processes.several()) run.team.spread(run.network, run);
  }

  /// Each release has noise and starts of its own. All members are here then, as they are in one process.
  static void release_members(Run& run) {
    const auto& o = run.options;
    const auto releases = static_cast<std::uint64_t>(o.release_every > 0 ? late_epochs(run) / o.release_every : 0);
    const ReleaseOptions how{.members = o.members,
                             .late = o.late,
                             .sigma = o.sigma,
                             .random = Philox(o.seed ^ releases << 40),
                             .rank_one_start = o.rank_one_start,
                             .momentum = o.release_momentum};
    if (o.release_start == ReleaseStart::copy) {
      release(run.network, run, how);
    } else {
      release(run.network, run, how, [&](std::int64_t k) { return run.make(Philox(data::member_seed(o.seed, k))); });
    }
    run.progress.released = true;
  }
};

}  // namespace lpw::inline LPW_ABI::train
