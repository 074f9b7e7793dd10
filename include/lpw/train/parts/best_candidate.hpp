// Keeps the best of a run's candidates by held-out samples: the network as it would be collapsed after each epoch, and
// what the run ends with, which may be averaged over time. The best is what is left. Where training stops early, the
// same scores say when.
#pragma once

#include <lpw/io/average_state.hpp>
#include <lpw/train/collapsing.hpp>

namespace lpw::inline LPW_ABI::train {

/// Does nothing unless ServingOptions::best or ServingOptions::patience is set.
template <nn::Visitable Network, class Task>
class BestCandidate final : public Part<Network, Task> {
 public:
  using Run = TrainingRun<Network, Task>;

  void score_epoch(Run& run) override {
    const ServingOptions& serving = run.options.serving;
    if (!serving.best && serving.patience == 0) return;
    auto plain = collapsed_now(run);
    if constexpr (HoldsOut<Task, Network>) {
      const double quality = quality_of(run, plain);
      run.progress.best_epoch.offer(run.progress.epoch + 1, quality);
      if (serving.best) best_.offer(to_text("epoch ", run.progress.epoch + 1), quality, plain);
    }
  }
  void conclude(Run& run, Display& display) override {
    if (!run.options.serving.best) return;
    const optim::Candidate best = best_with_end(run);
    display.line(to_text("best: the network of ", best.name, ", held-out ", Run::words.metric, ' ',
                         fixed(metric_of(best.score), 4)));
    run.progress.choices.best = best.name;
    run.progress.choices.best_quality = best.score;
  }

  void save(const Run&, io::NamedTensors& tensors) override { add_best(tensors, "best", best_); }
  void load(Run& run, const io::NamedTensors& tensors) override {
    if (run.options.serving.best) get_best(tensors, "best", collapsed(run.network, Collapse::parameters), best_);
  }

 private:
  [[nodiscard]] static double quality_of(Run& run, Network& plain) {
    return held_out_scores(run, plain).front().quality;
  }
  /// The end is the best where no epoch's network is better, as after the last one it often is the same: it stays.
  [[nodiscard]] optim::Candidate best_with_end(Run& run) {
    if constexpr (HoldsOut<Task, Network>) {
      const double quality = quality_of(run, run.network);
      if (!is_nan(quality) && !(best_.candidate() && best_.candidate()->score > quality)) return {"the end", quality};
    }
    best_.apply(run.network);
    return *best_.candidate();
  }

  optim::BestWeights<typename Run::W, typename Run::D> best_;
};

}  // namespace lpw::inline LPW_ABI::train
