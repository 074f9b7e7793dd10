// Scores drawn predictions, for metrics.py to compare with NumPy's and scikit-learn's scores of the same:
//   metrics OUT
// OUT is a safetensors file of doubles: for each case members "<case>.members" [K, N, classes], labels "<case>.labels"
// [N], other predictions "<case>.other" [M, classes], the mean and entropies that scores are made of, of which equal
// ones must stay equal ("<case>.mean", "<case>.entropies", "<case>.other_entropies"), and "<case>.<score>" [1] for each
// score.
#include <algorithm>
#include <cstdlib>
#include <exception>
#include <iostream>
#include <map>
#include <string>

#include <lpw/io/safetensors.hpp>
#include <lpw/late_phase/predict.hpp>
#include <lpw/metrics/adaptive_calibration.hpp>
#include <lpw/metrics/disagreement.hpp>
#include <lpw/metrics/evaluation.hpp>
#include <lpw/metrics/out_of_distribution.hpp>
#include <lpw/metrics/selective.hpp>
#include <lpw/metrics/temperature.hpp>

using namespace lpw;

namespace {

/// Softmax of normal logits; with few `levels`, of whole numbers, so that many are equal and some are 0 and 1.
Tensor<double, Cpu> predictions(std::int64_t rows, std::int64_t classes, double scale, int levels, std::uint32_t step) {
  const Philox random(5, Stream::test, step);
  Tensor<double, Cpu> logits({rows, classes});
  for (std::int64_t i = 0; i < logits.size(); ++i) {
    const double value = scale * random.normal(static_cast<std::uint64_t>(i));
    logits.data()[i] = levels > 0 ? 800.0 / levels * static_cast<int>(value * levels / 10) : value;
  }
  return softmax_rows(logits);
}

std::map<std::string, double> scores(const Tensor<double, Cpu>& members, const Tensor<std::int32_t, Cpu>& labels,
                                     const Tensor<double, Cpu>& other) {
  const auto mean = ensemble_of(members);
  metrics::Evaluator evaluator;
  evaluator.add(mean, labels);
  metrics::Confidences confidences;
  confidences.add(mean, labels);
  metrics::Disagreement disagreement;
  disagreement.add(members);
  const auto e = evaluator.result();
  const auto fit = metrics::fit_temperature(mean, labels);
  const auto found = metrics::detection(metrics::predictive_entropy(mean), metrics::predictive_entropy(other));
  const auto by_p =
      metrics::detection(metrics::negative_max_probability(mean), metrics::negative_max_probability(other));
  return {{"accuracy", e.accuracy},
          {"nll", e.nll},
          {"brier", e.brier},
          {"ece", e.ece},
          {"adaptive_ece", metrics::adaptive_calibration_error(confidences)},
          {"aurc", metrics::area_under_risk_coverage(confidences)},
          {"disagreement", disagreement.result().value()},
          {"temperature", fit.temperature},
          {"auroc", found.auroc},
          {"aupr_out", found.out_positive.average_precision},
          {"aupr_in", found.in_positive.average_precision},
          {"fpr_out", found.out_positive.fpr_at_95_tpr},
          {"fpr_in", found.in_positive.fpr_at_95_tpr},
          {"auroc_by_p", by_p.auroc},
          {"aupr_out_by_p", by_p.out_positive.average_precision}};
}

void write_case(io::Safetensors& content, const std::string& name, std::int64_t classes, int levels) {
  constexpr std::int64_t members = 3, rows = 500;
  const auto all = predictions(members * rows, classes, 2, levels, 1).reshaped({members, rows, classes});
  const auto other = predictions(300, classes, 1, levels, 2);
  const Philox random(6, Stream::test);
  Tensor<std::int32_t, Cpu> labels({rows});
  for (std::int64_t i = 0; i < rows; ++i) {  // half of them as the first member predicts
    const double* row = all.data() + i * classes;
    labels.data()[i] = static_cast<std::int32_t>(
        i % 2 == 0 ? std::max_element(row, row + classes) - row
                   : random.below(static_cast<std::uint64_t>(i), static_cast<std::uint32_t>(classes)));
  }
  Tensor<double, Cpu> numbers({rows});
  for (std::int64_t i = 0; i < rows; ++i) numbers.data()[i] = labels.data()[i];
  content.tensors.add(name + ".members", all);
  content.tensors.add(name + ".labels", numbers);
  content.tensors.add(name + ".other", other);
  const auto mean = ensemble_of(all);
  content.tensors.add(name + ".mean", mean);
  const auto entropies = metrics::predictive_entropy(mean), of_others = metrics::predictive_entropy(other);
  content.tensors.add(name + ".entropies", tensor_of<double>({rows}, entropies));
  content.tensors.add(name + ".other_entropies", tensor_of<double>({std::ssize(of_others)}, of_others));
  for (const auto& [score, value] : scores(all, labels, other))
    content.tensors.add(name + '.' + score, full<double, Cpu>({1}, value));
}

}  // namespace

int main(int argc, char** argv) {
  try {
    require(argc == 2, "usage: metrics OUT");
    io::Safetensors content;
    write_case(content, "smooth", 10, 0);
    write_case(content, "ties", 4, 20);
    io::save_safetensors(argv[1], content);
  } catch (const std::exception& error) {
    std::cerr << error.what() << '\n';
    return EXIT_FAILURE;
  }
  return EXIT_SUCCESS;
}
