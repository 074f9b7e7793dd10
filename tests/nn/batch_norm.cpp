#include <lpw/nn/batch_norm.hpp>

#include <lpw/nn/flat_weights.hpp>
#include "catch.hpp"
#include "support/compare.hpp"
#include "support/random.hpp"

using namespace lpw;
using namespace lpw::test;

TEST_CASE("BatchNorm starts as the normalisation alone and gathers running statistics", "[batch_norm]") {
  nn::BatchNorm<double, Cpu> norm(3, {.momentum = 1});
  CHECK(norm.weight.group() == Group::batch_norm);
  CHECK(norm.bias.group() == Group::batch_norm);
  CHECK(values_of(norm.running_mean.value()) == std::vector<double>(3, 0));
  CHECK(values_of(norm.running_var.value()) == std::vector<double>(3, 1));
  const auto x = random_tensor<double>({1, 50, 3}, 1);
  const Tape tape;
  const auto y = norm.forward(tape.input(x)).value();
  double sum = 0, square = 0;
  for (std::int64_t row = 0; row < 50; ++row) {
    sum += y.data()[row * 3 + 1];
    square += y.data()[row * 3 + 1] * y.data()[row * 3 + 1];
  }
  CHECK(std::abs(sum) <= 50 * 4 * epsilon<double>());
  CHECK(std::abs(square / 50 - 1) <= 1e-4);  // epsilon = 1e-5 over a variance of 1/3

  // With momentum 1 the running statistics are the batch's, the variance unbiased: evaluation differs by sqrt(49 / 50).
  const Tape evaluation = Tape::evaluation();
  const auto z = norm.forward(evaluation.input(x)).value();
  for (std::int64_t i = 0; i < z.size(); ++i)
    REQUIRE(std::abs(z.data()[i] - y.data()[i] * std::sqrt(49.0 / 50)) <= 1e-5);
}

TEST_CASE("BatchNorm with a residual adds it before the ReLU", "[batch_norm]") {
  nn::BatchNorm<double, Cpu> norm(3, {.relu = true}), plain(3);
  const Tape tape;
  const auto x = tape.input(random_tensor<double>({1, 8, 3}, 1)),
             residual = tape.input(random_tensor<double>({1, 8, 3}, 2));
  CHECK(values_of(norm.forward(x, residual).value()) == values_of(relu(add(plain.forward(x), residual)).value()));
}

TEST_CASE("BatchNorm keeps the statistics of the members that a pass computes", "[batch_norm]") {
  nn::BatchNorm<double, Cpu> norm(2, {.momentum = 1});
  norm.weight.set_late_phase(true);
  const auto flat = nn::lay_out(norm, 3);
  const Tape tape({.members = {.first = 1, .count = 1}});
  (void)norm.forward(tape.input(full<double, Cpu>({1, 4, 2}, 5.0)));
  CHECK(values_of(norm.running_mean.value()) == std::vector<double>{0, 0, 5, 5, 0, 0});
  CHECK(values_of(norm.running_var.value()) == std::vector<double>{1, 1, 0, 0, 1, 1});
  const Tape all;
  CHECK_THROWS_AS(norm.forward(all.input(zeros<double, Cpu>({2, 4, 2}))), ShapeError);  // two members of three
}

TEST_CASE("BatchNorm refuses options that cannot be", "[batch_norm]") {
  CHECK_THROWS_WITH((nn::BatchNorm<float, Cpu>(4, {.epsilon = -1})),
                    "BatchNorm: epsilon -1; expected a number of 0 or more");
  CHECK_THROWS_WITH((nn::BatchNorm<float, Cpu>(4, {.momentum = std::nan("")})),
                    "BatchNorm: momentum nan is outside [0, 1]");
}

TEST_CASE("BatchNorm refuses to evaluate with statistics of other weights", "[batch_norm]") {
  nn::BatchNorm<double, Cpu> norm(2);
  norm.running_mean.set_stale(true);
  const auto x = random_tensor<double>({1, 4, 2}, 1);
  const Tape training, evaluation = Tape::evaluation();
  CHECK_NOTHROW(norm.forward(training.input(x)));
  CHECK_THROWS_AS(norm.forward(evaluation.input(x)), Error);
}
