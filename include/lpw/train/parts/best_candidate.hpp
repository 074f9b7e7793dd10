// Keeps the best of a run's candidates by held-out samples: the network as it would be collapsed after each epoch, and
// what the run ends with, which may be averaged over time. The best is what is left.
#pragma once

#include <lpw/io/average_state.hpp>
#include <lpw/train/collapsing.hpp>

namespace lpw::inline LPW_ABI::train {

/// Does nothing unless ServingOptions::best is set.
template <nn::Visitable Network, class Task>
class BestCandidate final : public Part<Network, Task> {
 public:
  using Run = TrainingRun<Network, Task>;

  void score_epoch(Run& run) override {
    if (!run.options.serving.best) return;
    auto plain = collapsed_now(run);
    offer_candidate(run, to_text("epoch ", run.progress.epoch + 1), plain);
  }
  void conclude(Run& run, Display& display) override {
    if (!run.options.serving.best) return;
    offer_candidate(run, "the end", run.network);
    best_.apply(run.network);
    const auto& [name, quality] = *best_.candidate();
    display.line(
        to_text("best: the network of ", name, ", held-out ", Run::words.metric, ' ', fixed(metric_of(quality), 4)));
    run.progress.choices.best = name;
    run.progress.choices.best_quality = quality;
  }

  void save(const Run&, io::NamedTensors& tensors) override { add_best(tensors, "best", best_); }
  void load(Run& run, const io::NamedTensors& tensors) override {
    if (run.options.serving.best) get_best(tensors, "best", collapsed(run.network, Collapse::parameters), best_);
  }

 private:
  void offer_candidate(Run& run, const std::string& name, Network& plain) {
    if constexpr (HoldsOut<Task, Network>) best_.offer(name, held_out_scores(run, plain).front().quality, plain);
  }

  optim::BestWeights<typename Run::W, typename Run::D> best_;
};

}  // namespace lpw::inline LPW_ABI::train
