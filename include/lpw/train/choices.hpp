// What a run comes to at its end: what it chose by held-out samples, and whose weights are left.
#pragma once

#include <cmath>
#include <cstdint>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include <lpw/tensor/text.hpp>
#include <lpw/train/scores.hpp>
#include <lpw/train/serving_options.hpp>

namespace lpw::inline LPW_ABI::train {

/// Found anew whenever a run ends or a checkpoint is evaluated; no checkpoint holds it.
struct Choices {
  std::string weights = {};                // what took the last step's place: swa, ema, lawa or centre; empty: nothing
  std::string best = {};                   // which candidate is left, "epoch 3" or "the end"; empty: none was chosen
  double best_quality = 0;                 // what it scored, as HeldOutScore::quality
  std::vector<std::int64_t> members = {};  // of a greedy choice, counted from 1 in the order in which they were added
  double members_quality = 0;              // what their mean scored
  std::vector<double> coefficients = {};   // with which members were averaged, where these are not equal
  std::vector<double> losses = {};         // held-out, of equal coefficients and of those that were fitted

  /// Whose weights the collapsed network has, where these are not the last step's.
  [[nodiscard]] std::string weights_left() const { return best.empty() || best == "the end" ? weights : best; }
};

/// A metric from the quality that follows from it.
[[nodiscard]] inline double metric_of(double quality) { return std::abs(quality); }

/// Adds them to a summary, those that there are.
inline void add_choices(nlohmann::ordered_json& summary, const Choices& c, const Words& words) {
  const std::string score = to_text("held_out_", words.metric);
  if (!c.weights_left().empty()) summary["weights_collapsed"] = c.weights_left();
  if (!c.best.empty()) summary["best"] = c.best, summary["best_" + score] = metric_of(c.best_quality);
  if (!c.members.empty())
    summary["collapse_members"] = c.members, summary["collapse_" + score] = metric_of(c.members_quality);
  if (!c.coefficients.empty()) summary["collapse_coefficients"] = c.coefficients;
  if (!c.losses.empty())
    summary["collapse_held_out_loss_of_mean"] = c.losses.front(), summary["collapse_held_out_loss"] = c.losses.back();
}

/// The line that says what became of a run's members: one plain network of so many parameters.
[[nodiscard]] inline std::string describe_collapse(const Choices& c, std::int64_t members, std::int64_t parameters) {
  const std::string network = to_text("one plain network of ", parameters, " parameters");
  if (!c.best.empty() && c.best != "the end")
    return to_text("collapse: the network of ", c.best, " is left in place of the ",
                   members == 1 ? "member, " : to_text(members, " members, "), network);
  if (members == 1) return to_text("collapse: the member folded into ", network);
  if (c.weights == "centre") return to_text("collapse: the centre of ", members, " members is left, ", network);
  if (!c.members.empty())
    return to_text("collapse: ", c.members.size(), " of ", members, " members averaged into ", network);
  return to_text("collapse: ", members, " members averaged ", c.coefficients.empty() ? "" : "by those coefficients ",
                 "into ", network);
}

}  // namespace lpw::inline LPW_ABI::train
