// The training loop of the method, the same for every task: train one network until T0, release, train K members as one batched pass,
// collapse. A task provides minibatches, their losses and test scores; everything else is here: schedules, weight averaging, member
// chunks, checkpoints, signals, progress and the run folder. ImageClassification shows what a task is; one that carries something from
// iteration to iteration has save and load for it besides, which checkpoints call.
#pragma once

#include <algorithm>
#include <bit>
#include <chrono>
#include <cmath>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <lpw/io/finite.hpp>
#include <lpw/io/model.hpp>
#include <lpw/late_phase/collapse.hpp>
#include <lpw/late_phase/release.hpp>
#include <lpw/optim/any_optimizer.hpp>
#include <lpw/optim/weight_average.hpp>
#include <lpw/tensor/float_bits.hpp>
#include <lpw/tensor/replay.hpp>
#include <lpw/train/display.hpp>
#include <lpw/train/interrupt.hpp>
#include <lpw/train/options.hpp>
#include <lpw/train/report.hpp>
#include <lpw/train/run_folder.hpp>
#include <lpw/train/state.hpp>

namespace lpw::inline LPW_ABI::train {

template <nn::Visitable Network, class Task>
class Trainer {
 public:
  using W = nn::WeightOf<Network>;
  using D = typename Network::device_type;

  /// `description` holds the options that make up the run: a checkpoint of others is refused. All references must outlive the trainer.
  /// Throws OptionError for options that cannot work with this task, at the start and not when members are released.
  Trainer(Network& network, Task& task, const TrainOptions& options, nlohmann::json description)
      : network_(network),
        task_(task),
        options_(checked(options, task)),
        description_(std::move(description)),
        optimizer_(network, options.optimizer) {}

  /// Continues from a checkpoint. Throws FileError for one that is damaged or of other options.
  void load(const std::filesystem::path& path) {
    const io::Checkpoint checkpoint = io::load_checkpoint(path);
    try {
      require_same_options(checkpoint.meta.at("options"), description_, path.string());
      const auto& progress = checkpoint.meta.at("progress");
      require<FileError>(counts_are_whole(progress), path.string(), ": damaged: its progress is not in whole numbers");
      progress_ = progress.get<Progress>();
    } catch (const nlohmann::json::exception&) {
      fail<FileError>(path.string(), ": is not the checkpoint of a training run");
    }
    for (const auto& tensor : checkpoint.tensors) io::require_finite(tensor, path.string());
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
    for (auto& [name, pair] : optimizer_.states()) get_pair(checkpoint.tensors, name, pair);
    optimizer_.set_steps({progress_.base_steps, progress_.late_steps});
    if constexpr (requires { task_.load(checkpoint.tensors, members()); })
      if (progress_.step > 0) task_.load(checkpoint.tensors, members());  // before, there is nothing to carry on
    copy(to_device<D>(checkpoint.tensors.get<W>("buffers", flat->buffers.shape())), flat->buffers);
    nn::for_each_buffer(
        network_, [&](const std::string& name, const auto& buffer) { io::require_variance(name, to_host(buffer.value()), path.string()); });
  }

  /// What run() is going to do, for the user to read before.
  [[nodiscard]] std::vector<std::string> plan() const { return describe_plan(options_, task_, progress_); }

  /// Trains to the end and leaves the collapsed network, its scores and the run's files; where nothing is left to train, evaluates again.
  /// Returns the signal that ended it early, or 0; everything up to that step is in the checkpoint then, an evaluation that the signal cut
  /// short apart. Throws NonFinite when a loss or a weight is, which no checkpoint then holds, and FileError where a file cannot be
  /// written.
  int run(const RunFolder& folder, Display& display) {
    const InterruptGuard guard;
    last_checkpoint_ = mark_ = Clock::now();
    try {
      if (const int signal = train_epochs(folder, display)) return signal;
      finish(folder, display);
    } catch (const Interrupted& interrupted) {  // the last epoch's checkpoint is there
      return interrupted.signal;
    } catch (const FileError& error) {
      fail<FileError>(error.what(), "; mend that and continue with --resume");
    }
    return 0;
  }

  /// Scores as at the end of a run: with averaged weights where there are any. Leaves the network collapsed.
  [[nodiscard]] FinalScores collapse_and_score(Display& display) {
    D::trim();
    if (average_) {
      const bool statistics = nn::flatten(network_)->buffers.size() > 0;
      display.line(to_text("averaging: the mean of ", average_->updates(), " weights",
                           statistics ? "; recomputing batch-norm statistics with one pass over the training set" : ""));
      average_->apply(network_);
      if (statistics) recompute_statistics();
    }
    display.progress([] { return "evaluating the members and the collapsed network"; });
    FinalScores scores;
    scores.before_release = progress_.before_release;
    scores.released = task_.evaluate_members(network_);
    const bool forms_differ = members() > 1 && nn::flatten(network_)->buffers.size() > 0;  // by batch norm alone
    if (forms_differ) {
      auto parameters = collapsed(network_, Collapse::parameters);
      scores.collapsed_parameters = task_.evaluate(parameters);
    }
    collapse(network_);
    scores.collapsed = task_.evaluate(network_);
    if (!forms_differ) scores.collapsed_parameters = scores.collapsed;
    return scores;
  }

  [[nodiscard]] const Progress& progress() const { return progress_; }

 private:
  using Clock = std::chrono::steady_clock;

  static const TrainOptions& checked(const TrainOptions& options, const Task& task) {
    validate(options);
    task.check(options.releases() ? options.members : 1);
    // The epoch of that step ends with it, and there must be one after.
    const std::int64_t step = options.release_step, iterations = task.iterations(1);
    require<OptionError>(!options.releases() || step < 0 || (step + iterations - 1) / iterations < options.epochs, "release step ", step,
                         " is not reached before the last of ", options.epochs, " epochs of ", iterations,
                         " iterations, which is the members'; take an earlier step or more epochs");
    return options;
  }

  /// Whether a run with these options can stand at this point. A checkpoint may say anything, and sums of what it says must not overflow.
  [[nodiscard]] bool possible(const Progress& p) const {
    const auto within = [](std::int64_t count, std::int64_t most) { return count >= 0 && count <= most; };
    if (!within(p.epoch, options_.epochs) || p.history.size() != static_cast<std::size_t>(p.epoch)) return false;
    for (std::size_t i = 0; i < p.history.size(); ++i)
      if (p.history[i].epoch != static_cast<std::int64_t>(i + 1) || !is_phase(p.history[i].phase)) return false;
    const std::int64_t before = task_.iterations(1), after = options_.releases() ? task_.iterations(options_.members) : before;
    if (!within(p.iteration, p.epoch == options_.epochs ? 0 : p.released ? after : before)) return false;
    // Every epoch takes at least one iteration, and at most those of the phase with more of them.
    if (p.step < 0) return false;
    const std::int64_t most = std::max(before, after), steps = p.step - p.iteration;
    if (steps < p.epoch || steps / most + (steps % most != 0) > p.epoch) return false;
    if (p.released && !options_.due(p.epoch, p.step)) return false;
    if (p.averaged != (options_.swa_start < 0 ? 0 : std::max<std::int64_t>(p.epoch - options_.swa_start, 0))) return false;
    return within(p.base_steps, p.step) && within(p.late_steps, p.step) && within(p.sums.seen, p.iteration > 0 ? task_.samples() : 0) &&
           within(p.sums.correct, p.sums.seen);
  }

  /// Trains what is left. Returns the signal that ended it early, or 0.
  int train_epochs(const RunFolder& folder, Display& display) {
    try {
      while (progress_.epoch < options_.epochs) {
        if (release_is_due() && progress_.iteration == 0) announce_release(display);
        if (train_epoch(folder, display)) finish_epoch(folder, display);
        if (const int signal = InterruptGuard::signal()) return signal;
      }
    } catch (const Interrupted& interrupted) {  // an evaluation, which changes nothing: all that was trained until then is to be kept
      account();
      save(folder);
      return interrupted.signal;
    }
    return 0;
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
    progress_.before_release = scored([&] { return task_.evaluate(network_); });
    release_network(options_.sigma);
    D::trim();
    const auto flat = nn::flatten(network_);
    display.line(to_text("release after ", progress_.epoch, " epochs, ", progress_.step, " iterations: ", options_.members, " members, ",
                         flat->value.late.dim(1), " late-phase weights each beside ", flat->value.base.dim(1), " shared ones; ",
                         words.held_out, ' ', words.metric, " before ", progress_.before_release.front().second));
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

  /// Release comes between epochs: one that falls due within an epoch ends it.
  [[nodiscard]] bool release_is_due() const { return !progress_.released && options_.due(progress_.epoch, progress_.step); }

  /// The rest of the current epoch. False where a signal ended it, after a checkpoint.
  bool train_epoch(const RunFolder& folder, Display& display) {
    pace_.start_epoch();
    account();
    if (release_is_due()) return true;  // a signal came with the step before release
    for (auto& batch : task_.epoch(progress_.epoch, members(), progress_.iteration)) {
      step(batch);
      pace_.trained(task_.samples_in(batch), account());
      display.progress([&] {
        return progress_line(progress_, options_.epochs, task_.iterations(members()), words, Task::train_metric(progress_.sums), pace_,
                             time_left());
      });
      const bool interrupted = InterruptGuard::signal() != 0;
      if (interrupted || Clock::now() - last_checkpoint_ > std::chrono::duration<double>(60 * options_.checkpoint_minutes)) save(folder);
      if (interrupted) return false;
      account();
      if (release_is_due()) break;
    }
    return true;
  }

  void step(const typename Task::Batch& batch) {
    if (!outputs_ || outputs_->losses.dim(0) != members()) outputs_.emplace(members());
    const double base = base_factor(), late = late_factor();
    optimizer_.advance();
    const auto bits = [](double factor) { return std::bit_cast<std::uint64_t>(factor); };  // digits would not tell close ones apart
    const auto& weights = optimizer_.weights().value;
    const std::string key = to_text(members(), ' ', bits(base), ' ', bits(late), ' ', place_of(weights.base), place_of(weights.late),
                                    place_of(outputs_->losses), place_of(outputs_->correct), Task::place(batch));
    replay_.run(key, static_cast<std::uint32_t>(progress_.step), [&](std::uint32_t number) {
      for (const MemberRange range : member_chunks(members(), options_.member_chunk)) {
        Tape tape({.members = range, .random = Philox(options_.seed, Stream::dropout, number)});
        task_.accumulate_gradient(network_, tape, batch, *outputs_);
      }
      optimizer_.apply(base, late);
    });
    read_outputs(task_.samples_in(batch));
    ++progress_.iteration;
    ++progress_.step;
  }

  /// Adds what the last step left on the device to the epoch's sums.
  void read_outputs(std::int64_t samples) {
    const auto losses = to_host(outputs_->losses);
    const auto correct = to_host(outputs_->correct);
    for (std::int64_t k = 0; k < members(); ++k) {
      const double loss = static_cast<double>(losses.data()[k]);
      if (!is_finite(loss)) fail_diverged(to_text("the loss of member ", k, " became ", loss));
      progress_.sums.loss += loss * static_cast<double>(samples) / static_cast<double>(members());
      progress_.sums.correct += correct.data()[k];
    }
    progress_.sums.seen += samples;
  }

  [[noreturn]] void fail_diverged(const std::string& what) const {
    fail<NonFinite>(what, " in epoch ", progress_.epoch + 1, ", iteration ", progress_.iteration + 1,
                    ": training diverged; lower the learning rate; checkpoints written before are intact");
  }

  /// What a scoring of finite weights returns. Its outputs can overflow all the same, by running statistics of before the last steps, say.
  template <class Score>
  [[nodiscard]] auto scored(Score&& score) const {
    try {
      return score();
    } catch (const NonFinite& error) {
      const std::int64_t epoch = progress_.epoch + (progress_.iteration > 0);
      fail<NonFinite>(epoch > 0 ? to_text("after epoch ", epoch) : "before the first epoch", " the outputs for the ", words.held_out,
                      " set are not finite (", error.what(),
                      "): training diverged; lower the learning rate; checkpoints written before are intact");
    }
  }

  /// Weights can overflow in a step whose loss was still finite.
  void require_finite_weights() {
    const auto flat = nn::flatten(network_);
    if (!all_finite(flat->value.base) || !all_finite(flat->value.late) || !all_finite(flat->buffers))
      fail_diverged("a weight became infinite or NaN");
  }

  void finish_epoch(const RunFolder& folder, Display& display) {
    require_finite_weights();
    std::optional<double> held_out;
    if (options_.scores_after(progress_.epoch + 1)) {
      display.progress([] { return "evaluating"; });
      held_out = scored([&] { return held_out_collapsed(); });  // before anything changes: a signal may cut it short
    }
    const double epoch = static_cast<double>(progress_.epoch + 1);
    const bool averaging = options_.swa_start >= 0 && epoch > static_cast<double>(options_.swa_start);
    if (averaging) {
      if (!average_) average_.emplace(network_);
      average_->update();
      progress_.averaged = average_->updates();
    }
    EpochRecord record{.epoch = progress_.epoch + 1,
                       .phase = phase_of(progress_.released, averaging),
                       .learning_rate = optimizer_.learning_rate() * base_factor(),
                       .late_learning_rate = optimizer_.late_learning_rate() * late_factor(),
                       .train_loss = progress_.sums.mean_loss(),
                       .train_metric = Task::train_metric(progress_.sums),
                       .test_metric = held_out};
    account();
    record.seconds = progress_.epoch_seconds;
    progress_.history.push_back(record);
    ++progress_.epoch;
    progress_.iteration = 0;
    progress_.sums = {};
    progress_.epoch_seconds = 0;
    display.line(epoch_line(record, options_.epochs, words, pace_, time_left()));
    save(folder);
    folder.write_metrics(format_csv(progress_.history, words));
  }

  /// The metric of the network as it would be collapsed now, of which nothing is kept.
  [[nodiscard]] double held_out_collapsed() {
    auto plain = collapsed(network_);
    return task_.held_out(plain);
  }

  void finish(const RunFolder& folder, Display& display) {
    const auto flat = nn::flatten(network_);
    const std::int64_t members = flat->members, base = flat->value.base.dim(1), late = flat->value.late.dim(1);
    const FinalScores scores = scored([&] { return collapse_and_score(display); });
    if (members > 1)
      display.line(to_text("collapse: ", members, " members averaged into one plain network of ", nn::flatten(network_)->value.base.dim(1),
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
    folder.write_metrics(format_csv(progress_.history, words));
    folder.write_summary(summary);
    display.line(to_text("saved ", one_line(folder.model().string()), ", ", one_line(folder.summary().string())));
    display.line(to_text("\n", format_table(scores), "\n"));
  }

  [[nodiscard]] std::string time_left() const {
    const auto epochs = static_cast<double>(options_.epochs - progress_.epoch);
    return pace_.time_for(epochs * static_cast<double>(task_.samples()) - static_cast<double>(progress_.sums.seen));
  }

  /// For networks with running statistics, whose tasks say what the inputs of a batch are.
  void recompute_statistics() {
    if constexpr (requires(const typename Task::Batch& batch) { Task::inputs(batch); })
      optim::recompute_statistics(network_, task_.epoch(options_.epochs, members(), 0), options_.member_chunk,
                                  [](const typename Task::Batch& batch) {
                                    InterruptGuard::check();
                                    return Task::inputs(batch);
                                  });
  }

  /// A checkpoint with an optimizer's infinite state could not be resumed, and would replace one that can.
  void require_finite_tensors(const io::NamedTensors& tensors) const {
    for (const io::NamedTensor& tensor : tensors) try {
        io::require_finite(tensor, "checkpoint");
      } catch (const FileError&) {
        fail_diverged(to_text("a value of '", tensor.name, "' became infinite or NaN"));
      }
  }

  void save(const RunFolder& folder) {
    require_finite_weights();
    const auto steps = optimizer_.steps();
    progress_.base_steps = steps.base, progress_.late_steps = steps.late;
    io::Checkpoint checkpoint{{{"options", description_}, {"progress", progress_}}, io::NamedTensors("checkpoint")};
    const auto flat = nn::flatten(network_);
    add_pair(checkpoint.tensors, "weights", flat->value);
    for (const auto& [name, pair] : optimizer_.states()) add_pair(checkpoint.tensors, name, pair);
    if constexpr (requires { task_.save(checkpoint.tensors); }) task_.save(checkpoint.tensors);
    checkpoint.tensors.add("buffers", to_host(flat->buffers));
    if (average_) add_pair(checkpoint.tensors, "average", average_->average());
    require_finite_tensors(checkpoint.tensors);
    io::save_checkpoint(folder.checkpoint(), checkpoint);
    last_checkpoint_ = Clock::now();
  }

  static constexpr Words words = Task::words();

  Network& network_;
  Task& task_;
  TrainOptions options_;
  nlohmann::json description_;
  optim::AnyOptimizer<W, D> optimizer_;
  std::optional<optim::WeightAverage<W, D>> average_;
  std::optional<StepOutputs<W, D>> outputs_;
  Replay<D> replay_;
  Progress progress_;
  Pace pace_;
  Clock::time_point last_checkpoint_{}, mark_{};  // mark_: up to where time has been accounted
};

}  // namespace lpw::inline LPW_ABI::train
