// Snapshots of the network at the ends of the schedule's cycles, in the run's folder, and their ensemble at the end.
#pragma once

#include <algorithm>
#include <optional>
#include <vector>

#include <lpw/io/snapshots.hpp>
#include <lpw/late_phase/collapse.hpp>
#include <lpw/train/run.hpp>

namespace lpw::inline LPW_ABI::train {

/// Snapshot ensembles (TrainOptions::snapshots). Each is the network as it would be collapsed then, with the running
/// statistics of then.
template <nn::Visitable Network, class Task>
class CycleSnapshots final : public Part<Network, Task> {
 public:
  using Run = TrainingRun<Network, Task>;

  /// Those of steps that this run is going to take again go.
  void start(Run& run) override {
    if (run.options.snapshots > 0) snapshots(run).discard_after(run.progress.step);
  }

  void after_step(Run& run) override {
    if (run.options.snapshots == 0 || !run.cycle_ended()) return;
    run.require_finite_weights();
    auto plain = collapsed(run.network);
    snapshots(run).add(plain, run.progress.step);
  }

  void score(Run& run, Display& display, Results& results) override {
    if (run.options.snapshots == 0) return;
    auto networks = networks_until_now(run);
    if (networks.empty())
      return display.line(
          "snapshots: there are none; no cycle of the schedule has ended, or they are not beside the "
          "checkpoint");
    display.progress([] { return "evaluating the ensemble of snapshots"; });
    const auto count = std::ssize(networks);
    results.push_back(
        {"snapshots", run.task.evaluate_networks(networks), {count, count * run.weights().value.base.size()}});
  }

 private:
  [[nodiscard]] static io::Snapshots snapshots(const Run& run) {
    return io::Snapshots(run.folder / "snapshots", run.options.snapshots);
  }
  /// A checkpoint that is evaluated may be older than some of them.
  [[nodiscard]] static std::vector<Network> networks_until_now(const Run& run) {
    const auto all = snapshots(run);
    std::vector<Network> networks;
    for (const std::int64_t step : all.steps())
      if (step <= run.progress.step) all.load(step, networks.emplace_back(nn::clone_module(run.network)));
    return networks;
  }
};

}  // namespace lpw::inline LPW_ABI::train
