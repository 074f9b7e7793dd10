// The training loop of the method, the same for every task: train one network until T0, release, train K members as one
// batched pass, collapse. A task provides minibatches, their losses and test scores (task.hpp); what happens beside the
// steps is done by parts (parts/): release, weight averaging and snapshots are the first. Here are the loop, signals,
// progress, and the run folder's files.
#pragma once

#include <algorithm>
#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include <lpw/io/model.hpp>
#include <lpw/late_phase/collapse.hpp>
#include <lpw/train/checkpointing.hpp>
#include <lpw/train/collapsing.hpp>
#include <lpw/train/cost.hpp>
#include <lpw/train/interrupt.hpp>
#include <lpw/train/parts/best_candidate.hpp>
#include <lpw/train/parts/cycle_snapshots.hpp>
#include <lpw/train/parts/member_coupling.hpp>
#include <lpw/train/parts/release_plan.hpp>
#include <lpw/train/parts/weight_averaging.hpp>
#include <lpw/train/run_folder.hpp>
#include <lpw/train/scoring.hpp>
#include <lpw/train/step.hpp>
#include <lpw/train/validate_run.hpp>

namespace lpw::inline LPW_ABI::train {

/// Trains a network for a task.
template <nn::Visitable Network, class Task>
class Trainer {
  static_assert(train::Task<Task, Network>,
                "lpw: this is no task for that network; lpw/train/task.hpp says what one has to have");

 public:
  using W = nn::WeightOf<Network>;
  using D = typename Network::device_type;

  /// `description` holds the options that make up the run: a checkpoint of others is refused. Its "model" and "dataset"
  /// are written into the saved network, or where collapse makes another model of it, its "collapsed_model". All
  /// references must outlive the trainer. `make` makes a network as it begins, of the same form, for members that are
  /// drawn anew (ReleaseStart::redraw): member k's of the random numbers of data::member_seed(seed, k). Of several
  /// `processes` each has such a trainer and calls the same; members are shared out over them. Throws OptionError for
  /// options that cannot work with this task, network or number of processes, at the start and not when members are
  /// released.
  Trainer(Network& network, Task& task, const TrainOptions& options, nlohmann::json description,
          std::type_identity_t<std::function<Network(const Philox&)>> make = {},
          distributed::AnyCommunicator& processes = distributed::single_process())
      : run_{network,
             task,
             possible(options, task, network),
             std::move(description),
             optim::make_optimizer(network, options.grouped_optimizer()),
             processes} {
    require_possible_over_processes(run_);
    require<OptionError>(make || options.release_start == ReleaseStart::copy,
                         "`release_start` redraw: the trainer was given no `make`, which draws members anew; give one, "
                         "or set `release_start` to copy");
    run_.make = std::move(make);
    add(std::make_unique<ReleasePlan<Network, Task>>());
    add(std::make_unique<MemberCoupling<Network, Task>>());
    add(std::make_unique<WeightAveraging<Network, Task>>());
    add(std::make_unique<CycleSnapshots<Network, Task>>());
    add(std::make_unique<BestCandidate<Network, Task>>());
  }

  /// Adds a part, after those there are; before anything is loaded or trained.
  void add(std::unique_ptr<Part<Network, Task>> part) { run_.parts.push_back(std::move(part)); }

  /// Continues from a checkpoint. Throws FileError for one that is damaged or of other options.
  void load(const std::filesystem::path& path) {
    load_run(run_, path);
    run_.folder = path.parent_path();
  }

  /// What run() is going to do, for the user to read before.
  [[nodiscard]] std::vector<std::string> plan() const {
    if (run_.stops() && run_.progress.epoch < run_.options.epochs)
      return {describe_stop(run_.progress, run_.options.epochs, Run::words), "evaluating again"};
    return describe_plan(run_.options, run_.task, run_.progress);
  }

  /// Trains to the end, or until `patience` is over, and leaves the collapsed network, its scores and the run's files;
  /// where nothing is left to train, evaluates again. Returns the signal that ended it early, or 0; everything up to
  /// that step is in the checkpoint then, an evaluation that the signal cut short apart. Throws NonFinite when a loss
  /// or a weight is, which no checkpoint then holds, and FileError where a file cannot be written.
  int run(const RunFolder& folder, Display& display) {
    const InterruptGuard guard(run_.processes);
    last_checkpoint_ = run_.mark = Clock::now();
    run_.folder = folder.path();
    try {
      for (auto& part : run_.parts) part->start(run_);
      if (const int signal = train_epochs(folder, display)) return signal;
      finish(folder, display);
    } catch (const Interrupted& interrupted) {  // the last epoch's checkpoint is there
      return interrupted.signal;
    } catch (const FileError& error) {
      fail<FileError>(error.what(), "; mend that and continue with `resume`");
    }
    return 0;
  }

  /// Puts into the network what the end of a run scores and collapses: averaged weights where there are any.
  void offer(Display& display) {
    D::trim();
    run_.progress.choices = {};
    for (auto& part : run_.parts) part->before_offer(run_, display);
    for (auto& part : run_.parts) part->offer(run_, display);
  }

  /// Scores as at the end of a run. Leaves the network collapsed.
  [[nodiscard]] Results collapse_and_score(Display& display) {
    offer(display);
    display.progress([] { return "evaluating the members and the collapsed network"; });
    Results results = score_members(run_);
    const Choices& choices = run_.progress.choices;
    for (Result& result : results) result.weights = choices.weights;
    const std::optional<Scores> by_parameters = score_by_parameters(run_);
    collapse_members(run_, display);
    for (auto& part : run_.parts) part->conclude(run_, display);
    const auto [scores, of_plain] =
        timed(run_.task, {1, run_.weights().value.base.size()}, [&] { return run_.task.evaluate(run_.network); });
    if (const Scores& before = run_.progress.before_release; !before.empty())
      results.insert(results.begin(), {"before_release", before, of_plain});
    const std::string left = choices.weights_left();
    results.push_back(
        {"collapsed_parameters", by_parameters.value_or(scores), of_plain, by_parameters ? choices.weights : left});
    results.push_back({"collapsed", scores, of_plain, left});
    score_dropout(run_, of_plain, results);
    for (auto& part : run_.parts) part->score(run_, display, results);
    return results;
  }

  /// How far the run is.
  [[nodiscard]] const Progress& progress() const { return run_.progress; }

 private:
  using Run = TrainingRun<Network, Task>;
  using Clock = typename Run::Clock;

  /// Trains what is left. Returns the signal that ended it early, or 0.
  int train_epochs(const RunFolder& folder, Display& display) {
    try {
      while (run_.progress.epoch < run_.options.epochs && !run_.stops()) {
        if (run_.progress.iteration == 0)
          for (auto& part : run_.parts) part->before_epoch(run_, display);
        if (train_epoch(folder, display)) finish_epoch(folder, display);
        if (const int signal = InterruptGuard::signal()) return signal;
      }
    } catch (const Interrupted&
                 interrupted) {  // an evaluation, which changes nothing: all that was trained until then is to be kept
      run_.account();
      save(folder);
      return interrupted.signal;
    }
    return 0;
  }

  /// The rest of the current epoch. False where a signal ended it, after a checkpoint.
  bool train_epoch(const RunFolder& folder, Display& display) {
    run_.pace.start_epoch();
    run_.account();
    if (run_.epoch_ends()) return true;  // a signal came with the step before release
    for (auto& batch : run_.minibatches()) {
      const std::int64_t samples = run_.samples_in(batch);
      step_.take(run_, batch, checkpoint_is_due());
      for (auto& part : run_.parts) part->after_step(run_);
      run_.pace.trained(samples, run_.account());
      if (run_.progress.sums.seen > 0)
        display.progress([&] {
          return progress_line(run_.progress, run_.options.epochs, run_.task.iterations(run_.members()), Run::words,
                               Task::train_metric(run_.progress.sums), run_.pace, run_.time_left());
        });
      const bool interrupted = InterruptGuard::signal() != 0;  // of several processes as they agreed with the losses
      if (interrupted || (run_.processes.several() ? step_.due() : checkpoint_is_due())) {
        step_.settle(run_);
        step_.saved();
        save(folder);
      }
      if (interrupted) return false;
      run_.account();
      if (run_.epoch_ends()) break;
    }
    step_.settle(run_);
    return true;
  }

  void finish_epoch(const RunFolder& folder, Display& display) {
    Progress& progress = run_.progress;
    run_.require_finite_weights();
    Scores scores;
    if (run_.options.scores_after(progress.epoch + 1)) {
      display.progress([] { return "evaluating"; });
      scores = run_.scored([&] { return score_network(); });  // before anything changes: a signal may cut it short
    }
    run_.scored([&] {  // before anything changes
      for (auto& part : run_.parts) part->score_epoch(run_);
    });
    for (auto& part : run_.parts) part->after_epoch(run_);
    const optim::Time last = run_.before_last_step();
    EpochRecord record{.epoch = progress.epoch + 1,
                       .phase = progress.released ? "late" : "base",
                       .learning_rate = run_.optimizer->rates().learning_rate * run_.base_factor(last),
                       .late_learning_rate = run_.late_rate(last),
                       .train_loss = progress.sums.mean_loss(),
                       .train_metric = Task::train_metric(progress.sums),
                       .coefficient_learning_rate = run_.coefficient_rate(last)};
    if (!scores.empty()) {
      record.test_metric = scores.front().second;
      record.scores.assign(scores.begin() + 1, scores.end());
    }
    for (const auto& part : run_.parts) record.phase += part->phase(run_);
    run_.account();
    record.seconds = progress.epoch_seconds;
    record.work = progress.work;
    record.parameters_trained = run_.parameters();
    record.parameters_served =
        run_.options.serving.served == Served::ensemble ? record.parameters_trained : plain_parameters();
    progress.history.push_back(record);
    for (auto& part : run_.parts) part->recorded(run_);
    ++progress.epoch;
    progress.iteration = 0;
    progress.sums = {};
    progress.epoch_seconds = 0;
    display.line(epoch_line(record, run_.options.epochs, Run::words, run_.pace, run_.time_left()));
    save(folder);
    folder.write_metrics(format_csv(progress.history, Run::words));
  }

  /// Scores of the network as it would be collapsed now, of which nothing is kept, the metric first; and where the
  /// members' ensemble is what is served, or is to be scored, its own.
  [[nodiscard]] Scores score_network() {
    Scores scores;
    {
      auto plain = collapsed_now(run_);
      scores = run_.task.epoch_scores(plain);
    }
    if (!run_.options.scores_ensemble() || run_.members() == 1) return scores;
    for (const auto& [name, value] : run_.task.epoch_scores(run_.network))
      scores.emplace_back(name + "_ensemble", value);
    return scores;
  }

  /// Of the network that is left, which is the same for all epochs.
  [[nodiscard]] std::int64_t plain_parameters() {
    if (plain_parameters_ == 0) {
      auto plain = collapsed(run_.network, Collapse::parameters);
      plain_parameters_ = nn::flatten(plain)->value.base.size();
    }
    return plain_parameters_;
  }

  void finish(const RunFolder& folder, Display& display) {
    const auto flat = nn::flatten(run_.network);
    const std::int64_t members = run_.members(), base = flat->value.base.dim(1), late = flat->value.late.dim(1);
    if (run_.progress.epoch < run_.options.epochs)
      display.line(describe_stop(run_.progress, run_.options.epochs, Run::words));
    const Results results = run_.scored([&] { return collapse_and_score(display); });
    if (run_.progress.released)
      display.line(describe_collapse(run_.progress.choices, members, run_.weights().value.base.dim(1)));
    run_.account();
    nlohmann::ordered_json summary = to_json(results);
    summary["members"] = members;
    summary["epochs"] = run_.progress.epoch;
    if (run_.options.serving.patience > 0) summary["best_epoch"] = run_.progress.best_epoch.epoch;
    if (!run_.progress.history.empty()) {
      summary["train_loss"] = run_.progress.history.back().train_loss;
      summary[to_text("train_", Run::words.metric)] = run_.progress.history.back().train_metric;
    }
    summary["parameters_base"] = base;
    summary["parameters_late_per_member"] = late;
    summary["seconds"] = run_.progress.seconds;
    add_choices(summary, run_.progress.choices, Run::words);
    if (run_.processes.leads()) io::save_safetensors(folder.model(), run_.network, run_.notes());
    const std::string served = served_row(run_.options.serving);
    const Training training{run_.progress.work, run_.progress.seconds, base + members * late};
    add_cost(summary, results, served, training);
    folder.write_metrics(format_csv(run_.progress.history, Run::words));
    folder.write_summary(summary);
    display.line(to_text("saved ", one_line(folder.model().string()), ", ", one_line(folder.summary().string())));
    display.line(
        to_text("\n", format_table(results), "\n\n", format_costs(results, served, training, Run::words), "\n"));
  }

  /// By this process' clock; of several, process 0's counts.
  [[nodiscard]] bool checkpoint_is_due() const {
    return Clock::now() - last_checkpoint_ > std::chrono::duration<double>(60 * run_.options.checkpoint_minutes);
  }

  void save(const RunFolder& folder) {
    save_run(run_, folder.checkpoint());
    last_checkpoint_ = Clock::now();
  }

  Run run_;
  TrainingStep<Network, Task> step_;
  typename Clock::time_point last_checkpoint_{};
  std::int64_t plain_parameters_ = 0;
};

}  // namespace lpw::inline LPW_ABI::train
