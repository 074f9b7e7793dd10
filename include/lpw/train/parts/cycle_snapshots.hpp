// Snapshots of the network at the ends of the schedule's cycles, in the run's folder, and their ensemble at the end.
#pragma once

#include <iterator>

#include <lpw/io/snapshots.hpp>
#include <lpw/train/collapsing.hpp>
#include <lpw/train/cost.hpp>

namespace lpw::inline LPW_ABI::train {

/// Snapshot ensembles (TrainOptions::snapshots). Each is the network as it would be collapsed then, with the running
/// statistics of then.
template <nn::Visitable Network, class Task>
class CycleSnapshots final : public Part<Network, Task> {
 public:
  using Run = TrainingRun<Network, Task>;

  /// Those of steps that this run is going to take again go.
  void start(Run& run) override {
    if (run.options.snapshots > 0 && run.processes.leads()) snapshots(run).discard_after(run.progress.step);
  }

  void after_step(Run& run) override {
    if (run.options.snapshots == 0 || !run.cycle_ended()) return;
    run.require_finite_weights();
    auto plain = collapsed_now(run);
    if (run.processes.leads()) snapshots(run).add(plain, run.progress.step, run.notes());
  }
  /// Since the first of those that are to be served.
  [[nodiscard]] std::int64_t epochs_ready(const Run& run) const override {
    const auto& o = run.options;
    if (o.serving.served != Served::snapshots) return Part<Network, Task>::epochs_ready(run);
    const std::int64_t base = run.task.iterations(1), late = run.task.iterations(o.members);
    std::int64_t first = 1;
    while (first < run.progress.epoch && !cycle_done(o, first, steps_in_epochs(o, first, base, late))) ++first;
    return run.progress.epoch - first;
  }

  void score(Run& run, Display& display, Results& results) override {
    if (run.options.snapshots == 0) return;
    run.processes.barrier();  // behind the last that process 0 wrote
    // A checkpoint that is evaluated may be older than some of them.
    auto networks = snapshots(run).networks(run.network, run.progress.step);
    if (networks.empty()) return say_none(run, display);
    display.progress([] { return "evaluating the ensemble of snapshots"; });
    const auto count = std::ssize(networks);
    const auto [scores, cost] = timed(run.task, {count, count * run.weights().value.base.size()},
                                      [&] { return run.task.evaluate_networks(networks); });
    results.push_back({"snapshots", scores, cost});
  }

 private:
  /// Whether a cycle of the schedule is over after so many epochs, which are so many steps.
  [[nodiscard]] static bool cycle_done(const TrainOptions& o, std::int64_t epochs, std::int64_t steps) {
    const bool in_steps = o.schedule.unit == optim::ScheduleUnit::iterations;
    return optim::cycles_done(o.schedule, static_cast<double>(in_steps ? steps : epochs)) > 0;
  }
  [[nodiscard]] static io::Snapshots snapshots(const Run& run) {
    return io::Snapshots(run.folder / "snapshots", run.options.snapshots);
  }
  static void say_none(const Run& run, Display& display) {
    require<FileError>(run.options.serving.served != Served::snapshots, (run.folder / "snapshots").string(),
                       ": there are no snapshots of this run, whose ensemble is to be served; expected those of the ",
                       "ends of its schedule's cycles, beside the checkpoint");
    display.line(
        "snapshots: there are none; no cycle of the schedule has ended, or they are not beside the checkpoint");
  }
};

}  // namespace lpw::inline LPW_ABI::train
