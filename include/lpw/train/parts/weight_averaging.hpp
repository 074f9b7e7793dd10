// Averages the weights of the epochs from a certain one on, and offers the average at the end.
#pragma once

#include <optional>

#include <lpw/optim/weight_average.hpp>
#include <lpw/train/fresh_statistics.hpp>

namespace lpw::inline LPW_ABI::train {

/// Stochastic weight averaging (TrainOptions::swa_start), an update after each epoch.
template <nn::Visitable Network, class Task>
class WeightAveraging final : public Part<Network, Task> {
 public:
  using Run = TrainingRun<Network, Task>;
  using Flat = typename Part<Network, Task>::Flat;

  void after_epoch(Run& run) override {
    if (!averages(run)) return;
    if (!average_) average_.emplace(run.network);
    average_->update();
    run.progress.averaged = average_->updates();
  }
  [[nodiscard]] const char* phase(const Run& run) const override { return averages(run) ? "+swa" : ""; }

  void offer(Run& run, Display& display) override {
    if (!average_) return;
    const bool statistics = run.weights().buffers.size() > 0;
    display.line(to_text("averaging: the mean of ", average_->updates(), " weights",
                         statistics ? "; recomputing batch-norm statistics with one pass over the training set" : ""));
    average_->apply(run.network);
    if (statistics) recompute_statistics(run);
  }

  void save(io::NamedTensors& tensors) override {
    if (!average_) return;
    for (const auto& [name, pair] : average_->states()) add_pair(tensors, name, pair);
  }
  void load(Run& run, const io::NamedTensors& tensors) override {
    if (run.progress.averaged == 0) return;
    average_.emplace(run.network);
    average_->set_counts({.updates = run.progress.averaged});
    for (auto& [name, pair] : average_->states()) get_pair(tensors, name, pair);
  }

  [[nodiscard]] bool follows(const Flat& flat) const override { return !average_ || average_->follows(flat); }
  void rearrange(const Flat& from, const std::shared_ptr<Flat>& to) override {
    if (average_) average_->rearrange(from, to);
  }
  void before_collapse(Network& network) override {
    if (average_) average_->before_collapse(network);
  }

 private:
  [[nodiscard]] static bool averages(const Run& run) {
    return run.options.swa_start >= 0 && run.progress.epoch >= run.options.swa_start;
  }

  std::optional<optim::WeightAverage<typename Run::W, typename Run::D>> average_;
};

}  // namespace lpw::inline LPW_ABI::train
