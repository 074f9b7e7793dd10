// The harness itself: it finds wrong gradients.
#include <lpw/autograd/arithmetic.hpp>

#include "support/errors.hpp"
#include "support/gradient_check.hpp"

using namespace lpw;
using namespace lpw::test;

namespace {

/// x^2 with the gradient `factor` x dy, written instead of added if `overwrite`.
DoubleVariable square(const DoubleVariable& x, double factor, bool overwrite = false) {
  const auto value = x.value();
  auto y = clone(value);
  for (std::int64_t i = 0; i < y.size(); ++i) y.data()[i] *= y.data()[i];
  return record(
      y,
      [=, dx = x.edge()](DoubleTensor dy) {
        auto target = dx.sink(value.shape());
        for (std::int64_t i = 0; i < value.size(); ++i) {
          double& out = target.tensor.data()[i];
          out = (target.accumulate && !overwrite ? out : 0.0) + factor * value.data()[i] * dy.data()[i];
        }
      },
      x);
}

}  // namespace

TEST_CASE("gradient check passes a right gradient", "[gradient_check]") {
  expect_gradient(
      "square", [](const auto& in) { return square(in[0], 2); }, random_inputs({{2, 3}}));
}

TEST_CASE("gradient check names operation, input and element of a wrong gradient", "[gradient_check]") {
  const auto report = gradient_mismatch("cube", [](const auto& in) { return square(in[1], 2.00001); },
                                        {full<double, Cpu>({1}, 1.0), full<double, Cpu>({2}, 3.0)});
  INFO(report);
  CHECK(contains(report, "cube: input 0 has no influence"));
  const auto wrong =
      gradient_mismatch("cube", [](const auto& in) { return square(in[0], 2.00001); }, {full<double, Cpu>({2}, 3.0)});
  INFO(wrong);
  CHECK(contains(wrong, "cube: gradient of input 0 [2] (as a leaf), element 0: expected "));
  CHECK(contains(wrong, ", found "));
}

TEST_CASE("gradient check finds a gradient that overwrites what it should add to", "[gradient_check]") {
  CHECK(contains(gradient_mismatch(
                     "square", [](const auto& in) { return square(in[0], 2, true); }, random_inputs({{3}})),
                 "(as a leaf)"));
}

TEST_CASE("gradient check finds a gradient that adds to memory it should write", "[gradient_check]") {
  const auto adds = [](const DoubleVariables& in) {
    return record(
        clone(in[0].value()),
        [dx = in[0].edge()](DoubleTensor dy) {
          auto target = dx.sink(dy.shape());
          for (std::int64_t i = 0; i < dy.size(); ++i) target.tensor.data()[i] += dy.data()[i];
        },
        in[0]);
  };
  CHECK(contains(gradient_mismatch("identity", adds, random_inputs({{3}})), "(behind another operation)"));
}

TEST_CASE("gradient check: an operation takes data on the tape of an input", "[gradient_check]") {
  const auto mask = random_tensor<double>({2, 3}, 9);
  expect_gradient(
      "masked", [&](const auto& in) { return mul(in[0], in[0].constant(mask)); }, random_inputs({{2, 3}}));
}
