// What a task reports: losses of a training pass, and scores of a network on a test set under the names by which
// summaries list them.
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include <lpw/tensor/tensor.hpp>

namespace lpw::inline LPW_ABI::train {

/// Named values, the headline first: test_accuracy, test_nll and test_ece for image classification, where samples are
/// held out with valid_accuracy and valid_nll.
using Scores = std::vector<std::pair<std::string, double>>;

/// How a task speaks of itself: "accuracy" on the "test" set, of "samples".
struct Words {
  const char* metric;    // what is scored
  const char* held_out;  // what it is scored on
  const char* unit;      // what is counted
};

/// Where a pass over members' minibatches leaves its results, on the device: a row for each member of the network.
template <class W, class D>
struct StepOutputs {
  Tensor<W, D> losses;  // [K]: each member's mean loss
  /// [K]: right predictions, those of a pass in the row of its first member, 0 elsewhere.
  Tensor<std::int32_t, D> correct;

  /// Zeros.
  explicit StepOutputs(std::int64_t members)
      : losses(zeros<W, D>({members})), correct(zeros<std::int32_t, D>({members})) {}
};

/// Sums over the samples of an epoch so far.
struct Sums {
  double loss = 0;           // over samples, not their mean
  std::int64_t correct = 0;  // right predictions
  std::int64_t seen = 0;     // samples

  /// In nats; 0 before the first sample.
  [[nodiscard]] double mean_loss() const { return loss / static_cast<double>(std::max<std::int64_t>(seen, 1)); }
};

/// What the members of a released network score one by one and together.
struct MemberScores {
  std::vector<Scores> members;  // of each
  Scores ensemble;              // of their mean prediction
};

/// What a network scores on held-out samples, by which something is chosen: never the test set's.
struct HeldOutScore {
  double loss = 0;           // mean cross-entropy, in nats
  double metric = 0;         // as the task's words call it
  double quality = 0;        // the metric or its negative: the higher, the better
  std::int64_t samples = 0;  // that were scored
};

/// Which samples a pass is over.
enum class Samples { training, held_out };

/// What predicting with a network takes.
struct Cost {
  std::int64_t passes = 1;                  // forward passes of a plain network for a prediction
  std::int64_t parameters = 0;              // numbers that must be kept for them, running statistics apart
  std::optional<double> milliseconds = {};  // a sample took, in the scoring
};

/// What one of a run's networks, or an ensemble, scores and costs: "before_release", "member_1" to "member_K",
/// "ensemble", "collapsed_parameters", "collapsed" (as the options say), where snapshots were taken "snapshots" (their
/// ensemble), and "dropout_N" where that is served.
struct Result {
  std::string name;          // which network or ensemble
  Scores scores;             // on the test set, or on held-out samples
  Cost cost = {};            // of training and serving it
  std::string weights = {};  // whose it has, where these are not the last step's: swa, ema, lawa, centre, "epoch 3"
};
/// All candidates of a run.
using Results = std::vector<Result>;

/// The result of that name; nullptr where there is none.
[[nodiscard]] inline const Result* result_of(const Results& results, const std::string& name) {
  const auto found =
      std::find_if(results.begin(), results.end(), [&](const Result& result) { return result.name == name; });
  return found == results.end() ? nullptr : &*found;
}
/// The scores of that name; empty where there are none.
[[nodiscard]] inline Scores scores_of(const Results& results, const std::string& name) {
  const Result* found = result_of(results, name);
  return found == nullptr ? Scores() : found->scores;
}

/// The members' scores, in their order.
[[nodiscard]] inline std::vector<Scores> members_of(const Results& results) {
  std::vector<Scores> members;
  for (Scores next; !(next = scores_of(results, to_text("member_", members.size() + 1))).empty();)
    members.push_back(std::move(next));
  return members;
}

/// Adds <name>_<what> for every score; null where there is none.
inline void add_scores(nlohmann::ordered_json& summary, const Scores& names, const std::string& what,
                       const Scores& scores) {
  for (std::size_t i = 0; i < names.size(); ++i)
    summary[names[i].first + "_" + what] =
        i < scores.size() ? nlohmann::ordered_json(scores[i].second) : nlohmann::ordered_json();
}

/// summary.json's scores: <score>_<name> for those that every run has, and for snapshots where there are any, and the
/// list of all results with their costs.
[[nodiscard]] inline nlohmann::ordered_json to_json(const Results& results) {
  nlohmann::ordered_json summary;
  const Scores names = scores_of(results, "collapsed");
  add_scores(summary, names, "before_release", scores_of(results, "before_release"));
  for (std::size_t i = 0; i < names.size(); ++i) {
    auto& list = summary[names[i].first + "_members"] = nlohmann::ordered_json::array();
    for (const Scores& member : members_of(results)) list.push_back(member[i].second);
  }
  for (const char* name : {"ensemble", "collapsed", "collapsed_parameters"})
    add_scores(summary, names, name, scores_of(results, name));
  if (const Result* snapshots = result_of(results, "snapshots"))
    add_scores(summary, names, "snapshots", snapshots->scores);
  auto& list = summary["results"] = nlohmann::ordered_json::array();
  for (const Result& result : results) {
    nlohmann::ordered_json entry{
        {"name", result.name}, {"passes", result.cost.passes}, {"parameters", result.cost.parameters}};
    if (!result.weights.empty()) entry["weights"] = result.weights;
    if (result.cost.milliseconds) entry["milliseconds_per_sample"] = *result.cost.milliseconds;
    for (const auto& [name, value] : result.scores) entry[name] = value;
    list.push_back(std::move(entry));
  }
  return summary;
}

/// The mean of several networks' scores, one by one.
[[nodiscard]] inline Scores mean_scores(const std::vector<Scores>& all) {
  Scores mean = all.front();
  for (std::size_t i = 0; i < mean.size(); ++i) {
    double sum = 0;
    for (const Scores& scores : all) sum += scores[i].second;
    mean[i].second = sum / static_cast<double>(all.size());
  }
  return mean;
}

/// "8" of "dropout_8", a row of so many dropout samples; empty for other rows.
[[nodiscard]] inline std::string dropout_samples_of(const std::string& row) {
  constexpr std::string_view prefix = "dropout_";
  return row.starts_with(prefix) ? row.substr(prefix.size()) : std::string();
}

namespace detail {

/// A row of the table: its title, which says whose weights the result has, and its scores.
struct TableRow {
  std::string title;
  Scores scores;
};

[[nodiscard]] inline std::vector<TableRow> table_rows(const Results& results) {
  std::vector<TableRow> rows;
  const auto add = [&](const std::string& title, const std::string& name, std::optional<Scores> scores = {}) {
    const Result* result = result_of(results, name);
    if (result == nullptr || result->scores.empty()) return;
    rows.push_back({title + (result->weights.empty() ? "" : ", " + result->weights), scores.value_or(result->scores)});
  };
  add("before release", "before_release");
  const auto members = members_of(results);
  if (members.size() > 1) {
    add(to_text("mean of ", members.size(), " members"), "member_1", mean_scores(members));
    add("ensemble of members", "ensemble");
    add("collapsed (parameters)", "collapsed_parameters");
  }
  add(members.size() > 1 ? "collapsed, one plain network" : "plain network", "collapsed");
  if (const Result* snapshots = result_of(results, "snapshots"))
    add(to_text("ensemble of ", snapshots->cost.passes, " snapshots"), "snapshots");
  for (const Result& result : results)
    if (const auto samples = dropout_samples_of(result.name); !samples.empty())
      add(to_text(samples, " dropout samples"), result.name);
  return rows;
}

}  // namespace detail

/// The result table that ends a run.
[[nodiscard]] inline std::string format_table(const Results& results) {
  const auto rows = detail::table_rows(results);
  std::size_t width = 29;
  for (const auto& row : rows) width = std::max(width, row.title.size() + 1);
  std::string table = "  " + std::string(width, ' ');
  const auto right = [&](const std::string& text) {
    table += std::string(text.size() < 15 ? 15 - text.size() : 0, ' ') + text;
  };
  for (auto [title, value] : scores_of(results, "collapsed")) {
    std::replace(title.begin(), title.end(), '_', ' ');
    right(title);
  }
  for (const auto& row : rows) {
    table += "\n  " + row.title + std::string(width - row.title.size(), ' ');
    for (const auto& [name, value] : row.scores) right(fixed(value, 4));
  }
  return table;
}

}  // namespace lpw::inline LPW_ABI::train
