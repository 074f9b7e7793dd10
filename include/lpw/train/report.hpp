// The lines that tell a user how training goes.
#pragma once

#include <cstdint>
#include <string>
#include <variant>
#include <vector>

#include <lpw/data/member_data.hpp>
#include <lpw/optim/parameter_groups.hpp>
#include <lpw/tensor/error.hpp>
#include <lpw/train/display.hpp>
#include <lpw/train/options.hpp>
#include <lpw/train/pace.hpp>
#include <lpw/train/state.hpp>

namespace lpw::inline LPW_ABI::train {

/// What members do beside their steps, and what a step is, a line each.
[[nodiscard]] inline std::vector<std::string> describe_choices(const TrainOptions& options) {
  std::vector<std::string> lines;
  const auto every = [](std::int64_t count, const char* unit) {
    return to_text(" every ", count == 1 ? unit : to_text(count, ' ', unit, 's'));
  };
  if (options.coupling && options.releases()) {
    const auto* pull = std::get_if<PullToMean>(&*options.coupling);
    const auto* swap = std::get_if<Swap>(&*options.coupling);
    lines.push_back(to_text(
        "coupling: ",
        pull   ? to_text("members are pulled to their mean by ", pull->alpha,
                       pull->growth > 1 ? to_text(", ", pull->growth, " times as much each time,") : std::string())
          : swap ? to_text("members swap a share of ", swap->share, " of their weights")
               : std::string("members and a centre pull on each other"),
        every(options.coupling_every, "iteration")));
  }
  if (options.release_every > 0 && options.releases())
    lines.push_back(
        to_text(options.members == 1 ? "the member is folded into the network" : "members are averaged into one",
                " and released again", every(options.release_every, "epoch")));
  if (options.release_start == ReleaseStart::redraw && options.releases())
    lines.push_back(
        "members start from initial weights of their own: what they are is an ensemble, their mean is none "
        "of them");
  if (options.sam.rho > 0)
    lines.push_back(to_text("steps inside SAM, two passes each: rho ", options.sam.rho, ", from epoch ",
                            options.sam_start + 1, " on"));
  return lines;
}

/// Which parameters are stepped otherwise than the rest, a line for each group.
[[nodiscard]] inline std::vector<std::string> describe_groups(const TrainOptions& options) {
  std::vector<std::string> lines;
  const auto& groups = std::visit(
      [](const auto& o) -> const auto& { return o.groups; }, options.optimizer);
  for (const optim::ParameterGroup& group : groups) {
    std::string names, how;
    for (const std::string& name : group.names) names += (names.empty() ? "" : ", ") + name;
    const auto add = [&](const std::string& part) { how += (how.empty() ? "" : ", ") + part; };
    if (group.frozen) add("frozen");
    if (group.learning_rate && !group.frozen) add(to_text("learning rate ", *group.learning_rate));
    if (group.weight_decay && !group.frozen) add(to_text("weight decay ", *group.weight_decay));
    if (group.schedule && !group.frozen) add("a schedule of their own");
    lines.push_back(to_text("parameters ", names, ": ", how.empty() ? "as the rest" : how));
  }
  return lines;
}

/// What is kept over time, a line each: an average, and snapshots; and when training stops early.
[[nodiscard]] inline std::vector<std::string> describe_over_time(const TrainOptions& options) {
  std::vector<std::string> lines;
  if (options.average) {
    const auto& [start, every, period] = options.average_plan;
    const auto* latest = std::get_if<optim::LatestOptions>(&*options.average);
    const bool exponential = std::holds_alternative<optim::EmaOptions>(*options.average);
    const char* unit = period == optim::AveragePlan::Period::steps ? "step" : "epoch";
    lines.push_back(to_text("averaging: the ", exponential ? "exponential " : "", "mean of the ",
                            latest != nullptr ? to_text("last ", latest->count, " of the ") : "",
                            "weights after every ", every == 1 ? unit : to_text(every, ' ', unit, 's'), ", from epoch ",
                            start + 1, " on"));
  }
  if (options.serving.patience > 0)
    lines.push_back(to_text("training stops after ", options.serving.patience,
                            " epochs without a better held-out score",
                            options.releases() ? ", counted from the release on" : ""));
  if (options.snapshots > 0)
    lines.push_back(
        to_text("snapshots: at the ends of the schedule's cycles, of which the last ", options.snapshots, " are kept"));
  return lines;
}

namespace detail {

/// What the members of a task read.
template <class Task>
[[nodiscard]] const char* what_members_read(const Task& task) {
  auto data = lpw::data::MemberData::own;
  if constexpr (requires { task.member_data(); }) data = task.member_data();
  if (data == lpw::data::MemberData::same) return "all on the same minibatches";
  return data == lpw::data::MemberData::own ? "each on minibatches of its own" : "each on the whole training set";
}

}  // namespace detail

/// Why training ended before all epochs did (TrainingRun::stops).
[[nodiscard]] inline std::string describe_stop(const Progress& p, std::int64_t epochs, const Words& words) {
  return to_text("stopped after epoch ", p.epoch, '/', epochs, ": the held-out ", words.metric,
                 p.best_epoch.epoch == 0 ? std::string(" never was a number")
                                         : to_text(" was best after epoch ", p.best_epoch.epoch, ", ",
                                                   fixed(metric_of(p.best_epoch.quality), 4)));
}

/// What will be trained, before it is: when members are released, the effective batch before and after, which
/// parameters are stepped otherwise than the rest, what members and steps do besides, and what is kept over time.
template <class Task>
[[nodiscard]] std::vector<std::string> describe_plan(const TrainOptions& options, const Task& task,
                                                     const Progress& progress) {
  std::vector<std::string> lines;
  if (progress.step > 0 && progress.epoch < options.epochs) {
    const bool trained = progress.iteration == task.iterations(progress.released ? options.members : 1);
    lines.push_back(to_text(
        "resuming in epoch ", progress.epoch + 1, "/", options.epochs,
        trained ? ", which is trained, with its evaluation" : to_text(", before iteration ", progress.iteration + 1)));
  }
  if (progress.epoch >= options.epochs)
    return {to_text("all ", options.epochs, " epochs are trained already; evaluating again")};
  const bool by_step = options.release_step >= 0;
  if (!options.due(0, 0)) lines.push_back("one network: " + task.describe_iteration(1));
  if (options.releases()) {
    lines.push_back(to_text("after ",
                            by_step ? to_text(options.release_step, " iterations ")
                                    : to_text(options.release_epoch, " of ", options.epochs, " epochs "),
                            options.members == 1
                                ? std::string("the one member that is released")
                                : to_text(options.members, " members, ", detail::what_members_read(task)),
                            ": ", task.describe_iteration(options.members)));
  } else {
    const bool alone = options.members == 1 && !options.release_one;
    const std::string reason = alone                  ? "there is 1 member"
                               : options.late.empty() ? "no late-phase weights are chosen"
                                                      : to_text("training ends at epoch ", options.epochs,
                                                                ", release would be after ", options.release_epoch);
    lines.push_back("no late-phase weights will be released: " + reason);
  }
  TrainOptions ahead = options;  // a release that falls due with the end does not come
  if (options.releases() && options.release_every >= detail::member_epochs(options, task)) ahead.release_every = 0;
  for (const auto& more : {describe_groups(options), describe_choices(ahead), describe_over_time(options)})
    lines.insert(lines.end(), more.begin(), more.end());
  return lines;
}

/// The line of an epoch under way, of `iterations`; what matters most comes first, because a narrow terminal cuts the
/// rest off.
[[nodiscard]] inline std::string progress_line(const Progress& p, std::int64_t epochs, std::int64_t iterations,
                                               const Words& words, double train_metric, const Pace& pace,
                                               const std::string& time_left) {
  return to_text("epoch ", p.epoch + 1, '/', epochs, p.released ? " late " : " base ", p.iteration, '/', iterations,
                 "  ", fixed(pace.samples_per_second(), 0), ' ', words.unit, "/s  ETA ", time_left, "  loss ",
                 fixed(p.sums.mean_loss(), 4), "  train ", fixed(train_metric, 4));
}

/// The line of a finished epoch; without a score where none was taken.
[[nodiscard]] inline std::string epoch_line(const EpochRecord& r, std::int64_t epochs, const Words& words,
                                            const Pace& pace, const std::string& time_left) {
  const bool late = r.phase.starts_with("late");
  const std::string score = r.test_metric
                                ? to_text(words.held_out, late ? " (collapsed) " : " ", fixed(*r.test_metric, 4), "  ")
                                : std::string();
  return to_text("epoch ", r.epoch, '/', epochs, "  ", r.phase, "  lr ", significant(r.learning_rate, 4), "  loss ",
                 fixed(r.train_loss, 4), "  train ", fixed(r.train_metric, 4), "  ", score,
                 fixed(pace.samples_per_second(), 0), ' ', words.unit, "/s  ", fixed(r.seconds, 1), " s  ETA ",
                 time_left);
}

}  // namespace lpw::inline LPW_ABI::train
