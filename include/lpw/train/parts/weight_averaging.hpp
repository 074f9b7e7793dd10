// Averages the weights over time, after steps or epochs, and offers the average at the end.
#pragma once

#include <algorithm>
#include <memory>

#include <lpw/io/average_state.hpp>
#include <lpw/optim/averages/make_average.hpp>
#include <lpw/train/fresh_statistics.hpp>

namespace lpw::inline LPW_ABI::train {

/// Whatever average TrainOptions::average asks for, made with its first update. An update after a step is issued beside
/// it, also where a device replays that.
template <nn::Visitable Network, class Task>
class WeightAveraging final : public Part<Network, Task> {
 public:
  using Run = TrainingRun<Network, Task>;
  using Flat = typename Part<Network, Task>::Flat;

  void after_step(Run& run) override {
    if (run.options.average && run.options.average_plan.due(run.now())) update(run);
  }
  void after_epoch(Run& run) override {
    if (run.options.average && run.options.average_plan.due_after_epoch(run.progress.epoch)) update(run);
  }
  [[nodiscard]] const char* phase(const Run& run) const override {
    const auto& o = run.options;
    return !o.average || run.progress.epoch < o.average_plan.start ? "" : names[o.average->index()];
  }
  [[nodiscard]] std::int64_t epochs_ready(const Run& run) const override {
    if (!run.options.average) return Part<Network, Task>::epochs_ready(run);
    return average_ ? run.progress.epoch - run.options.average_plan.start : 0;
  }

  void offer(Run& run, Display& display) override {
    if (!run.options.average) return;
    require<OptionError>(average_ != nullptr, "`average`: after ", run.progress.step,
                         " steps nothing has been averaged that could be scored; train beyond `average_plan.start`");
    const bool statistics = run.weights().buffers.size() > 0;
    display.line(to_text("averaging: ", describe(run),
                         statistics ? "; recomputing batch-norm statistics with one pass "
                                      "over the training set"
                                    : ""));
    average_->apply(run.network);
    run.progress.choices.weights = names[run.options.average->index()] + 1;
    recompute_statistics(run, run.network, run.options.epochs);
  }

  void save(const Run&, io::NamedTensors& tensors) override {
    if (average_) add_average(tensors, "average", *average_);
  }
  void load(Run& run, const io::NamedTensors& tensors) override {
    if (!run.options.average) return;
    if (tensors.contains("average.counts")) {
      make(run);
      get_average(tensors, "average", *average_);
    }
    const Updates possible = updates_so_far(run);
    const std::int64_t found = average_ ? average_->updates() : 0;
    require<FileError>(found >= possible.least && found <= possible.most, tensors.source(), ": damaged: it holds an ",
                       "average of ", found, " weights, where this run has ", possible.least,
                       possible.most > possible.least ? to_text(" to ", possible.most) : "");
  }

  [[nodiscard]] bool follows(const Flat& flat) const override { return !average_ || average_->follows(flat); }
  void rearrange(const Flat& from, const std::shared_ptr<Flat>& to) override {
    if (average_) average_->rearrange(from, to);
  }
  void before_collapse(Network& network) override {
    if (average_) average_->before_collapse(network);
  }

 private:
  static constexpr const char* names[] = {"+swa", "+ema", "+lawa"};  // in the order of optim::AverageOptions

  struct Updates {
    std::int64_t least, most;
  };

  void make(Run& run) { average_ = optim::make_average(run.network, *run.options.average); }
  void update(Run& run) {
    if (!average_) make(run);
    average_->update();
  }

  /// How many updates a run that stands here has made. Of steps, epochs that ended early leave open how many there were
  /// before averaging began.
  [[nodiscard]] static Updates updates_so_far(const Run& run) {
    const auto& plan = run.options.average_plan;
    const Progress& p = run.progress;
    if (plan.period == optim::AveragePlan::Period::epochs) {
      const std::int64_t updates = std::max<std::int64_t>(p.epoch - plan.start, 0) / plan.every;
      return {updates, updates};
    }
    if (p.epoch < plan.start) return {0, 0};
    const std::int64_t all = p.step / plan.every, before_epoch = (p.step - p.iteration) / plan.every;
    return {all - before_epoch, p.epoch == plan.start ? all - before_epoch : all};
  }

  [[nodiscard]] std::string describe(const Run& run) const {
    const std::int64_t count = average_->updates();
    if (std::holds_alternative<optim::EmaOptions>(*run.options.average))
      return to_text("the exponential mean of ", count, " weights");
    const auto* latest = std::get_if<optim::LatestOptions>(&*run.options.average);
    if (latest != nullptr && count > latest->count)
      return to_text("the mean of the last ", latest->count, " of ", count, " weights");
    return to_text("the mean of ", count, " weights");
  }

  std::unique_ptr<optim::Average<typename Run::W, typename Run::D>> average_;
};

}  // namespace lpw::inline LPW_ABI::train
