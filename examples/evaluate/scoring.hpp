// The scores of predictions, gathered batch by batch.
#pragma once

#include <vector>

#include <nlohmann/json.hpp>

#include <lpw/metrics/adaptive_calibration.hpp>
#include <lpw/metrics/corruption_error.hpp>
#include <lpw/metrics/disagreement.hpp>
#include <lpw/metrics/evaluation.hpp>
#include <lpw/metrics/selective.hpp>

namespace evaluate {

using Json = nlohmann::ordered_json;

/// Of one network, or of an ensemble's mean prediction.
class Scoring {
 public:
  template <class T>
  void add(const lpw::Tensor<T, lpw::Cpu>& probabilities, const lpw::Tensor<std::int32_t, lpw::Cpu>& labels) {
    evaluator_.add(probabilities, labels);
    confidences_.add(probabilities, labels);
  }

  [[nodiscard]] Json scores() const;
  /// "bins" of equal width, of which ece is made.
  [[nodiscard]] Json reliability() const;
  /// Pairs of coverage and risk, at most 201 of them.
  [[nodiscard]] Json risk_coverage() const;

 private:
  lpw::metrics::Evaluator evaluator_;
  lpw::metrics::Confidences confidences_;
};

/// What is kept of a set: scores of each member and of the ensemble, and its predictions [N, classes].
struct SetScores {
  std::vector<Scoring> members;
  Scoring ensemble;
  lpw::metrics::Disagreement disagreement;
  lpw::Tensor<double, lpw::Cpu> predictions;
  lpw::Tensor<std::int32_t, lpw::Cpu> labels;
};

inline Json Scoring::scores() const {
  const lpw::metrics::Evaluation e = evaluator_.result();
  return {{"accuracy", e.accuracy},
          {"nll", e.nll},
          {"brier", e.brier},
          {"ece", e.ece},
          {"adaptive_ece", lpw::metrics::adaptive_calibration_error(confidences_)},
          {"aurc", lpw::metrics::area_under_risk_coverage(confidences_)}};
}

inline Json Scoring::reliability() const {
  Json bins = Json::array();
  for (const auto& bin : evaluator_.reliability())
    bins.push_back({{"count", bin.count}, {"confidence", bin.confidence}, {"accuracy", bin.accuracy}});
  return bins;
}

inline Json Scoring::risk_coverage() const {
  constexpr std::size_t most = 200;
  const auto curve = lpw::metrics::risk_coverage(confidences_);
  Json points = Json::array();
  for (std::size_t i = 0; i < curve.size(); ++i)
    if (const std::size_t step = curve.size() / most + 1; i % step == 0 || i + 1 == curve.size())
      points.push_back({curve[i].first, curve[i].second});
  return points;
}

/// The mean of several networks' scores, one by one.
[[nodiscard]] inline Json mean_scores(const Json& members) {
  Json mean = members.front();
  for (auto& [name, value] : mean.items()) {
    std::vector<double> values;
    for (const Json& member : members) values.push_back(member.at(name).get<double>());
    value = lpw::metrics::mean_of(values);
  }
  return mean;
}

}  // namespace evaluate
