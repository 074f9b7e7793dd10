// What a run is made of: the network, its task and optimizer, how far it is, and the parts that the loop calls.
#pragma once

#include <algorithm>
#include <chrono>
#include <concepts>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <lpw/data/member_data.hpp>
#include <lpw/distributed/any_communicator.hpp>
#include <lpw/distributed/members.hpp>
#include <lpw/late_phase/release.hpp>
#include <lpw/optim/make_optimizer.hpp>
#include <lpw/train/options.hpp>
#include <lpw/train/parts/part.hpp>
#include <lpw/train/process_memory.hpp>
#include <lpw/train/report.hpp>
#include <lpw/train/state.hpp>
#include <lpw/train/task.hpp>

namespace lpw::inline LPW_ABI::train {

/// A task of which several processes can each do a part: its epochs are of the members or the part of a minibatch that
/// a process reads (data::ReadMembers), and it knows how many samples all read together.
template <class T>
concept SharedTask = requires(T& task, const T& fixed, const data::ReadMembers& members) {
  task.epoch(std::int64_t{}, members, std::int64_t{});
  { fixed.samples_in_iteration(std::int64_t{}, std::int64_t{}) } -> std::convertible_to<std::int64_t>;
};

/// The state of a training run. Holds references to the network, the task and the processes that it is on.
template <nn::Visitable Network, class Task>
struct TrainingRun {
  using W = nn::WeightOf<Network>;
  using D = typename Network::device_type;
  using Clock = std::chrono::steady_clock;
  static constexpr Words words = Task::words();  // how the task speaks of itself

  Network& network;                  // what is trained
  Task& task;                        // for which it is trained
  const TrainOptions options;        // of the run
  const nlohmann::json description;  // the options that make up the run: a checkpoint of others is refused
  std::unique_ptr<optim::Optimizer<W, D>> optimizer;                        // of the network's weights
  distributed::AnyCommunicator& processes = distributed::single_process();  // that share it
  distributed::Members<distributed::AnyCommunicator> team{processes, {.chunk = options.sum_chunk}};  // over them
  std::vector<std::unique_ptr<Part<Network, Task>>> parts = {};  // that the loop calls, in their order
  Progress progress = {};                                        // how far it is
  Pace pace = {};                                                // how fast it goes
  Clock::time_point mark = Clock::now();                         // up to which time is accounted for
  std::filesystem::path folder = {};                             // of its files; none before it is loaded or trained
  std::function<Network(const Philox&)> make = {};  // a network as it begins, for members that are drawn anew

  /// What a file of the plain network says of it and of its data, in the metadata.
  [[nodiscard]] std::map<std::string, std::string> notes() const {
    const auto recorded = [&](const char* name, const std::string& otherwise) {
      return description.value(name, otherwise);
    };
    std::map<std::string, std::string> result{{"model", recorded("collapsed_model", recorded("model", ""))},
                                              {"dataset", recorded("dataset", "")}};
    if constexpr (requires { task.notes(); }) result.merge(task.notes());
    return result;
  }

  /// Of all processes together, and those whose weights are here.
  [[nodiscard]] std::int64_t members() const { return progress.released ? options.members : 1; }
  /// Of which this process has weights.
  [[nodiscard]] std::int64_t members_here() const { return processes.several() ? weights().members : members(); }
  /// The minibatches that are left of the epoch, as far as this process reads them.
  [[nodiscard]] auto minibatches() {
    if constexpr (SharedTask<Task>) {
      return task.epoch(progress.epoch, team.of(network), progress.iteration);
    } else {
      return task.epoch(progress.epoch, members(), progress.iteration);
    }
  }
  /// How many samples all processes have together in the iteration of which this one has a minibatch.
  template <class Batch>
  [[nodiscard]] std::int64_t samples_in(const Batch& batch) const {
    if constexpr (SharedTask<Task>)
      if (processes.several()) return task.samples_in_iteration(members(), progress.iteration);
    return task.samples_in(batch);
  }
  /// What a part of a minibatch does not say of the whole one, of so many samples.
  template <class Batch>
  [[nodiscard]] static distributed::WholeMinibatch whole_of(const Batch& batch, std::int64_t samples) {
    distributed::WholeMinibatch whole{.samples = samples};
    if constexpr (requires { Task::steps_in(batch); }) whole.steps = Task::steps_in(batch);
    return whole;
  }
  /// Of all members together.
  [[nodiscard]] std::int64_t parameters() const {
    return weights().value.base.size() + members() * weights().value.late.dim(1);
  }
  /// Where training stands, and where it stood before its last iteration; the first one's place before there is any.
  [[nodiscard]] optim::Time now() const { return time_at(progress.iteration, progress.step); }
  /// Before its last iteration; the first one's place before there is any.
  [[nodiscard]] optim::Time before_last_step() const {
    const std::int64_t back = std::min<std::int64_t>(progress.iteration, 1);
    return time_at(progress.iteration - back, progress.step - back);
  }
  /// What multiplies the learning rates in the step at a time.
  [[nodiscard]] double base_factor(const optim::Time& at) const { return optim::factor(options.schedule, at); }
  /// Of late-phase weights.
  [[nodiscard]] double late_factor(const optim::Time& at) const { return optim::factor(options.late_schedule, at); }
  /// Of templates' coefficients.
  [[nodiscard]] double coefficient_factor(const optim::Time& at) const {
    return optim::factor(options.coefficient_schedule.value_or(options.late_schedule), at);
  }
  /// Whether the optimizer moves weights with the rates of late-phase ones.
  [[nodiscard]] bool has_late_rate() const {
    const auto& segments = optimizer->weights().segments;
    return std::any_of(segments.begin(), segments.end(), [&](const nn::Segment& segment) {
      return segment.late_phase && !(options.groups_coefficients() && contains(segment.group, Group::templates));
    });
  }
  /// The learning rate of late-phase weights in the step at a time; none where all of them are coefficients with one of
  /// their own.
  [[nodiscard]] std::optional<double> late_rate(const optim::Time& at) const {
    if (options.groups_coefficients() && !has_late_rate()) return std::nullopt;
    return optimizer->late_rates().learning_rate * late_factor(at);
  }
  /// The learning rate of templates' coefficients in the step at a time, where they have one of their own.
  [[nodiscard]] std::optional<double> coefficient_rate(const optim::Time& at) const {
    if (!options.groups_coefficients()) return std::nullopt;
    return optimizer->coefficient_rates().learning_rate * coefficient_factor(at);
  }
  /// Whether the last step was a cycle's of the lowest rate. An epoch that a part ends early is over with it.
  [[nodiscard]] bool cycle_ended() const {
    optim::Time after = now();
    if (epoch_ends()) after = {progress.epoch + 1, 0, after.iterations, progress.step};
    return optim::ends_cycle(options.schedule, before_last_step(), after);
  }
  /// The network's stores.
  [[nodiscard]] nn::FlatWeights<W, D>& weights() const { return *nn::flatten(network); }

  /// Whether the next step takes its gradient twice (TrainOptions::sam).
  [[nodiscard]] bool ascends() const {
    return progress.epoch >= options.sam_start && optim::Sam(*optimizer, options.sam).active();
  }

  /// Adds the time since the last call to the run's and the epoch's, and looks at the memory. Returns the time.
  double account() {
    const auto now = Clock::now();
    const double seconds = std::chrono::duration<double>(now - std::exchange(mark, now)).count();
    progress.epoch_seconds += seconds;
    progress.seconds += seconds;
    progress.work.peak_memory = std::max(progress.work.peak_memory, peak_process_memory());
    return seconds;
  }
  /// To the end of training, as text; "-" while nothing is known.
  [[nodiscard]] std::string time_left() const {
    const std::int64_t late = options.epochs - std::clamp(release_after(), progress.epoch, options.epochs),
                       base = options.epochs - progress.epoch - late;
    const auto samples = [&](std::int64_t epochs, std::int64_t members) {
      return epochs == 0 ? 0.0 : static_cast<double>(epochs) * static_cast<double>(task.samples(members));
    };
    return pace.time_for(samples(base, 1) + samples(late, options.members) - static_cast<double>(progress.sums.seen));
  }

  /// `epoch` and `iteration` as in the progress.
  [[noreturn]] static void fail_diverged(const std::string& what, std::int64_t epoch, std::int64_t iteration) {
    fail<NonFinite>(what, " in epoch ", epoch + 1, ", iteration ", iteration + 1,
                    ": training diverged; lower the learning rate; checkpoints written before are intact");
  }
  /// Weights can overflow in a step whose loss was still finite.
  void require_finite_weights() {
    const auto& flat = weights();
    if (!all_finite(flat.value.base) || !all_finite(flat.value.late) || !all_finite(flat.buffers))
      fail_diverged("a weight became infinite or NaN", progress.epoch, progress.iteration);
  }
  /// What a scoring of finite weights returns. Its outputs can overflow all the same, by running statistics of before
  /// the last steps, say.
  template <class Score>
  [[nodiscard]] auto scored(Score&& score) const {
    try {
      return score();
    } catch (const NonFinite& error) {
      const std::int64_t epoch = progress.epoch + (progress.iteration > 0);
      fail<NonFinite>(epoch > 0 ? to_text("after epoch ", epoch) : "before the first epoch", " the outputs for the ",
                      words.held_out, " set are not finite (", error.what(),
                      "): training diverged; lower the learning rate; checkpoints written before are intact");
    }
  }

  /// Whether training is over before all epochs are: as many went by without a better held-out score as `patience`
  /// says. Where members are released, only theirs count, and where what is served is averaged or gathered over time,
  /// those since there is some of it.
  [[nodiscard]] bool stops() const {
    const std::int64_t patience = options.serving.patience;
    if (patience == 0 || progress.iteration > 0) return false;
    const auto& history = progress.history;
    const std::int64_t of_members = std::count_if(history.begin(), history.end(),
                                                  [](const EpochRecord& row) { return row.phase.starts_with("late"); });
    return progress.epoch - progress.best_epoch.epoch >= patience && (!options.releases() || of_members >= patience) &&
           std::all_of(parts.begin(), parts.end(),
                       [&](const auto& part) { return part->epochs_ready(*this) >= patience; });
  }

  /// Whether a part wants the epoch to end here.
  [[nodiscard]] bool epoch_ends() const {
    return std::any_of(parts.begin(), parts.end(), [&](const auto& part) { return part->ends_epoch(*this); });
  }

  /// As what follows a release or a collapse: the optimizer and all parts.
  template <class Flat>
  [[nodiscard]] bool follows(const Flat& flat) const {
    return optimizer->follows(flat) &&
           std::all_of(parts.begin(), parts.end(), [&](const auto& part) { return part->follows(flat); });
  }
  template <class Flat>
  void rearrange(const Flat& from, const std::shared_ptr<Flat>& to) {
    optimizer->rearrange(from, to);
    for (auto& part : parts) part->rearrange(from, to);
  }
  void clear_states() { optimizer->clear_states(); }
  void before_collapse(Network&) {
    for (auto& part : parts) part->before_collapse(network);
  }

 private:
  /// Epochs that end before the release, or will; all where there is none.
  [[nodiscard]] std::int64_t release_after() const {
    if (!options.releases()) return options.epochs;
    if (progress.released) return 0;
    const std::int64_t iterations = task.iterations(1);
    return options.release_step < 0 ? options.release_epoch : (options.release_step + iterations - 1) / iterations;
  }
  [[nodiscard]] optim::Time time_at(std::int64_t iteration, std::int64_t step) const {
    return {progress.epoch, iteration, task.iterations(members()), step};
  }
};

}  // namespace lpw::inline LPW_ABI::train
