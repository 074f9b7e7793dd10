// The training loop of the method, the same for every task: train one network until T0, release, train K members as one batched pass,
// collapse. A task provides minibatches, their losses and test scores; everything else is here: schedules, weight averaging, member
// chunks, checkpoints, signals, progress and the run folder.
#pragma once

#include <chrono>
#include <optional>

#include <lpw/io/model.hpp>
#include <lpw/late_phase/collapse.hpp>
#include <lpw/late_phase/release.hpp>
#include <lpw/optim/weight_average.hpp>
#include <lpw/train/display.hpp>
#include <lpw/train/interrupt.hpp>
#include <lpw/train/options.hpp>
#include <lpw/train/run_folder.hpp>
#include <lpw/train/state.hpp>

namespace lpw::train {

template <nn::Module Network, class Task>
class Trainer {
 public:
  using W = nn::WeightOf<Network>;
  using D = typename Network::device_type;

  /// `description` holds the options that make up the run: a checkpoint of others is refused. All references must outlive the trainer.
  Trainer(Network& network, const Task& task, const TrainOptions& options, nlohmann::json description)
      : network_(network), task_(task), options_(options), description_(std::move(description)), optimizer_(network, options.sgd) {
    validate(options);
  }

  /// Continues from a checkpoint. Throws FileError for one that is damaged or of other options.
  void load(const std::filesystem::path& path) {
    const io::Checkpoint checkpoint = io::load_checkpoint(path);
    try {
      require_same_options(checkpoint.meta.at("options"), description_, path.string());
      progress_ = checkpoint.meta.at("progress").get<Progress>();
    } catch (const nlohmann::json::exception&) {
      fail<FileError>(path.string(), ": is not the checkpoint of a training run");
    }
    if (progress_.released) release_network(0);
    if (progress_.averaged > 0) {
      average_.emplace(network_);
      average_->set_updates(progress_.averaged);
      get_pair(checkpoint.tensors, "average", average_->average());
    }
    const auto flat = nn::flatten(network_);
    get_pair(checkpoint.tensors, "weights", flat->value);
    get_pair(checkpoint.tensors, "velocity", optimizer_.velocity());
    copy(to_device<D>(checkpoint.tensors.get<W>("buffers", flat->buffers.shape())), flat->buffers);
  }

  /// Trains to the end and leaves the collapsed network, its scores and the run's files. Returns the signal that ended it early, or 0;
  /// everything up to that step is in the checkpoint then. Throws NonFinite when a loss is; the last checkpoint is intact.
  int run(const RunFolder& folder, Display& display) {
    const InterruptGuard guard;
    last_checkpoint_ = std::chrono::steady_clock::now();
    while (progress_.epoch < options_.epochs) {
      if (options_.releases() && !progress_.released && progress_.epoch >= options_.release_epoch) announce_release(display);
      if (const int signal = train_epoch(folder, display)) {
        save(folder);
        return signal;
      }
      finish_epoch(folder, display);
    }
    finish(folder, display);
    return 0;
  }

  /// Scores as at the end of a run: with averaged weights where there are any. Leaves the network collapsed.
  [[nodiscard]] FinalScores final_scores(Display& display) {
    if (average_) {
      display.line(concat("averaging: the mean of ", average_->updates(), " weights; recomputing batch-norm statistics with one pass over the training set"));
      average_->apply(network_);
      recompute_statistics();
    }
    FinalScores scores;
    scores.before_release = progress_.before_release;
    scores.released = task_.evaluate_members(network_);
    auto parameters = collapsed(network_, Collapse::parameters);
    scores.collapsed_parameters = task_.evaluate(parameters);
    collapse(network_);
    scores.collapsed = task_.evaluate(network_);
    return scores;
  }

  [[nodiscard]] const Progress& progress() const { return progress_; }

 private:
  using Clock = std::chrono::steady_clock;

  struct Followers {  // what release has to keep in step with the network
    Trainer& trainer;
    void rearrange(const nn::FlatWeights<W, D>& from, const std::shared_ptr<nn::FlatWeights<W, D>>& to) {
      trainer.optimizer_.rearrange(from, to);
      if (trainer.average_) trainer.average_->rearrange(from, to);
    }
  };

  void release_network(double sigma) {
    release(network_, Followers{*this},
            {.members = options_.members, .groups = options_.late, .sigma = sigma, .random = Philox(options_.seed)});
    progress_.released = true;
  }

  void announce_release(Display& display) {
    progress_.before_release = task_.evaluate(network_);
    release_network(options_.sigma);
    const auto flat = nn::flatten(network_);
    display.line(concat("release at epoch ", progress_.epoch, ": ", options_.members, " members, ", flat->value.late.dim(1),
                        " late-phase weights each beside ", flat->value.base.dim(1), " shared ones; test ", Task::metric(), " before ",
                        progress_.before_release.front().second));
    display.line(concat("each member now sees minibatches of its own: ", options_.members, " x ", task_.batch(), " = ",
                        options_.members * task_.batch(), " samples an iteration, ", task_.iterations(options_.members), " iterations an epoch"));
  }

  [[nodiscard]] std::int64_t members() const { return progress_.released ? options_.members : 1; }
  [[nodiscard]] double base_factor() const { return optim::factor(options_.schedule, static_cast<double>(progress_.epoch)); }
  [[nodiscard]] double late_factor() const { return optim::factor(options_.late_schedule, static_cast<double>(progress_.epoch)); }

  /// The rest of the current epoch. Returns a signal that came, or 0.
  int train_epoch(const RunFolder& folder, Display& display) {
    auto started = Clock::now();
    const auto account = [&] {
      const auto now = Clock::now();
      const double seconds = std::chrono::duration<double>(now - started).count();
      progress_.epoch_seconds += seconds;
      progress_.seconds += seconds;
      trained_seconds_ += seconds;
      started = now;
    };
    for (auto& batch : task_.epoch(progress_.epoch, members(), progress_.iteration)) {
      step(batch);
      account();
      display.progress([&] { return progress_line(); });
      if (const int signal = InterruptGuard::signal()) return signal;
      if (Clock::now() - last_checkpoint_ > std::chrono::duration<double>(60 * options_.checkpoint_minutes)) save(folder);
    }
    return 0;
  }

  void step(const typename Task::Batch& batch) {
    StepResult total;
    for (const MemberRange range : member_chunks(members(), options_.member_chunk)) {
      Tape tape({.members = range, .random = Philox(options_.seed, Stream::dropout, static_cast<std::uint32_t>(progress_.step))});
      const StepResult part = task_.accumulate_gradient(network_, tape, batch);
      total.losses.insert(total.losses.end(), part.losses.begin(), part.losses.end());
      total.correct += part.correct;
    }
    const std::int64_t samples = task_.samples_in(batch);
    for (std::size_t k = 0; k < total.losses.size(); ++k) {
      require<NonFinite>(std::isfinite(total.losses[k]), "the loss of member ", k, " became ", total.losses[k], " at epoch ", progress_.epoch,
                         ", iteration ", progress_.iteration, "; lower the learning rate; the last checkpoint is intact");
      progress_.loss_sum += total.losses[k] * static_cast<double>(samples) / static_cast<double>(total.losses.size());
    }
    optimizer_.step(base_factor(), late_factor());
    progress_.correct += total.correct;
    progress_.seen += samples;
    trained_samples_ += samples;
    ++progress_.iteration;
    ++progress_.step;
  }

  void finish_epoch(const RunFolder& folder, Display& display) {
    const auto started = Clock::now();
    const double epoch = static_cast<double>(progress_.epoch + 1);
    const bool averaging = options_.swa_start >= 0 && epoch > static_cast<double>(options_.swa_start);
    if (averaging) {
      if (!average_) average_.emplace(network_);
      average_->update();
      progress_.averaged = average_->updates();
    }
    const double seen = static_cast<double>(std::max<std::int64_t>(progress_.seen, 1));
    const auto& sgd = optimizer_.options();
    EpochRecord record{progress_.epoch,
                       std::string(progress_.released ? "late" : "base") + (averaging ? "+swa" : ""),
                       sgd.learning_rate * base_factor(),
                       optimizer_.late_learning_rate() * late_factor(),
                       progress_.loss_sum / seen,
                       static_cast<double>(progress_.correct) / seen,
                       0,
                       0};
    auto plain = collapsed(network_);
    record.test_metric = task_.evaluate(plain).front().second;
    const double seconds = std::chrono::duration<double>(Clock::now() - started).count();
    progress_.seconds += seconds;
    record.seconds = progress_.epoch_seconds + seconds;
    progress_.history.push_back(record);
    ++progress_.epoch;
    progress_.iteration = progress_.correct = progress_.seen = 0;
    progress_.loss_sum = progress_.epoch_seconds = 0;
    display.line(epoch_line(record));
    folder.write_metrics(format_csv(progress_.history, Task::metric()));
    save(folder);
  }

  void finish(const RunFolder& folder, Display& display) {
    const auto flat = nn::flatten(network_);
    const std::int64_t members = flat->members, base = flat->value.base.dim(1), late = flat->value.late.dim(1);
    const auto started = Clock::now();
    const FinalScores scores = final_scores(display);
    if (members > 1)
      display.line(concat("collapse: ", members, " members averaged into one plain network of ",
                          nn::flatten(network_)->value.base.dim(1), " parameters"));
    nlohmann::ordered_json summary = to_json(scores);
    summary["members"] = members;
    summary["epochs"] = options_.epochs;
    summary["parameters_base"] = base;
    summary["parameters_late_per_member"] = late;
    summary["seconds"] = progress_.seconds + std::chrono::duration<double>(Clock::now() - started).count();
    io::save_safetensors(folder.model(), network_, {{"model", description_.value("model", "")}, {"dataset", description_.value("dataset", "")}});
    folder.write_metrics(format_csv(progress_.history, Task::metric()));
    folder.write_summary(summary);
    display.line("\n" + format_table(scores) + "\n");
    display.line(concat("saved ", folder.model().string(), ", ", (folder.path() / "summary.json").string()));
  }

  /// Seconds to the end of training at the rate of this process.
  [[nodiscard]] std::string eta() const {
    if (trained_samples_ == 0) return "-";
    const double left = static_cast<double>((options_.epochs - progress_.epoch) * task_.samples() - progress_.seen);
    return format_duration(std::max(0.0, left) * trained_seconds_ / static_cast<double>(trained_samples_));
  }

  [[nodiscard]] std::string progress_line() const {
    const double seen = static_cast<double>(std::max<std::int64_t>(progress_.seen, 1));
    char text[200];
    std::snprintf(text, sizeof text, "epoch %lld/%lld  %s  iteration %lld/%lld  loss %.4f  train %.4f  %.0f samples/s  ETA %s",
                  static_cast<long long>(progress_.epoch + 1), static_cast<long long>(options_.epochs), progress_.released ? "late" : "base",
                  static_cast<long long>(progress_.iteration), static_cast<long long>(task_.iterations(members())), progress_.loss_sum / seen,
                  static_cast<double>(progress_.correct) / seen, rate(), eta().c_str());
    return text;
  }

  [[nodiscard]] std::string epoch_line(const EpochRecord& r) const {
    char text[240];
    std::snprintf(text, sizeof text, "epoch %lld/%lld  %s  lr %.4g  loss %.4f  train %.4f  test%s %.4f  %.0f samples/s  %.1f s  ETA %s",
                  static_cast<long long>(r.epoch + 1), static_cast<long long>(options_.epochs), r.phase.c_str(), r.learning_rate, r.train_loss,
                  r.train_metric, progress_.released ? " (collapsed)" : "", r.test_metric, rate(), r.seconds, eta().c_str());
    return text;
  }

  /// Training samples a second in this process.
  [[nodiscard]] double rate() const { return static_cast<double>(trained_samples_) / std::max(trained_seconds_, 1e-9); }

  void recompute_statistics() {
    optim::recompute_statistics(network_, task_.epoch(options_.epochs, members(), 0), options_.member_chunk,
                                [](const typename Task::Batch& batch) { return Task::inputs(batch); });
  }

  void save(const RunFolder& folder) {
    io::Checkpoint checkpoint{{{"options", description_}, {"progress", progress_}}, io::NamedTensors("checkpoint")};
    const auto flat = nn::flatten(network_);
    add_pair(checkpoint.tensors, "weights", flat->value);
    add_pair(checkpoint.tensors, "velocity", optimizer_.velocity());
    checkpoint.tensors.add("buffers", to_host(flat->buffers));
    if (average_) add_pair(checkpoint.tensors, "average", average_->average());
    io::save_checkpoint(folder.checkpoint(), checkpoint);
    last_checkpoint_ = Clock::now();
  }

  Network& network_;
  const Task& task_;
  TrainOptions options_;
  nlohmann::json description_;
  optim::Sgd<W, D> optimizer_;
  std::optional<optim::WeightAverage<W, D>> average_;
  Progress progress_;
  Clock::time_point last_checkpoint_{};
  double trained_seconds_ = 0;
  std::int64_t trained_samples_ = 0;  // in this process, for the rate
};

}  // namespace lpw::train
