// The training loop of the method, the same for every task: train one network until T0, release, train K members as one batched pass,
// collapse. A task provides minibatches, their losses and test scores; everything else is here: schedules, weight averaging, member
// chunks, checkpoints, signals, progress and the run folder.
#pragma once

#include <algorithm>
#include <chrono>
#include <cmath>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <lpw/io/model.hpp>
#include <lpw/late_phase/collapse.hpp>
#include <lpw/late_phase/release.hpp>
#include <lpw/optim/weight_average.hpp>
#include <lpw/train/display.hpp>
#include <lpw/train/interrupt.hpp>
#include <lpw/train/options.hpp>
#include <lpw/train/report.hpp>
#include <lpw/train/run_folder.hpp>
#include <lpw/train/state.hpp>

namespace lpw::train {

template <nn::Module Network, class Task>
class Trainer {
 public:
  using W = nn::WeightOf<Network>;
  using D = typename Network::device_type;

  /// `description` holds the options that make up the run: a checkpoint of others is refused. All references must outlive the trainer.
  /// Throws OptionError for options that cannot work with this task, at the start and not when members are released.
  Trainer(Network& network, const Task& task, const TrainOptions& options, nlohmann::json description)
      : network_(network),
        task_(task),
        options_(checked(options, task)),
        description_(std::move(description)),
        optimizer_(network, options.sgd) {}

  /// Continues from a checkpoint. Throws FileError for one that is damaged or of other options.
  void load(const std::filesystem::path& path) {
    const io::Checkpoint checkpoint = io::load_checkpoint(path);
    try {
      require_same_options(checkpoint.meta.at("options"), description_, path.string());
      progress_ = checkpoint.meta.at("progress").get<Progress>();
    } catch (const nlohmann::json::exception&) {
      fail<FileError>(path.string(), ": is not the checkpoint of a training run");
    }
    require<FileError>(possible(progress_), path.string(), ": damaged: it stands at epoch ", progress_.epoch, ", iteration ",
                       progress_.iteration, ", where this run never is");
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

  /// What run() is going to do, for the user to read before.
  [[nodiscard]] std::vector<std::string> plan() const { return describe_plan(options_, task_, progress_); }

  /// Trains to the end and leaves the collapsed network, its scores and the run's files; where nothing is left to train, evaluates again.
  /// Returns the signal that ended it early, or 0; everything up to that step is in the checkpoint then. Throws NonFinite when a loss or a
  /// weight is, which no checkpoint then holds, and FileError where a file cannot be written.
  int run(const RunFolder& folder, Display& display) {
    const InterruptGuard guard;
    last_checkpoint_ = mark_ = Clock::now();
    try {
      while (progress_.epoch < options_.epochs) {
        if (options_.releases() && !progress_.released && progress_.epoch >= options_.release_epoch) announce_release(display);
        if (train_epoch(folder, display)) finish_epoch(folder, display);
        if (const int signal = InterruptGuard::signal()) return signal;
      }
      finish(folder, display);
    } catch (const FileError& error) {
      fail<FileError>(error.what(), "; mend that and continue with --resume");
    }
    return 0;
  }

  /// Scores as at the end of a run: with averaged weights where there are any. Leaves the network collapsed.
  [[nodiscard]] FinalScores final_scores(Display& display) {
    if (average_) {
      display.line(concat("averaging: the mean of ", average_->updates(),
                          " weights; recomputing batch-norm statistics with one pass over the training set"));
      average_->apply(network_);
      recompute_statistics();
    }
    display.progress([] { return "evaluating the members and the collapsed network"; });
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

  static const TrainOptions& checked(const TrainOptions& options, const Task& task) {
    validate(options);
    if (options.releases())
      require<OptionError>(options.members <= task.samples(), "members ", options.members, " are more than the ", task.samples(),
                           " training samples, of which each needs its own");
    return options;
  }

  /// Whether a run with these options can stand at this point.
  [[nodiscard]] bool possible(const Progress& p) const {
    if (p.epoch < 0 || p.epoch > options_.epochs || p.step < 0 || p.seen < 0 || p.averaged < 0) return false;
    if (p.history.size() != static_cast<std::size_t>(p.epoch) || (p.released && !options_.releases())) return false;
    return p.iteration >= 0 && p.iteration <= (p.epoch == options_.epochs ? 0 : task_.iterations(p.released ? options_.members : 1));
  }

  void release_network(double sigma) {
    const ReleaseOptions how{.members = options_.members, .groups = options_.late, .sigma = sigma, .random = Philox(options_.seed)};
    if (average_) {
      release(network_, Followers(optimizer_, *average_), how);
    } else {
      release(network_, optimizer_, how);
    }
    progress_.released = true;
  }

  void announce_release(Display& display) {
    display.progress([] { return "evaluating the network before release"; });
    progress_.before_release = task_.evaluate(network_);
    release_network(options_.sigma);
    const auto flat = nn::flatten(network_);
    display.line(concat("release after ", progress_.epoch, " epochs: ", options_.members, " members, ", flat->value.late.dim(1),
                        " late-phase weights each beside ", flat->value.base.dim(1), " shared ones; test ", Task::metric(), " before ",
                        progress_.before_release.front().second));
    account();
  }

  [[nodiscard]] std::int64_t members() const { return progress_.released ? options_.members : 1; }
  [[nodiscard]] double base_factor() const { return optim::factor(options_.schedule, static_cast<double>(progress_.epoch)); }
  [[nodiscard]] double late_factor() const { return optim::factor(options_.late_schedule, static_cast<double>(progress_.epoch)); }

  /// Adds the time since the last call to the run's and the epoch's. Returns it.
  double account() {
    const auto now = Clock::now();
    const double seconds = std::chrono::duration<double>(now - std::exchange(mark_, now)).count();
    progress_.epoch_seconds += seconds;
    progress_.seconds += seconds;
    return seconds;
  }

  /// The rest of the current epoch. False where a signal ended it, after a checkpoint.
  bool train_epoch(const RunFolder& folder, Display& display) {
    pace_.start_epoch();
    account();
    for (auto& batch : task_.epoch(progress_.epoch, members(), progress_.iteration)) {
      step(batch);
      pace_.trained(task_.samples_in(batch), account());
      display.progress([&] { return progress_line(progress_, options_.epochs, task_.iterations(members()), pace_, time_left()); });
      const bool interrupted = InterruptGuard::signal() != 0;
      if (interrupted || Clock::now() - last_checkpoint_ > std::chrono::duration<double>(60 * options_.checkpoint_minutes)) save(folder);
      if (interrupted) return false;
      account();
    }
    return true;
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
      if (!std::isfinite(total.losses[k])) fail_diverged(concat("the loss of member ", k, " became ", total.losses[k]));
      progress_.loss_sum += total.losses[k] * static_cast<double>(samples) / static_cast<double>(total.losses.size());
    }
    optimizer_.step(base_factor(), late_factor());
    progress_.correct += total.correct;
    progress_.seen += samples;
    ++progress_.iteration;
    ++progress_.step;
  }

  [[noreturn]] void fail_diverged(const std::string& what) const {
    fail<NonFinite>(what, " in epoch ", progress_.epoch + 1, ", iteration ", progress_.iteration + 1,
                    ": training diverged; lower the learning rate; checkpoints written before are intact");
  }

  /// Weights can overflow in a step whose loss was still finite.
  void require_finite_weights() {
    const auto flat = nn::flatten(network_);
    const auto finite = [](const Tensor<W, D>& tensor) {
      const auto host = to_host(tensor);
      return std::all_of(host.data(), host.data() + host.size(), [](W value) { return std::isfinite(static_cast<double>(value)); });
    };
    if (!finite(flat->value.base) || !finite(flat->value.late) || !finite(flat->buffers)) fail_diverged("a weight became infinite or NaN");
  }

  void finish_epoch(const RunFolder& folder, Display& display) {
    require_finite_weights();
    display.progress([] { return "evaluating"; });
    const double epoch = static_cast<double>(progress_.epoch + 1);
    const bool averaging = options_.swa_start >= 0 && epoch > static_cast<double>(options_.swa_start);
    if (averaging) {
      if (!average_) average_.emplace(network_);
      average_->update();
      progress_.averaged = average_->updates();
    }
    const double seen = static_cast<double>(std::max<std::int64_t>(progress_.seen, 1));
    const auto& sgd = optimizer_.options();
    EpochRecord record{.epoch = progress_.epoch + 1,
                       .phase = std::string(progress_.released ? "late" : "base") + (averaging ? "+swa" : ""),
                       .learning_rate = sgd.learning_rate * base_factor(),
                       .late_learning_rate = optimizer_.late_learning_rate() * late_factor(),
                       .train_loss = progress_.loss_sum / seen,
                       .train_metric = static_cast<double>(progress_.correct) / seen};
    auto plain = collapsed(network_);
    record.test_metric = task_.evaluate(plain).front().second;
    account();
    record.seconds = progress_.epoch_seconds;
    progress_.history.push_back(record);
    ++progress_.epoch;
    progress_.iteration = progress_.correct = progress_.seen = 0;
    progress_.loss_sum = progress_.epoch_seconds = 0;
    display.line(epoch_line(record, options_.epochs, pace_, time_left()));
    save(folder);
    folder.write_metrics(format_csv(progress_.history, Task::metric()));
  }

  void finish(const RunFolder& folder, Display& display) {
    const auto flat = nn::flatten(network_);
    const std::int64_t members = flat->members, base = flat->value.base.dim(1), late = flat->value.late.dim(1);
    const FinalScores scores = final_scores(display);
    if (members > 1)
      display.line(concat("collapse: ", members, " members averaged into one plain network of ", nn::flatten(network_)->value.base.dim(1),
                          " parameters"));
    account();
    nlohmann::ordered_json summary = to_json(scores);
    summary["members"] = members;
    summary["epochs"] = options_.epochs;
    summary["parameters_base"] = base;
    summary["parameters_late_per_member"] = late;
    summary["seconds"] = progress_.seconds;
    io::save_safetensors(folder.model(), network_,
                         {{"model", description_.value("model", "")}, {"dataset", description_.value("dataset", "")}});
    folder.write_metrics(format_csv(progress_.history, Task::metric()));
    folder.write_summary(summary);
    display.line(concat("saved ", folder.model().string(), ", ", folder.summary().string()));
    display.line(concat("\n", format_table(scores), "\n"));
  }

  [[nodiscard]] std::string time_left() const {
    return pace_.time_for((options_.epochs - progress_.epoch) * task_.samples() - progress_.seen);
  }

  void recompute_statistics() {
    optim::recompute_statistics(network_, task_.epoch(options_.epochs, members(), 0), options_.member_chunk,
                                [](const typename Task::Batch& batch) { return Task::inputs(batch); });
  }

  void save(const RunFolder& folder) {
    require_finite_weights();
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
  Pace pace_;
  Clock::time_point last_checkpoint_{}, mark_{};  // mark_: up to where time has been accounted
};

}  // namespace lpw::train
