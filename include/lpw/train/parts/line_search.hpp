// The loss along the line between two members, and between a member and the mean of all: where it is flat, averaging
// works, and where there is a ridge between members, their mean lies on it. A diagnostic at the end of a run.
#pragma once

#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include <lpw/io/file.hpp>
#include <lpw/train/collapsing.hpp>
#include <lpw/train/line_plot.hpp>

namespace lpw::inline LPW_ABI::train {

/// Writes line_search.csv and line_search.svg into a folder at the end of a run with members: at each of `points`
/// places in [0, 1] of either line the training loss by minibatch statistics, and what the network scores on held-out
/// samples with statistics gathered there. The members are those of the last step, before an average over time or a
/// centre takes their place. Takes a pass over both sets a place, which no account counts: it changes nothing.
template <nn::Visitable Network, class Task>
class LineSearch final : public Part<Network, Task> {
 public:
  using Run = TrainingRun<Network, Task>;

  /// Of so many places in each line.
  LineSearch(std::filesystem::path folder, std::int64_t points) : folder_(std::move(folder)), points_(points) {}

  /// Throws OptionError for less than two points, a run without members, or a task without held-out samples.
  static void require_possible(const Task& task, const TrainOptions& options, std::int64_t points) {
    require<OptionError>(points >= 2, "`line_search` ", points, ": expected 0 or at least 2 points");
    require<OptionError>(options.releases() && options.members > 1,
                         "`line_search`: no members are released, between which there are lines");
    require<OptionError>(holds_out<Network>(task),
                         "`line_search` needs samples that are not trained on, and there are none; say how many in "
                         "`held_out`");
  }

  void before_offer(Run& run, Display& display) override {
    const std::int64_t members = run.members();
    if (members == 1) return;
    display.progress([] { return "the loss along lines between members"; });
    const bool spread = run.weights().share != nullptr;
    if (spread) run.team.gather(run.network, run);
    std::string csv = to_text("line,t,train_loss,held_out_loss,held_out_", Run::words.metric, '\n');
    std::vector<Curve> curves;
    walk(run, "member 1 to member 2", one_of_members(members, 0), one_of_members(members, 1), csv, curves);
    walk(run, "member 1 to the mean", one_of_members(members, 0), equal_coefficients(members), csv, curves);
    if (spread) run.team.spread(run.network, run);
    if (!run.processes.leads()) return;
    io::write_file_atomically(folder_ / "line_search.csv", std::string_view(csv));
    io::write_file_atomically(folder_ / "line_search.svg", std::string_view(line_plot("Loss between members", curves)));
    display.line("line search: line_search.csv, line_search.svg");
  }

 private:
  void walk(Run& run, const std::string& name, const std::vector<double>& from, const std::vector<double>& to,
            std::string& csv, std::vector<Curve>& curves) {
    Curve training{name + ", training"}, held_out{name + ", held-out"};
    for (std::int64_t i = 0; i < points_; ++i) {
      const double t = static_cast<double>(i) / static_cast<double>(points_ - 1);
      auto coefficients = from;
      for (std::size_t k = 0; k < coefficients.size(); ++k) coefficients[k] += t * (to[k] - from[k]);
      auto plain = mixed_members(run.network, coefficients);
      const double loss = training_loss(run, plain);
      const HeldOutScore score = run.task.held_out_scores(plain).front();
      csv += to_text(name, ',', significant(t, 6), ',', significant(loss, 9), ',', significant(score.loss, 9), ',',
                     significant(score.metric, 9), '\n');
      training.points.emplace_back(t, loss);
      held_out.points.emplace_back(t, score.loss);
    }
    curves.push_back(std::move(training));
    curves.push_back(std::move(held_out));
  }

  /// The mean over the training samples, by which the network's statistics are gathered on the way.
  [[nodiscard]] static double training_loss(Run& run, Network& plain) {
    MeanLoss mean;
    run.task.for_each_loss(plain, Samples::training, false,
                           [&](Tape&, const auto& loss, std::int64_t samples) { mean.add(loss, samples); });
    nn::set_statistics_stale(plain, false);
    return mean.value();
  }

  std::filesystem::path folder_;
  std::int64_t points_;
};

}  // namespace lpw::inline LPW_ABI::train
