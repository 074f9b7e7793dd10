#include <lpw/autograd/permute.hpp>

#include "support/gradient_check.hpp"

using namespace lpw;
using namespace lpw::test;

TEST_CASE("permute and transpose: gradients", "[permute]") {
  const auto inputs = random_inputs({{2, 3, 4, 5}});
  for (const std::vector<int>& axes : {std::vector<int>{0, 1, 2, 3}, {0, 2, 1, 3}, {0, 3, 1, 2}, {0, -1, -2, 1}})
    expect_gradient(
        "permute", [&](const auto& in) { return permute(in[0], axes); }, inputs);
  expect_gradient(
      "transpose", [](const auto& in) { return transpose(in[0]); }, inputs);
  expect_gradient(
      "transpose two axes", [](const auto& in) { return transpose(in[0], 1, -1); }, inputs);
  expect_gradient(
      "back again", [](const auto& in) { return transpose(transpose(in[0], 1, 2), 1, 2); }, inputs);
}

TEST_CASE("permute and transpose: values, of strided rows too", "[permute]") {
  const Tape tape;
  const auto x = random_parameter<float>({3, 2, 4, 5}, true, 1);
  const auto y = permute(tape.input(x), {0, 3, 1, 2}).value(), z = transpose(tape.input(x), 1, 3).value();
  REQUIRE(y.shape() == Shape{3, 5, 2, 4});
  REQUIRE(z.shape() == Shape{3, 5, 4, 2});
  for (std::int64_t k = 0; k < 3; ++k)
    for (std::int64_t a = 0; a < 2; ++a)
      for (std::int64_t b = 0; b < 4; ++b)
        for (std::int64_t c = 0; c < 5; ++c) {
          const float expected = x.row(k)[(a * 4 + b) * 5 + c];
          REQUIRE(y.row(k)[(c * 2 + a) * 4 + b] == expected);
          REQUIRE(z.row(k)[(c * 4 + b) * 2 + a] == expected);
        }
}

TEST_CASE("permute and transpose: axes that cannot be", "[permute]") {
  const Tape tape;
  const auto x = tape.input(zeros<float, Cpu>({2, 3, 4}));
  CHECK_THROWS_WITH(permute(x, {0, 1}), "permute: 2 axes for [2 3 4]; name each of its axes once");
  CHECK_THROWS_WITH(permute(x, {0, 1, 1}), "permute: axis 1 is named twice");
  CHECK_THROWS_WITH(permute(x, {1, 0, 2}), "permute: axis 0 is the members' and stays the first; begin with 0");
  CHECK_THROWS_WITH(transpose(x, 0, 1), "transpose: axis 0 of [2 3 4] is the members' and stays the first");
  CHECK_THROWS_AS(transpose(x, 1, 3), ShapeError);
}
