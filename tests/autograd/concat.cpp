#include <lpw/autograd/concat.hpp>

#include "support/gradient_check.hpp"

using namespace lpw;
using namespace lpw::test;

TEST_CASE("concat: gradients along any axis", "[concat]") {
  expect_gradient(
      "members", [](const auto& in) { return concat(in, 0); }, random_inputs({{1, 2, 4}, {2, 2, 4}}));
  expect_gradient(
      "rows", [](const auto& in) { return concat(in, 1); }, random_inputs({{2, 1, 4}, {2, 3, 4}, {2, 2, 4}}));
  expect_gradient(
      "columns", [](const auto& in) { return concat(in, -1); }, random_inputs({{2, 3, 1}, {2, 3, 4}}));
  expect_gradient(
      "one", [](const auto& in) { return concat(in, 1); }, random_inputs({{2, 3}}));
  expect_gradient(
      "the same twice",
      [](const auto& in) {
        return concat(DoubleVariables{in[0], in[1], in[0]}, 1);
      },
      random_inputs({{2, 3}, {2, 2}}));
}

TEST_CASE("concat: values, and what a trace lists", "[concat]") {
  Trace trace;
  const Tape tape({.trace = &trace});
  const auto a = random_tensor<float>({2, 1, 3}, 1), b = random_tensor<float>({2, 2, 3}, 2);
  const auto y = concat(std::vector{tape.input(a), tape.input(b)}, 1).value();
  REQUIRE(y.shape() == Shape{2, 3, 3});
  for (std::int64_t i = 0; i < y.size(); ++i)
    REQUIRE(y.data()[i] == (i % 9 < 3 ? a.row(i / 9)[i % 9] : b.row(i / 9)[i % 9 - 3]));
  CHECK(describe(trace) == "%2 [2 3 3] = concat(%0 [2 1 3], %1 [2 2 3]) axis=1\n");
}

TEST_CASE("concat: parts that do not fit", "[concat]") {
  const Tape tape;
  const auto variable = [&](const Shape& shape) { return tape.input(zeros<float, Cpu>(shape)); };
  CHECK_THROWS_WITH(concat(std::vector{variable({2, 3}), variable({2, 4})}, 0),
                    "concat: [2 3] and [2 4] differ in more than axis 0");
  CHECK_THROWS_WITH(concat(std::vector<Variable<float, Cpu>>(), 0), "concat: there are no parts; pass one or more");
  CHECK_THROWS_AS(concat(std::vector{variable({2, 3}), variable({2, 3, 1})}, 1), ShapeError);
  CHECK_THROWS_AS(concat(std::vector{variable({2, 3})}, 2), ShapeError);
  const Tape other;
  CHECK_THROWS_AS(concat(std::vector{variable({2, 3}), other.input(zeros<float, Cpu>({2, 3}))}, 1), TapeError);
}
