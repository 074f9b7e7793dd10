// Writes a run's scalars for TensorBoard into event files beside metrics.csv. No part of a trainer by itself, since it
// needs protozero's headers: trainer.add(std::make_unique<EventLog<Network, Task>>(folder)).
#pragma once

#include <algorithm>
#include <filesystem>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <lpw/io/event_file.hpp>
#include <lpw/train/run.hpp>

namespace lpw::inline LPW_ABI::train {

/// Losses and learning rates of every step, and what metrics.csv has of every epoch; a step's number is how many were
/// taken. A run that goes on does so in a file of its own, which takes back what others hold of later steps.
template <nn::Visitable Network, class Task>
class EventLog final : public Part<Network, Task> {
 public:
  using Run = TrainingRun<Network, Task>;

  /// Of files in that folder.
  explicit EventLog(std::filesystem::path folder) : folder_(std::move(folder)) {}

  void after_step(Run& run) override {
    open(run.progress.step - 1);
    log_losses(run);
    const optim::Time last = run.before_last_step();
    std::vector<io::EventScalar> rates{
        {"step/learning_rate", run.optimizer->rates().learning_rate * run.base_factor(last)}};
    if (run.has_late_rate()) rates.push_back({"step/late_learning_rate", run.late_rate(last).value()});
    if (const auto rate = run.coefficient_rate(last)) rates.push_back({"step/coefficient_learning_rate", *rate});
    file_->add(run.progress.step, rates);
  }
  void after_epoch(Run& run) override {
    open(run.progress.step);
    log_losses(run);  // of a device that works on its own, the last step's
    seen_ = {};
  }
  void recorded(Run& run) override {
    const EpochRecord& row = run.progress.history.back();
    std::vector<io::EventScalar> scalars{{"epoch/train_loss", row.train_loss},
                                         {to_text("epoch/train_", Run::words.metric), row.train_metric},
                                         {"epoch/learning_rate", row.learning_rate},
                                         {"epoch/epoch_seconds", row.seconds},
                                         {"epoch/seconds", run.progress.seconds},
                                         {"epoch/samples_forward", static_cast<double>(row.work.forward)},
                                         {"epoch/samples_backward", static_cast<double>(row.work.backward)},
                                         {"epoch/peak_memory_mb", row.work.peak_memory},
                                         {"epoch/parameters_trained", static_cast<double>(row.parameters_trained)},
                                         {"epoch/parameters_served", static_cast<double>(row.parameters_served)}};
    if (row.late_learning_rate) scalars.push_back({"epoch/late_learning_rate", *row.late_learning_rate});
    if (row.coefficient_learning_rate)
      scalars.push_back({"epoch/coefficient_learning_rate", *row.coefficient_learning_rate});
    if (row.test_metric)
      scalars.push_back({to_text("epoch/", Run::words.held_out, '_', Run::words.metric), *row.test_metric});
    for (const auto& [name, value] : row.scores) scalars.push_back({"epoch/" + name, value});
    file_->add(run.progress.step, scalars);
    file_->flush();
  }

  /// A checkpoint's sums hold the last step's loss, which a run that goes on does not see again.
  void save(const Run& run, io::NamedTensors&) override {
    if (!file_) return;
    log_losses(run);
    file_->flush();
  }
  void load(Run& run, const io::NamedTensors&) override {
    resumed_ = run.progress.step > 0;
    seen_ = run.progress.sums;
  }

 private:
  /// `step`: how many were taken before the first that is logged.
  void open(std::int64_t step) {
    if (file_) return;
    file_.emplace(folder_);
    settled_ = step;
    if (resumed_) file_->restart(step + 1);
  }

  /// The loss of the step that was added to the epoch's sums since the last call, if there was one: a step's losses may
  /// follow with the next.
  void log_losses(const Run& run) {
    const Sums& now = run.progress.sums;
    if (now.seen == seen_.seen) return;
    const double loss = (now.loss - seen_.loss) / static_cast<double>(now.seen - seen_.seen);
    seen_ = now;
    file_->add(++settled_, {{"step/loss", loss}});
  }

  std::filesystem::path folder_;
  std::optional<io::EventFile> file_;
  bool resumed_ = false;
  Sums seen_ = {};
  std::int64_t settled_ = 0;
};

}  // namespace lpw::inline LPW_ABI::train
