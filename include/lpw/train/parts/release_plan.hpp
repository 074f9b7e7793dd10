// Releases the members when their time has come.
#pragma once

#include <lpw/train/run.hpp>

namespace lpw::inline LPW_ABI::train {

/// Release comes between epochs: one that falls due within an epoch ends it.
template <nn::Visitable Network, class Task>
class ReleasePlan final : public Part<Network, Task> {
 public:
  using Run = TrainingRun<Network, Task>;

  void before_epoch(Run& run, Display& display) override {
    if (!ends_epoch(run)) return;
    display.progress([] { return "evaluating the network before release"; });
    run.progress.before_release = run.scored([&] { return run.task.evaluate(run.network); });
    release_members(run, run.options.sigma);
    Run::D::trim();
    const auto& flat = run.weights();
    display.line(to_text("release after ", run.progress.epoch, " epochs, ", run.progress.step, " iterations: ",
                         run.options.members, " members, ", flat.value.late.dim(1), " late-phase weights each beside ",
                         flat.value.base.dim(1), " shared ones; ", Run::words.held_out, ' ', Run::words.metric,
                         " before ", run.progress.before_release.front().second));
    run.account();
  }

  [[nodiscard]] bool ends_epoch(const Run& run) const override {
    return !run.progress.released && run.options.due(run.progress.epoch, run.progress.step);
  }

  /// The weights that a checkpoint holds come afterwards.
  void load(Run& run, const io::NamedTensors&) override {
    if (run.progress.released) release_members(run, 0);
  }

 private:
  static void release_members(Run& run, double sigma) {
    const auto& o = run.options;
    release(run.network, run, {.members = o.members, .late = o.late, .sigma = sigma, .random = Philox(o.seed)});
    run.progress.released = true;
  }
};

}  // namespace lpw::inline LPW_ABI::train
