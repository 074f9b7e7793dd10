#include <lpw/autograd/softmax.hpp>

#include <algorithm>
#include <cmath>
#include <limits>

#include <lpw/autograd/arithmetic.hpp>

#include "support/gradient_check.hpp"
#include "support/threads.hpp"

using namespace lpw;
using namespace lpw::test;

TEST_CASE("softmax: gradients, whole and causal", "[softmax]") {
  expect_gradient(
      "softmax", [](const auto& in) { return softmax(in[0]); }, random_inputs({{3, 2, 5}}));
  for (const Shape& shape : {Shape{3, 2, 4, 4}, Shape{2, 3, 5}, Shape{2, 5, 3}}) {
    // What is masked has no influence, so its gradient is compared by adding x itself.
    const auto causal = [](const auto& in) { return add(softmax(in[0], {.causal = true}), in[0]); };
    expect_gradient("causal softmax", causal, random_inputs({shape}));
  }
}

TEMPLATE_TEST_CASE("softmax: values, of large and masked numbers too", "[softmax]", float, bfloat16, double) {
  const Tape tape;
  const Shape shape{2, 3, 50};
  auto x = random_tensor<TestType>(shape, 1);
  for (std::int64_t i = 0; i < x.size(); ++i)
    x.data()[i] = TestType(static_cast<Accumulate<TestType>>(20 * double(x.data()[i]) + 1000));
  x.data()[7] = TestType(static_cast<Accumulate<TestType>>(-std::numeric_limits<double>::infinity()));
  for (const bool causal : {false, true}) {
    INFO("causal " << causal);
    const auto y = softmax(tape.input(x), {.causal = causal}).value();
    Worst worst;
    for (std::int64_t row = 0; row < 6; ++row) {
      const std::int64_t count = causal ? row % 3 + 1 : 50;
      double total = 0;
      for (std::int64_t j = 0; j < count; ++j) total += std::exp(double(x.data()[row * 50 + j]) - 1000);
      for (std::int64_t j = 0; j < 50; ++j) {
        const double p = j < count ? std::exp(double(x.data()[row * 50 + j]) - 1000) / total : 0;
        worst.add(row * 50 + j, double(y.data()[row * 50 + j]), p, p + 1e-30);
      }
    }
    // The exponential's few roundings, those of its argument (up to 40), of the sum and of the quotient; and one to T.
    CHECK(worst <= 50 * epsilon<Accumulate<TestType>>() + epsilon<TestType>() / 2);
  }
  CHECK(same_on_any_threads([&] { return values_of(softmax(tape.input(x)).value()); }));
}

TEST_CASE("softmax: what is not finite, and what it refuses", "[softmax]") {
  const Tape tape;
  const auto row = [&](std::vector<float> x) { return softmax(tape.input(tensor_of<float>({1, 3}, x))).value(); };
  const float infinity = std::numeric_limits<float>::infinity();
  CHECK(values_of(row({0, -infinity, 0})) == std::vector<double>{0.5, 0, 0.5});
  CHECK(std::isnan(row({-infinity, -infinity, -infinity}).data()[0]));
  for (const double x : values_of(row({0, std::nanf(""), 0}))) CHECK(std::isnan(x));
  for (const double x : values_of(row({std::nanf(""), 0, 0}))) CHECK(std::isnan(x));
  const auto variable = [&](const Shape& shape) { return tape.input(zeros<float, Cpu>(shape)); };
  CHECK_THROWS_WITH(softmax(variable({4, 4}), {.causal = true}),
                    "softmax: expected x [K ... M N], got [4 4]; K is the axis of the members, 1 for a plain network");
  CHECK_THROWS_AS(softmax(variable({4})), ShapeError);
  CHECK_THROWS_AS(softmax(variable({4, 0})), ShapeError);
}

TEST_CASE("log_softmax: gradients, and those of a loss of it", "[softmax]") {
  for (const Shape& shape : {Shape{3, 5}, Shape{3, 2, 5}, Shape{2, 3, 2, 4}})
    expect_gradient(
        "log_softmax", [](const auto& in) { return log_softmax(in[0]); }, random_inputs({shape}));
  expect_gradient(
      "entropy", [](const auto& in) { return mul(softmax(in[0]), log_softmax(in[0])); }, random_inputs({{2, 3, 4}}));
}

TEMPLATE_TEST_CASE("log_softmax: values, where a softmax is 0 too", "[softmax]", float, bfloat16, double) {
  const Tape tape;
  auto x = random_tensor<TestType>({2, 3, 50}, 1);
  for (std::int64_t i = 0; i < x.size(); ++i)
    x.data()[i] = TestType(static_cast<Accumulate<TestType>>(400 * double(x.data()[i])));
  const auto y = log_softmax(tape.input(x)).value();
  Worst worst;
  for (std::int64_t row = 0; row < 6; ++row) {
    const TestType* in = x.data() + row * 50;
    double largest = double(in[0]), total = 0;
    for (std::int64_t j = 0; j < 50; ++j) largest = std::max(largest, double(in[j]));
    for (std::int64_t j = 0; j < 50; ++j) total += std::exp(double(in[j]) - largest);
    for (std::int64_t j = 0; j < 50; ++j) {
      const double expected = double(in[j]) - largest - std::log(total);
      worst.add(row * 50 + j, double(y.data()[row * 50 + j]), expected, 1 + std::abs(expected));
    }
  }
  // The difference from the largest is rounded to T, and so is the result; the logarithm is of a few roundings more.
  CHECK(worst <= 1.5 * epsilon<TestType>() + 4 * epsilon<Accumulate<TestType>>());
  CHECK(same_on_any_threads([&] { return values_of(log_softmax(tape.input(x)).value()); }));
}

TEST_CASE("log_softmax: what is masked or not finite, and what it refuses", "[softmax]") {
  const Tape tape;
  const auto row = [&](std::vector<float> x) {
    return values_of(log_softmax(tape.input(tensor_of<float>({1, 3}, x))).value());
  };
  const float infinity = std::numeric_limits<float>::infinity();
  CHECK(row({0, -infinity, 0})[1] == -double(infinity));
  CHECK(std::abs(row({0, -infinity, 0})[0] + std::log(2.0)) <= 1e-7);  // an epsilon
  for (const double x : row({-infinity, -infinity, -infinity})) CHECK(std::isnan(x));
  for (const double x : row({0, std::nanf(""), 0})) CHECK(std::isnan(x));
  CHECK_THROWS_AS(log_softmax(tape.input(zeros<float, Cpu>({4}))), ShapeError);
  CHECK_THROWS_AS(log_softmax(tape.input(zeros<float, Cpu>({4, 0}))), ShapeError);
}
