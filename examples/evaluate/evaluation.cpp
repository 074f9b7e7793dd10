#include "evaluation.hpp"

#include <utility>

#include <lpw/io/file.hpp>
#include <lpw/metrics/out_of_distribution.hpp>
#include <lpw/metrics/temperature.hpp>
#include <lpw/train/display.hpp>
#include <lpw/train/printable.hpp>

#include "corruptions.hpp"
#include "images.hpp"
#include "inputs.hpp"
#include "predictions.hpp"
#include "report.hpp"
#include "scoring.hpp"

namespace evaluate {

namespace {

namespace metrics = lpw::metrics;
using lpw::train::one_line;

[[nodiscard]] SetScores score_set(Predictor& predictor, const lpw::data::ImageSet& set) {
  SetScores result;
  result.members.resize(static_cast<std::size_t>(predictor.members()));
  std::int64_t seen = 0;
  predict(predictor, set, [&](const Predictions& batch) {
    const std::int64_t count = batch.labels.size(), classes = batch.ensemble.dim(1);
    if (seen == 0) {
      result.predictions = lpw::Tensor<double, lpw::Cpu>({set.count, classes});
      result.labels = lpw::Tensor<std::int32_t, lpw::Cpu>({set.count});
    }
    for (std::size_t k = 0; k < result.members.size(); ++k) {
      const auto member = batch.members.rows(static_cast<std::int64_t>(k), 1);
      result.members[k].add(member.reshaped(member.shape().slice(1, 3)), batch.labels);
    }
    result.ensemble.add(batch.ensemble, batch.labels);
    result.disagreement.add(batch.members);
    auto rows = result.predictions.rows(seen, count);
    lpw::copy(batch.ensemble, rows);
    auto labels = result.labels.rows(seen, count);
    lpw::copy(batch.labels, labels);
    seen += count;
  });
  return result;
}

/// The mean predictions [N, classes] of a set without labels.
[[nodiscard]] lpw::Tensor<double, lpw::Cpu> predict_set(Predictor& predictor, const lpw::data::ImageSet& set) {
  lpw::Tensor<double, lpw::Cpu> result;
  std::int64_t seen = 0;
  predict(predictor, set, [&](const Predictions& batch) {
    if (seen == 0) result = lpw::Tensor<double, lpw::Cpu>({set.count, batch.ensemble.dim(1)});
    auto rows = result.rows(seen, batch.ensemble.dim(0));
    lpw::copy(batch.ensemble, rows);
    seen += batch.ensemble.dim(0);
  });
  return result;
}

[[nodiscard]] Json describe(const Source& source, std::int64_t members) {
  return {{"path", one_line(source.given)},
          {"what", source.what()},
          {"model", one_line(source.model)},
          {"members", members},
          {"run_served", source.recorded ? Json(one_line(source.served)) : Json()},
          {"take_served", source.take_served().empty() ? Json() : Json(source.take_served())}};
}

[[nodiscard]] Json describe_data(const Options& o, const Inputs& inputs) {
  const auto& [mean, stddev] = inputs.dataset.normalization;
  return {
      {"trained_on", inputs.images},
      {"normalization",
       {{"of", inputs.own_statistics ? "the training set of " + inputs.images + ", as in training" : "the networks"},
        {"mean", mean},
        {"stddev", stddev}}},
      {"test", o.test.empty() ? inputs.images : one_line(o.test)},
      {"test_images", inputs.dataset.test.count},
      {"classes", inputs.dataset.test.classes}};
}

/// Whether a temperature is fitted on images that a network was trained on; null where nothing tells, as of what a run
/// started from.
[[nodiscard]] Json trained_on_held_out(const std::vector<Source>& sources, const Inputs& inputs) {
  bool unknown = false;
  const auto trained_on = [&](const Source& source) {
    if (!inputs.unseen) return source.train_subset != inputs.train_subset || source.held_out < inputs.held_out;
    return source.train_subset == 0 || source.train_subset > inputs.train_subset;
  };
  for (const Source& source : sources) {
    if (source.recorded && trained_on(source)) return true;
    unknown = unknown || !source.recorded || source.initialised;
  }
  return unknown ? Json() : Json(false);
}

[[nodiscard]] Json scores_at(const SetScores& set, double temperature) {
  Scoring scoring;
  scoring.add(metrics::with_temperature(set.predictions, temperature), set.labels);
  return scoring.scores();
}

[[nodiscard]] Json score_temperature(const SetScores& test, const SetScores& held_out, Json trained_on) {
  const auto fit = metrics::fit_temperature(held_out.predictions, held_out.labels);
  Scoring scaled;
  scaled.add(metrics::with_temperature(test.predictions, fit.temperature), test.labels);
  return {{"temperature", fit.temperature},
          {"at_limit", fit.at_limit},
          {"held_out_images", held_out.labels.size()},
          {"held_out_was_trained_on", std::move(trained_on)},
          {"held_out_before", held_out.ensemble.scores()},
          {"held_out_after", scores_at(held_out, fit.temperature)},
          {"test_after", scaled.scores()},
          {"reliability_after", scaled.reliability()}};
}

[[nodiscard]] Json to_json(const metrics::Detection& found) {
  const auto of = [](const metrics::Retrieval& r) {
    return Json{{"aupr", r.average_precision}, {"fpr_at_95_tpr", r.fpr_at_95_tpr}};
  };
  return {{"auroc", found.auroc},
          {"out_of_distribution_is_positive", of(found.out_positive)},
          {"in_distribution_is_positive", of(found.in_positive)}};
}

[[nodiscard]] Json score_detection(const lpw::Tensor<double, lpw::Cpu>& in, const lpw::Tensor<double, lpw::Cpu>& out) {
  return {
      {"by_entropy", to_json(metrics::detection(metrics::predictive_entropy(in), metrics::predictive_entropy(out)))},
      {"by_max_probability",
       to_json(metrics::detection(metrics::negative_max_probability(in), metrics::negative_max_probability(out)))}};
}

/// One of --ood.
struct Other {
  std::string name, data;
};
[[nodiscard]] std::vector<Other> others(const Options& o) {
  std::vector<Other> result;
  for (const auto& text : Options::parts(o.ood)) {
    const auto sign = text.find('=');
    result.push_back({text.substr(0, sign), text.substr(sign + 1)});
    for (std::size_t i = 0; i + 1 < result.size(); ++i)
      lpw::require<lpw::OptionError>(result[i].name != result.back().name, "--ood ", text, ": ", result.back().name,
                                     " is named twice; give each its own name");
  }
  return result;
}

[[nodiscard]] lpw::data::ImageSet read_other(const Options& o, const Inputs& inputs, const Other& other,
                                             bool report = true) {
  auto files = inputs.files;
  files.report = report;
  return read_images("ood", other.data, inputs.dataset, files, o.test_subset, false);
}

[[nodiscard]] Json score(const Options& o, const std::vector<Source>& sources, const Inputs& inputs,
                         const Scored& scored, const Json& reference, Predictor& predictor,
                         lpw::train::Display& display) {
  Json result{{"networks", Json::array()}, {"members", predictor.members()}};
  for (std::size_t i = 0; i < sources.size(); ++i)
    result["networks"].push_back(describe(sources[i], scored.members[i]));
  result["precision"] = o.precision;
  result["machine"] = scored.machine;
  result["data"] = describe_data(o, inputs);

  display.progress([] { return "scoring the test set"; });
  const SetScores test = score_set(predictor, inputs.dataset.test);
  Json members = Json::array();
  for (const Scoring& member : test.members) members.push_back(member.scores());
  const auto disagreement = test.disagreement.result();
  result["test"] = {{"ensemble", test.ensemble.scores()},
                    {"mean_of_members", mean_scores(members)},
                    {"members", std::move(members)},
                    {"disagreement", disagreement ? Json(*disagreement) : Json()},
                    {"reliability", test.ensemble.reliability()},
                    {"risk_coverage", test.ensemble.risk_coverage()}};
  result["temperature"] = Json();
  if (inputs.dataset.held_out.count > 0) {
    display.progress([] { return "fitting the temperature"; });
    result["temperature"] =
        score_temperature(test, score_set(predictor, inputs.dataset.held_out), trained_on_held_out(sources, inputs));
  }
  result["ood"] = Json::array();
  for (const Other& other : others(o)) {
    display.progress([&] { return "scoring " + other.name; });
    const auto set = read_other(o, inputs, other);
    Json entry{{"name", one_line(other.name)}, {"data", one_line(other.data)}, {"images", set.count}};
    entry.update(score_detection(test.predictions, predict_set(predictor, set)));
    result["ood"].push_back(std::move(entry));
  }
  result["corruptions"] = o.corruptions.empty() ? Json() : score_corruptions(o, inputs, reference, predictor, display);
  return result;
}

[[nodiscard]] Json reference_of(const Options& o) { return o.reference.empty() ? Json() : read_reference(o.reference); }

}  // namespace

struct Evaluation::Data {
  const Options& options;
  const std::vector<Source>& sources;
  Inputs inputs;
};

Evaluation::Evaluation(const Options& o, const std::vector<Source>& sources)
    : data_(new Data{o, sources, read_inputs(o, sources)}) {
  for (const Other& other : others(o)) (void)read_other(o, data_->inputs, other, false);
  if (!o.corruptions.empty()) check_corruptions(o, data_->inputs, reference_of(o));
}
Evaluation::~Evaluation() = default;

const lpw::data::Dataset& Evaluation::dataset() const { return data_->inputs.dataset; }

void Evaluation::run(const Scored& scored, Predictor& predictor) const {
  const auto& [options, sources, inputs] = *data_;
  lpw::train::Display display;
  const Json found = score(options, sources, inputs, scored, reference_of(options), predictor, display);
  display.line(format_tables(found));
  if (!options.out.empty()) write_files(options.out, found);
}

}  // namespace evaluate
