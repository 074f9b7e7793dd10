// An evaluation as tables, and as the files of --out.
#pragma once

#include <algorithm>
#include <filesystem>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <lpw/io/file.hpp>
#include <lpw/tensor/text.hpp>
#include <lpw/train/line_plot.hpp>

#include "scoring.hpp"

namespace evaluate {

namespace report {

using lpw::fixed, lpw::to_text;

inline constexpr std::size_t title_width = 32, column_width = 13;

/// A line of a table: a title and numbers under headings.
[[nodiscard]] inline std::string row(const std::string& title, const std::vector<std::string>& cells) {
  std::string line = "  " + title + std::string(title.size() < title_width ? title_width - title.size() : 1, ' ');
  for (const auto& cell : cells)
    line += std::string(cell.size() < column_width ? column_width - cell.size() : 1, ' ') + cell;
  return line + '\n';
}

[[nodiscard]] inline std::string number(const Json& value) {
  return value.is_null() ? "-" : fixed(value.get<double>(), 4);
}

[[nodiscard]] inline std::string score_row(const std::string& title, const Json& scores) {
  std::vector<std::string> cells;
  for (const Json& score : scores) cells.push_back(number(score));
  return row(title, cells);
}

[[nodiscard]] inline std::string count_of(std::int64_t count, const std::string& what) {
  return to_text(count, ' ', what, count == 1 ? "" : "s");
}

/// What the run served, where that is not this network.
[[nodiscard]] inline std::string served_instead(const Json& network) {
  if (network["take_served"].is_null()) return {};
  return to_text("; its run served its ", network["run_served"].get<std::string>(), ", which --take ",
                 network["take_served"].get<std::string>(), " scores");
}

[[nodiscard]] inline std::string format_head(const Json& e) {
  const auto members = e["members"].get<std::int64_t>();
  std::string text = to_text(members == 1 ? "one network" : to_text("an ensemble of ", members, " members"), ", ",
                             e["precision"].get<std::string>(), " on ", e["machine"].get<std::string>(), '\n');
  for (const Json& network : e["networks"])
    text += to_text("  ", network["path"].get<std::string>(), ": ", network["model"].get<std::string>(), ", ",
                    network["what"].get<std::string>(), ", ",
                    count_of(network["members"].get<std::int64_t>(), "member"), served_instead(network), '\n');
  const Json& data = e["data"];
  text += to_text("  trained on ", data["trained_on"].get<std::string>(),
                  data["normalization"]["of"] == "the networks" ? "; all images are normalised as those were: mean"
                                                                : ", whose statistics normalise all images: mean");
  for (const Json& mean : data["normalization"]["mean"]) text += ' ' + number(mean);
  text += ", deviation";
  for (const Json& deviation : data["normalization"]["stddev"]) text += ' ' + number(deviation);
  return text + '\n';
}

[[nodiscard]] inline std::string format_test(const Json& e) {
  const Json& test = e["test"];
  const auto members = e["members"].get<std::int64_t>();
  std::vector<std::string> headings;
  for (const auto& [name, score] : test["ensemble"].items()) {
    headings.push_back(name);
    std::replace(headings.back().begin(), headings.back().end(), '_', ' ');
  }
  std::string text =
      to_text("  scored on ", e["data"]["test"].get<std::string>(), ", ",
              count_of(e["data"]["test_images"].get<std::int64_t>(), "test image"), "\n\n", row("", headings));
  if (members > 1) text += score_row(to_text("mean of ", members, " members"), test["mean_of_members"]);
  text += score_row(members > 1 ? "ensemble" : "network", test["ensemble"]);
  const Json& fit = e["temperature"];
  if (!fit.is_null()) text += score_row(to_text("at temperature ", number(fit["temperature"])), fit["test_after"]);
  if (members > 1)
    text += to_text("  two members predict different classes for ", number(test["disagreement"]), " of the images\n");
  if (fit.is_null()) return text + "  no temperature is fitted: there are no held-out images (--held-out)\n";
  text += to_text("  the temperature is fitted on ",
                  count_of(fit["held_out_images"].get<std::int64_t>(), "held-out image"), ", whose nll goes from ",
                  number(fit["held_out_before"]["nll"]), " to ", number(fit["held_out_after"]["nll"]), '\n');
  if (fit["at_limit"].get<bool>()) text += "  it is at the end of its range: more held-out images would tell\n";
  const Json& trained_on = fit["held_out_was_trained_on"];
  if (trained_on.is_null())
    text += "  nothing records whether these images were kept from training, without which the fit means little\n";
  else if (trained_on.get<bool>())
    text +=
        "  WARNING: a network was trained on these images: the temperature is too low; hold images out in training\n";
  return text;
}

[[nodiscard]] inline std::string format_detection(const Json& e) {
  const Json& test = e["data"]["test"];
  std::string text = row("detection", {"auroc", "aupr out", "aupr in", "fpr95 out", "fpr95 in"});
  for (const Json& other : e["ood"])
    for (const auto& [key, title] : {std::pair{"by_entropy", "entropy"}, std::pair{"by_max_probability", "max p"}}) {
      const Json &found = other[key], &out = found["out_of_distribution_is_positive"],
                 &in = found["in_distribution_is_positive"];
      text += row(to_text(other["name"].get<std::string>(), ", by ", title),
                  {number(found["auroc"]), number(out["aupr"]), number(in["aupr"]), number(out["fpr_at_95_tpr"]),
                   number(in["fpr_at_95_tpr"])});
    }
  return text + to_text("  positive are, out: the other images, in: those of ", test.get<std::string>(),
                        "; auroc is the same for both; fpr95: the false\n  positive rate at a true one of 95 %\n");
}

[[nodiscard]] inline std::string format_corruptions(const Json& found) {
  std::vector<std::string> headings;
  for (const Json& at : found["kinds"][0]["severities"])
    headings.push_back(to_text("severity ", at["severity"].get<std::int64_t>()));
  headings.push_back("mean");
  const bool relative = !found["reference"].is_null();
  if (relative) headings.push_back("CE");
  std::string text =
      to_text("  errors under the corruptions ", found["set"].get<std::string>(), ", ",
              count_of(found["images"].get<std::int64_t>(), "image"), " each\n", row("corruption", headings));
  for (const Json& kind : found["kinds"]) {
    std::vector<std::string> cells;
    for (const Json& at : kind["severities"]) cells.push_back(number(at["error"]));
    cells.push_back(number(kind["mean_error"]));
    if (relative) cells.push_back(number(kind["ce"]));
    text += row(kind["name"].get<std::string>() + (kind["in_benchmark"].get<bool>() ? "" : " (not counted)"), cells);
  }
  if (!found["labels_compared"].get<bool>())
    text += "  whether the corrupted images are those of --test is not known: their labels are not compared\n";
  text += to_text("  mean error ", number(found["mean_error"]));
  if (relative)
    text += to_text(", mCE ", number(found["mce"]), " with ", found["reference"].get<std::string>(), " as 1");
  return text + '\n';
}

/// The curve of a reliability diagram: the accuracy over the confidence of every bin that is not empty.
[[nodiscard]] inline lpw::train::Curve reliability(const std::string& name, const Json& bins) {
  lpw::train::Curve curve{name};
  for (const Json& bin : bins)
    if (bin["count"].get<std::int64_t>() > 0)
      curve.points.emplace_back(bin["confidence"].get<double>(), bin["accuracy"].get<double>());
  return curve;
}

[[nodiscard]] inline std::string draw_reliability(const Json& e) {
  std::vector<lpw::train::Curve> curves{{"calibrated", {{0, 0}, {1, 1}}},
                                        reliability("as predicted", e["test"]["reliability"])};
  if (const Json& fit = e["temperature"]; !fit.is_null())
    curves.push_back(reliability("at temperature " + number(fit["temperature"]), fit["reliability_after"]));
  return lpw::train::line_plot("accuracy over confidence, test set", curves);
}

[[nodiscard]] inline std::string draw_risk(const Json& e) {
  lpw::train::Curve curve{"by largest probability, area " + number(e["test"]["ensemble"]["aurc"])};
  for (const Json& point : e["test"]["risk_coverage"])
    curve.points.emplace_back(point[0].get<double>(), point[1].get<double>());
  return lpw::train::line_plot("share of errors over the share of images that are answered, test set", {curve});
}

}  // namespace report

/// What is printed of an evaluation.
[[nodiscard]] inline std::string format_tables(const Json& e) {
  std::string text = report::format_head(e) + report::format_test(e);
  if (!e["ood"].empty()) text += '\n' + report::format_detection(e);
  if (!e["corruptions"].is_null()) text += '\n' + report::format_corruptions(e["corruptions"]);
  return text;
}

/// Writes evaluation.json, reliability.svg and risk_coverage.svg, each whole or not at all. Throws FileError.
inline void write_files(const std::filesystem::path& folder, const Json& e) {
  lpw::io::write_file_atomically(folder / "evaluation.json", std::string_view(e.dump(2) + "\n"));
  lpw::io::write_file_atomically(folder / "reliability.svg", std::string_view(report::draw_reliability(e)));
  lpw::io::write_file_atomically(folder / "risk_coverage.svg", std::string_view(report::draw_risk(e)));
}

}  // namespace evaluate
