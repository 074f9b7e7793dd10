#include <lpw/autograd/elementwise.hpp>

#include <utility>

#include "support/gradient_check.hpp"

using namespace lpw;
using namespace lpw::test;

namespace {

/// Random values at least 0.1 away from zero, ReLU's kink.
std::vector<DoubleTensor> away_from_zero(std::initializer_list<Shape> shapes) {
  auto inputs = random_inputs(shapes);
  for (auto& input : inputs)
    for (std::int64_t i = 0; i < input.size(); ++i) input.data()[i] += input.data()[i] < 0 ? -0.1 : 0.1;
  return inputs;
}

}  // namespace

TEST_CASE("relu: values and gradient", "[elementwise]") {
  expect_gradient(
      "relu", [](const auto& in) { return relu(in[0]); }, away_from_zero({{2, 3, 5}}));
  const Tape tape;
  const std::vector<float> x{-1, 0, 2.5f, std::nanf("")};
  const auto y = values_of(relu(tape.input(tensor_of<float>({4}, x))).value());
  CHECK(y[0] == 0);
  CHECK(y[1] == 0);
  CHECK(y[2] == 2.5);
  CHECK(std::isnan(y[3]));
}

TEST_CASE("add: gradients, also of a variable added to itself and of a diamond", "[elementwise]") {
  expect_gradient(
      "a + b", [](const auto& in) { return add(in[0], in[1]); }, random_inputs({{2, 3}, {2, 3}}));
  expect_gradient(
      "a + a", [](const auto& in) { return add(in[0], in[0]); }, random_inputs({{2, 3}}));
  expect_gradient(
      "(a + b) + a", [](const auto& in) { return add(add(in[0], in[1]), in[0]); }, random_inputs({{2, 3}, {2, 3}}));
  expect_gradient(
      "relu(a) + (a + b)", [](const auto& in) { return add(relu(in[0]), add(in[0], in[1])); },
      away_from_zero({{2, 3}, {2, 3}}));
}

TEST_CASE("add: gradients where the left operand is given up", "[elementwise]") {
  expect_gradient(
      "moved a + b", [](DoubleVariables in) { return add(std::move(in[0]), in[1]); }, random_inputs({{2, 3}, {2, 3}}));
  // relu's backward step holds its result: the sum may not overwrite it.
  const auto after_relu = [](const auto& in) {
    auto y = relu(in[0]);
    return add(std::move(y), in[1]);
  };
  expect_gradient("moved relu(a) + b", after_relu, away_from_zero({{2, 3}, {2, 3}}));
}

TEST_CASE("add: overwrites the left operand only where nobody else holds it", "[elementwise]") {
  const Tape tape;
  const auto b = tape.input(full<float, Cpu>({2, 3}, 10.f));
  auto given_up = tape.input(full<float, Cpu>({2, 3}, 1.f));
  const float* memory = given_up.value().data();
  const auto sum = add(std::move(given_up), b).value();
  CHECK(sum.data() == memory);
  CHECK(values_of(sum) == std::vector<double>(6, 11));

  const auto kept = tape.input(full<float, Cpu>({2, 3}, 1.f));
  CHECK(values_of(add(kept, b).value()) == std::vector<double>(6, 11));
  CHECK(values_of(kept.value()) == std::vector<double>(6, 1));

  const auto tensor = full<float, Cpu>({2, 3}, 1.f);
  CHECK(values_of(add(tape.input(tensor), b).value()) ==
        std::vector<double>(6, 11));  // the variable is a temporary, its tensor is held
  CHECK(values_of(tensor) == std::vector<double>(6, 1));
  CHECK(values_of(b.value()) == std::vector<double>(6, 10));
}

TEST_CASE("scale_channels and add_channels: gradients and values", "[elementwise]") {
  for (const std::int64_t members : {1, 3})
    for (const std::int64_t rows : {std::int64_t{1}, members}) {
      INFO("K=" << members << " rows " << rows);
      const auto inputs = random_inputs({{members, 2, 2, 3}, {rows, 3}});
      expect_gradient(
          "scale_channels", [](const auto& in) { return scale_channels(in[0], in[1]); }, inputs);
      expect_gradient(
          "add_channels", [](const auto& in) { return add_channels(in[0], in[1]); }, inputs);

      const Tape tape = Tape::evaluation();
      const auto scaled = scale_channels(tape.input(inputs[0]), tape.input(inputs[1])).value();
      const auto shifted = add_channels(tape.input(inputs[0]), tape.input(inputs[1])).value();
      for (std::int64_t i = 0; i < inputs[0].size(); ++i) {
        const double x = inputs[0].data()[i], parameter = member_row(inputs[1], i / 12)[i % 3];
        REQUIRE(scaled.data()[i] == x * parameter);
        REQUIRE(shifted.data()[i] == x + parameter);
      }
    }
}

TEST_CASE("element-wise operations: shapes that do not fit", "[elementwise]") {
  const Tape tape;
  const auto variable = [&](const Shape& shape) { return tape.input(zeros<float, Cpu>(shape)); };
  CHECK_THROWS_WITH(add(variable({2, 3}), variable({1, 3})),
                    "add: a [2 3] and b [1 3] differ, and nothing is broadcast in silence; to repeat b along axes of "
                    "a, name them: add(a, b, {.over = {}})");
  CHECK_THROWS_AS(add(variable({2, 3}), variable({1, 3})), ShapeError);
  CHECK_THROWS_WITH(scale_channels(variable({4, 8, 16}), variable({1, 8})),
                    "scale_channels: x [4 8 16] has 16 channels, factor is [K=1 C=8]");
  CHECK_THROWS_AS(scale_channels(variable({4, 8, 16}), variable({1, 8})), ShapeError);
  CHECK_THROWS_AS(scale_channels(variable({4, 8, 16}), variable({2, 16})), ShapeError);
  CHECK_THROWS_AS(scale_channels(variable({16}), variable({1, 16})), ShapeError);
  CHECK_THROWS_AS(scale_channels(variable({}), variable({1, 1})), ShapeError);
  CHECK_THROWS_AS(add_channels(variable({4, 8, 16}), variable({16})), ShapeError);
  CHECK_THROWS_AS(add_channels(variable({4, 8, 16}), variable({3, 16})), ShapeError);
}
