#include <lpw/autograd/linear.hpp>

#include <optional>

#include "support/gradient_check.hpp"

using namespace lpw;
using namespace lpw::test;

TEST_CASE("linear: gradients", "[linear]") {
  struct Case {
    std::int64_t members, weight_rows, bias_rows;
  };
  for (const Case& c : {Case{1, 1, 1}, Case{3, 1, 1}, Case{3, 3, 3}, Case{3, 3, 1}, Case{3, 1, 3}}) {
    INFO("K=" << c.members << " weight rows " << c.weight_rows << " bias rows " << c.bias_rows);
    const Shape x{c.members, 4, 3}, weight{c.weight_rows, 2, 3};
    expect_gradient(
        "linear", [](const auto& in) { return linear(in[0], in[1]); }, random_inputs({x, weight}));
    expect_gradient(
        "linear with bias", [](const auto& in) { return linear(in[0], in[1], in[2]); },
        random_inputs({x, weight, {c.bias_rows, 2}}));
  }
}

TEST_CASE("linear: gradients with rank-1 factors", "[linear]") {
  struct Case {
    std::int64_t weight, r, s, bias;  // rows, of three members
  };
  for (const Case& c : {Case{1, 3, 3, 1}, Case{1, 1, 3, 3}, Case{1, 3, 1, 1}, Case{1, 1, 1, 1}, Case{3, 3, 3, 3}}) {
    INFO("rows of the weight " << c.weight << ", of r " << c.r << ", of s " << c.s << ", of the bias " << c.bias);
    const Shape x{3, 4, 5}, weight{c.weight, 2, 5}, r{c.r, 2}, s{c.s, 5};
    const auto factored = [](const auto& in) {
      return MemberWeight<double, Cpu>{in[1], RankOneFactors<double, Cpu>{in[2], in[3]}};
    };
    expect_gradient(
        "linear with factors", [&](const auto& in) { return linear(in[0], factored(in)); },
        random_inputs({x, weight, r, s}));
    expect_gradient(
        "linear with factors and bias",
        [&](const auto& in) { return linear(in[0], factored(in), std::optional(in[4])); },
        random_inputs({x, weight, r, s, {c.bias, 2}}));
  }
}

TEST_CASE("linear: a weight used twice gets both gradients", "[linear]") {
  expect_gradient(
      "linear twice", [](const auto& in) { return linear(linear(in[0], in[1]), in[1]); },
      random_inputs({{2, 3, 3}, {1, 3, 3}}));
}

TEST_CASE("linear: shapes that do not fit", "[linear]") {
  const Tape tape;
  const auto variable = [&](const Shape& shape) { return tape.input(zeros<float, Cpu>(shape)); };
  const auto x = variable({4, 128, 640});
  CHECK_THROWS_WITH(linear(x, variable({1, 10, 64})),
                    "linear: x has 640 features [K=4 B=128 F=640], weight is [K=1 O=10 F=64]");
  CHECK_THROWS_AS(linear(x, variable({1, 10, 64})), ShapeError);
  CHECK_THROWS_AS(linear(x, variable({10, 640})), ShapeError);
  CHECK_THROWS_AS(linear(x, variable({3, 10, 640})), ShapeError);
  CHECK_THROWS_AS(linear(x, variable({1, 10, 640}), variable({1, 9})), ShapeError);
  CHECK_THROWS_AS(linear(x, variable({1, 10, 640}), variable({2, 10})), ShapeError);
  CHECK_THROWS_AS(linear(variable({128, 640}), variable({1, 10, 640})), ShapeError);
  CHECK_THROWS_WITH(linear(variable({2, 4}), variable({1, 3, 4})),
                    "linear: expected x [K B F], got [2 4]; K is the axis of the members, 1 for a plain network");
  CHECK_THROWS_WITH(linear(variable({1, 2, 4}), variable({3, 5, 4})),
                    "linear: weight has 3 member rows, the input is one minibatch [1 B ...]; pass [3 B ...], a "
                    "minibatch for each member, "
                    "or evaluate one member with Tape::evaluation({k, 1})");
}
