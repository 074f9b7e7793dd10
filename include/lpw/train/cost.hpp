// The cost account of a run: what training took, and what is served: passes, parameters and time for a sample. A table
// without cost compares nothing: an ensemble of K networks costs K of them, SAM two passes a step.
#pragma once

#include <algorithm>
#include <chrono>
#include <ratio>
#include <string>
#include <utility>

#include <nlohmann/json.hpp>

#include <lpw/train/scores.hpp>
#include <lpw/train/serving_options.hpp>
#include <lpw/train/state.hpp>

namespace lpw::inline LPW_ABI::train {

/// What score() returns, and `cost` with the milliseconds that it took a sample where the task says how many it scores.
template <class Task, class Score>
[[nodiscard]] auto timed(const Task& task, Cost cost, Score&& score) {
  const auto begin = std::chrono::steady_clock::now();
  auto result = score();
  const std::chrono::duration<double, std::milli> taken = std::chrono::steady_clock::now() - begin;
  if constexpr (requires { task.scored_samples(); })
    cost.milliseconds = taken.count() / static_cast<double>(std::max<std::int64_t>(task.scored_samples(), 1));
  return std::pair(std::move(result), cost);
}

/// The cost of one of the passes.
[[nodiscard]] inline Cost cost_of_pass(Cost all, std::int64_t parameters) {
  if (all.milliseconds) *all.milliseconds /= static_cast<double>(all.passes);
  return {1, parameters, all.milliseconds};
}

/// The row of the results that is served.
[[nodiscard]] inline std::string served_row(const ServingOptions& o) {
  switch (o.served) {
    case Served::ensemble:
      return "ensemble";
    case Served::snapshots:
      return "snapshots";
    case Served::dropout:
      return to_text("dropout_", o.dropout_samples);
    default:
      return "collapsed";
  }
}

/// What a run trained, and how long it took.
struct Training {
  Work work = {};               // samples and memory
  double seconds = 0;           // of wall-clock time
  std::int64_t parameters = 0;  // that the optimizer moves: base weights, and late-phase weights of all members
};

/// Adds the account to a summary, with the scores of the row that is served, <score>_served. Throws Error where there
/// is no such row.
inline void add_cost(nlohmann::ordered_json& summary, const Results& results, const std::string& served,
                     const Training& training) {
  summary["samples_forward"] = training.work.forward;
  summary["samples_backward"] = training.work.backward;
  summary["peak_memory_mb"] = training.work.peak_memory;
  summary["parameters_trained"] = training.parameters;
  summary["served"] = served;
  const Result* row = result_of(results, served);
  require(row != nullptr, "`serve`: nothing was scored under the name '", served, "', which is to be served");
  summary["parameters_served"] = row->cost.parameters;
  summary["passes_served"] = row->cost.passes;
  if (row->cost.milliseconds) summary["milliseconds_per_sample_served"] = *row->cost.milliseconds;
  for (const auto& [name, value] : row->scores) summary[name + "_served"] = value;
}

/// The lines under the table of results: what training took, and what rows cost to serve; the served one is marked.
[[nodiscard]] inline std::string format_costs(const Results& results, const std::string& served,
                                              const Training& training, const Words& words) {
  std::string text = to_text("  training: ", training.work.forward, ' ', words.unit, " forward, ",
                             training.work.backward, " backward, ", fixed(training.seconds, 1), " s, at most ",
                             fixed(training.work.peak_memory, 0), " MB, ", training.parameters, " parameters");
  for (const Result& row : results) {
    if (row.name.starts_with("member_") || row.name == "before_release" || row.name == "collapsed_parameters") continue;
    if (row.name == "ensemble" && row.cost.passes == 1) continue;  // of one network, which is the next row
    text += to_text("\n  ", row.name, row.name == served ? " (served): " : ": ", row.cost.parameters, " parameters, ",
                    row.cost.passes, row.cost.passes == 1 ? " pass" : " passes");
    if (row.cost.milliseconds)
      text += to_text(", ", significant(*row.cost.milliseconds, 3), " ms for one of the ", words.unit);
  }
  return text;
}

}  // namespace lpw::inline LPW_ABI::train
