// Errors of predicted numbers against values worked out by hand.
#include <lpw/metrics/regression.hpp>

#include <limits>

#include <lpw/late_phase/predict.hpp>

#include "catch.hpp"
#include "samples.hpp"

using lpw::metrics::RegressionEvaluator;

TEST_CASE("regression: by hand, in batches, of members and of their mean", "[metrics]") {
  const auto members = tensor<double>({2, 4, 1}, {1, 2, 3, 5, 3, 2, -1, 1});
  const auto targets = tensor<float>({4, 1}, {0, 2, 2, 7});
  RegressionEvaluator first, ensemble;
  const auto of_first = members.rows(0, 1).reshaped({4, 1});
  first.add(of_first.rows(0, 3), targets.rows(0, 3));
  first.add(of_first.rows(3, 1), targets.rows(3, 1));
  CHECK(first.result().count == 4);
  CHECK(first.result().mae == 1);  // 1, 0, 1, 2
  CHECK(difference(first.result().rmse, std::sqrt(6. / 4)) <= sum_tolerance);
  ensemble.add(lpw::mean_of(members), targets);  // 2, 2, 1, 3
  CHECK(ensemble.result().mae == 1.75);
  CHECK(difference(ensemble.result().rmse, std::sqrt(21. / 4)) <= sum_tolerance);
}

TEST_CASE("regression: what cannot be compared is refused and leaves the sums as they were", "[metrics]") {
  RegressionEvaluator evaluator;
  CHECK_THROWS_WITH(evaluator.result(), "regression: no samples");
  evaluator.add(tensor<float>({1}, {1}), tensor<float>({1}, {3}));
  // what would be broadcast to [4, 4] elsewhere
  CHECK_THROWS_WITH(evaluator.add(tensor<float>({4, 1}, {1, 2, 3, 4}), tensor<float>({4}, {1, 2, 3, 4})),
                    "regression: predictions are [4 1], targets [4]; expected the same shape");
  const double nan = std::nan(""), infinity = std::numeric_limits<double>::infinity();
  CHECK_THROWS_WITH(evaluator.add(tensor<double>({2}, {1, nan}), tensor<double>({2}, {1, 2})),
                    "regression: prediction nan of target 2, number 1; expected finite numbers");
  CHECK_THROWS_AS(evaluator.add(tensor<double>({2}, {1, 2}), tensor<double>({2}, {infinity, 2})), lpw::NonFinite);
  CHECK(evaluator.result().count == 1);
  CHECK(evaluator.result().rmse == 2);
}
