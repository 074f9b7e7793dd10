// Temperatures against closed forms, and against what SciPy's minimiser finds.
#include <lpw/metrics/temperature.hpp>

#include <algorithm>
#include <limits>

#include <lpw/metrics/evaluation.hpp>

#include "catch.hpp"
#include "samples.hpp"

using lpw::metrics::fit_temperature;
using lpw::metrics::with_temperature;

namespace {

double nll(const lpw::Tensor<double, lpw::Cpu>& p, const lpw::Tensor<std::int32_t, lpw::Cpu>& labels) {
  lpw::metrics::Evaluator evaluator;
  evaluator.add(p, labels);
  return evaluator.result().nll;
}

}  // namespace

TEST_CASE("temperature: two classes have a closed form", "[metrics]") {
  // Confidence 0.9 throughout, 3 of 4 right: at the best temperature it is 3/4, so T = log 9 / log 3 = 2.
  const auto p = tensor<double>({4, 2}, {0.9, 0.1, 0.9, 0.1, 0.1, 0.9, 0.9, 0.1});
  const auto labels = tensor<std::int32_t>({4}, {0, 0, 1, 1});
  const auto fit = fit_temperature(p, labels);
  CHECK(difference(fit.temperature, 2) <= 1e-12);  // the likelihood's slope is computed to 1e-16, over its curvature
  CHECK(!fit.at_limit);
  const auto scaled = with_temperature(p, fit.temperature);
  CHECK(difference(scaled.row(0)[0], 0.75) <= 1e-12);
  CHECK(difference(with_temperature(p, 1).row(0)[0], 0.9) <= sum_tolerance);
}

TEST_CASE("temperature: with probabilities of 0 and 1, as SciPy's bounded minimiser finds it", "[metrics]") {
  const auto p =
      tensor<double>({10, 3}, {1,   0,   0,   0,   1,   0,   0.5,  0.25, 0.25, 0.2, 0.3, 0.5, 0.2, 0.3, 0.5,
                               0.7, 0.2, 0.1, 0.1, 0.8, 0.1, 0.25, 0.5,  0.25, 0,   0,   1,   0.3, 0.3, 0.4});
  const auto labels = tensor<std::int32_t>({10}, {0, 1, 0, 2, 1, 0, 1, 0, 2, 0});
  const auto fit = fit_temperature(p, labels);
  // scipy.optimize.minimize_scalar(bounds=(0.05, 20)) of the mean -log p: a minimum's place is known to the square root
  // of what its value is known to.
  CHECK(difference(fit.temperature, 0.5882940964353808) <= 1e-7);
  CHECK(difference(nll(p, labels), 0.5760352826144596) <= sum_tolerance);
  CHECK(difference(nll(with_temperature(p, fit.temperature), labels), 0.547421404905608) <= sum_tolerance);
}

TEST_CASE("temperature: no other likelihood is higher, and no prediction changes", "[metrics]") {
  const auto p = random_probabilities(300, 7);
  auto labels = random_labels(300, 7);
  for (std::int64_t i = 0; i < 300; ++i)  // half of them as predicted, of which predictions are too sure
    if (i % 2 == 0) labels.data()[i] = static_cast<std::int32_t>(std::max_element(p.row(i), p.row(i) + 7) - p.row(i));
  const auto fit = fit_temperature(p, labels);
  const auto best = with_temperature(p, fit.temperature);
  CHECK(fit.temperature > 1);
  CHECK(!fit.at_limit);
  for (const double factor : {0.5, 0.99, 1.01, 2.0})
    CHECK(nll(best, labels) <= nll(with_temperature(p, fit.temperature * factor), labels));
  for (std::int64_t i = 0; i < 300; ++i)
    CHECK(std::max_element(p.row(i), p.row(i) + 7) - p.row(i) ==
          std::max_element(best.row(i), best.row(i) + 7) - best.row(i));
}

TEST_CASE("temperature: ends of its range", "[metrics]") {
  const auto p = tensor<double>({2, 2}, {0.6, 0.4, 0.3, 0.7});
  const auto right = fit_temperature(p, tensor<std::int32_t>({2}, {0, 1}));
  CHECK(right.at_limit);
  CHECK(right.temperature == 0.01);
  const auto wrong = fit_temperature(p, tensor<std::int32_t>({2}, {1, 0}));
  CHECK(wrong.at_limit);
  CHECK(wrong.temperature == 100);
  // Certain and wrong: the probability of 0 stays small, and finite in its logarithm.
  const auto certain = fit_temperature(tensor<double>({2, 2}, {1, 0, 1, 0}), tensor<std::int32_t>({2}, {0, 1}));
  CHECK(certain.temperature == 100);
}

TEST_CASE("temperature: refuses what cannot be scaled", "[metrics]") {
  const auto p = tensor<double>({1, 2}, {0.5, 0.5});
  const auto label = tensor<std::int32_t>({1}, {0});
  const double nan = std::numeric_limits<double>::quiet_NaN(), infinity = std::numeric_limits<double>::infinity();
  for (const double temperature : {0.0, -1.0, nan, infinity})
    CHECK_THROWS_AS(with_temperature(p, temperature), lpw::OptionError);
  CHECK_THROWS_AS(with_temperature(tensor<double>({1, 2}, {nan, 0.5}), 1), lpw::Error);
  CHECK_THROWS_AS(fit_temperature(p, tensor<std::int32_t>({1}, {2})), lpw::Error);
  CHECK_THROWS_AS(fit_temperature(p, tensor<std::int32_t>({2}, {0, 0})), lpw::ShapeError);
  CHECK_THROWS_AS(fit_temperature(lpw::zeros<double, lpw::Cpu>({0, 2}), lpw::zeros<std::int32_t, lpw::Cpu>({0})),
                  lpw::Error);
}
