// What a task reports: losses of a training pass, and scores of a network on a test set under the names by which summaries list them.
#pragma once

#include <algorithm>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include <lpw/tensor/tensor.hpp>

namespace lpw::inline LPW_ABI::train {

/// Named values, the headline first: test_accuracy, test_nll and test_ece for image classification.
using Scores = std::vector<std::pair<std::string, double>>;

/// How a task speaks of itself: "accuracy" on the "test" set, of "samples".
struct Words {
  const char* metric;
  const char* held_out;
  const char* unit;
};

/// Where a pass over members' minibatches leaves its results, on the device: a row for each member of the network.
template <class W, class D>
struct StepOutputs {
  Tensor<W, D> losses;              // [K]: each member's mean loss
  Tensor<std::int32_t, D> correct;  // [K]: right predictions, those of a pass in the row of its first member, 0 elsewhere

  explicit StepOutputs(std::int64_t members) : losses(zeros<W, D>({members})), correct(zeros<std::int32_t, D>({members})) {}
};

/// Sums over the samples of an epoch so far.
struct Sums {
  double loss = 0;
  std::int64_t correct = 0, seen = 0;

  [[nodiscard]] double mean_loss() const { return loss / static_cast<double>(std::max<std::int64_t>(seen, 1)); }
};

/// What the members of a released network score one by one and together.
struct MemberScores {
  std::vector<Scores> members;
  Scores ensemble;
};

/// Everything that is known of a finished run's networks.
struct FinalScores {
  Scores before_release = {};  // empty if nothing was released
  MemberScores released = {};
  Scores collapsed = {};             // by the affine average
  Scores collapsed_parameters = {};  // by the parameters' averages
};

/// Adds <name>_<what> for every score; null where there is none.
inline void add_scores(nlohmann::ordered_json& summary, const Scores& names, const std::string& what, const Scores& scores) {
  for (std::size_t i = 0; i < names.size(); ++i)
    summary[names[i].first + "_" + what] = i < scores.size() ? nlohmann::ordered_json(scores[i].second) : nlohmann::ordered_json();
}

/// summary.json's scores.
[[nodiscard]] inline nlohmann::ordered_json to_json(const FinalScores& scores) {
  nlohmann::ordered_json summary;
  const Scores& names = scores.collapsed;
  add_scores(summary, names, "before_release", scores.before_release);
  for (std::size_t i = 0; i < names.size(); ++i) {
    auto& list = summary[names[i].first + "_members"] = nlohmann::ordered_json::array();
    for (const Scores& member : scores.released.members) list.push_back(member[i].second);
  }
  add_scores(summary, names, "ensemble", scores.released.ensemble);
  add_scores(summary, names, "collapsed", scores.collapsed);
  add_scores(summary, names, "collapsed_parameters", scores.collapsed_parameters);
  return summary;
}

/// The result table that ends a run.
[[nodiscard]] inline std::string format_table(const FinalScores& scores) {
  const Scores& names = scores.collapsed;
  std::string table = "                               ";
  const auto right = [&](const std::string& text) { table += std::string(text.size() < 15 ? 15 - text.size() : 0, ' ') + text; };
  for (const auto& [name, value] : names) {
    std::string title = name;
    std::replace(title.begin(), title.end(), '_', ' ');
    right(title);
  }
  const auto row = [&](const std::string& title, const Scores& values) {
    if (values.empty()) return;
    table += "\n  " + title + std::string(title.size() < 29 ? 29 - title.size() : 0, ' ');
    for (const auto& [name, value] : values) right(fixed(value, 4));
  };
  row("before release", scores.before_release);
  const auto& members = scores.released.members;
  if (members.size() > 1) {
    Scores mean = members.front();
    for (std::size_t i = 0; i < mean.size(); ++i) {
      double sum = 0;
      for (const Scores& member : members) sum += member[i].second;
      mean[i].second = sum / static_cast<double>(members.size());
    }
    row(to_text("mean of ", members.size(), " members"), mean);
    row("ensemble of members", scores.released.ensemble);
    row("collapsed (parameters)", scores.collapsed_parameters);
  }
  row(members.size() > 1 ? "collapsed, one plain network" : "plain network", scores.collapsed);
  return table;
}

}  // namespace lpw::inline LPW_ABI::train
