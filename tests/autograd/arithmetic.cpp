#include <lpw/autograd/arithmetic.hpp>

#include "support/errors.hpp"
#include "support/gradient_check.hpp"

using namespace lpw;
using namespace lpw::test;

namespace {

/// Random operands of which the second, a divisor, is away from 0.
std::vector<DoubleTensor> operands(const Shape& a, const Shape& b) {
  auto inputs = random_inputs({a, b});
  for (std::int64_t i = 0; i < inputs[1].size(); ++i) inputs[1].data()[i] += inputs[1].data()[i] < 0 ? -0.5 : 0.5;
  return inputs;
}

/// How b may lie along a [K 2 3 2] for K = 3.
struct Alignment {
  Shape b;
  std::vector<int> over;
};
const Alignment alignments[] = {{{3, 2}, {1, 2}},     {{1, 2}, {1, 2}},   {{3, 3}, {1, 3}},
                                {{3, 2, 2}, {2}},     {{1, 2, 3, 2}, {}}, {{3, 1, 3, 1}, {-1, 1}},
                                {{3, 2, 3, 1}, {-1}}, {{1}, {1, 2, 3}},   {{3, 1, 1, 1}, {1, 2, 3}},
                                {{1, 1, 3, 2}, {1}},  {{3, 2, 3, 2}, {}}};

}  // namespace

TEST_CASE("add, sub, mul and div: gradients of equal shapes", "[arithmetic]") {
  const auto inputs = operands({2, 3, 2}, {2, 3, 2});
  expect_gradient(
      "sub", [](const auto& in) { return sub(in[0], in[1]); }, inputs);
  expect_gradient(
      "mul", [](const auto& in) { return mul(in[0], in[1]); }, inputs);
  expect_gradient(
      "div", [](const auto& in) { return div(in[0], in[1]); }, inputs);
  expect_gradient(
      "a a", [](const auto& in) { return mul(in[0], in[0]); }, random_inputs({{2, 3}}));
  expect_gradient(
      "a - a a", [](const auto& in) { return sub(in[0], mul(in[0], in[0])); }, random_inputs({{2, 3}}));
}

TEST_CASE("add, sub, mul and div: gradients where b is repeated along named axes", "[arithmetic]") {
  const Shape a{3, 2, 3, 2};
  for (const auto& alignment : alignments) {
    INFO("b " << alignment.b);
    const Broadcast along{alignment.over};
    const auto inputs = operands(a, alignment.b);
    expect_gradient(
        "add", [&](const auto& in) { return add(in[0], in[1], along); }, inputs);
    expect_gradient(
        "sub", [&](const auto& in) { return sub(in[0], in[1], along); }, inputs);
    expect_gradient(
        "mul", [&](const auto& in) { return mul(in[0], in[1], along); }, inputs);
    expect_gradient(
        "div", [&](const auto& in) { return div(in[0], in[1], along); }, inputs);
  }
}

TEST_CASE("arithmetic computes each element of the operands that belong together", "[arithmetic]") {
  const Tape tape = Tape::evaluation();
  const auto inputs = operands({3, 2, 3, 2}, {1, 3});
  const auto a = tape.input(inputs[0]), b = tape.input(inputs[1]);
  const auto sum = add(a, b, {.over = {1, 3}}).value(), difference = sub(a, b, {.over = {1, 3}}).value();
  const auto product = mul(a, b, {.over = {1, 3}}).value(), quotient = div(a, b, {.over = {1, 3}}).value();
  for (std::int64_t i = 0; i < inputs[0].size(); ++i) {
    const double x = inputs[0].data()[i], y = inputs[1].data()[i / 2 % 3];
    REQUIRE(sum.data()[i] == x + y);
    REQUIRE(difference.data()[i] == x - y);
    REQUIRE(product.data()[i] == x * y);
    REQUIRE(quotient.data()[i] == x / y);
  }
}

TEST_CASE("a parameter is an operand of activations in 16 bits, and its gradient is float", "[arithmetic]") {
  Tape tape;
  const auto x = random_tensor<bfloat16>({2, 5, 3}, 1);
  const auto row = random_parameter<float>({2, 3}, true, 2);
  auto drow = random_parameter<float>({2, 3}, true, 3);
  fill(drow, 0.f);
  auto dx = zeros<bfloat16, Cpu>({2, 5, 3});
  const auto y = mul(tape.leaf(x, dx), tape.leaf(row, drow), {.over = {1}});
  for (std::int64_t i = 0; i < x.size(); ++i)
    REQUIRE(float(y.value().data()[i]) == float(bfloat16(float(x.data()[i]) * row.row(i / 15)[i % 3])));
  backward_of_sum(tape, y);
  for (std::int64_t k = 0; k < 2; ++k)
    for (std::int64_t c = 0; c < 3; ++c) {
      double expected = 0;
      for (std::int64_t b = 0; b < 5; ++b) expected += double(float(x.row(k)[b * 3 + c]));
      REQUIRE(drow.row(k)[c] == static_cast<float>(expected));  // summed in double, rounded once
      REQUIRE(float(dx.row(k)[c]) == float(bfloat16(row.row(k)[c])));
    }
  CHECK(gaps_untouched(drow));
}

TEST_CASE("arithmetic adds to gradients as they lie, and not as their values do", "[arithmetic]") {
  const Shape a{3, 2, 4};
  for (const bool repeated : {false, true})
    for (const bool strided_value : {false, true})
      for (const bool strided_gradient : {false, true}) {
        INFO("b " << (repeated ? "repeated" : "of a's shape") << ", strided: value " << strided_value << ", gradient "
                  << strided_gradient);
        const Shape b = repeated ? Shape{3, 4} : a;
        const auto check = [&](const char* name, const auto& operation) {
          INFO(name);
          const auto inputs = operands(a, b);
          auto value = random_parameter<double>(b, strided_value, 1);
          copy(inputs[1], value);
          auto db = random_parameter<double>(b, strided_gradient, 2), expected = zeros<double, Cpu>(b);
          fill(db, 0.0);
          for (const bool as_lying : {false, true}) {
            Tape tape;
            const auto x = tape.input(inputs[0]);
            backward_of_sum(tape, operation(x, as_lying ? tape.leaf(value, db) : tape.leaf(inputs[1], expected)));
          }
          CHECK(same_bits(db, expected));
          CHECK((!strided_gradient || gaps_untouched(db)));
        };
        if (repeated) {
          check("add", [](const auto& x, const auto& y) { return add(x, y, {.over = {1}}); });
          check("sub", [](const auto& x, const auto& y) { return sub(x, y, {.over = {1}}); });
          check("mul", [](const auto& x, const auto& y) { return mul(x, y, {.over = {1}}); });
          check("div", [](const auto& x, const auto& y) { return div(x, y, {.over = {1}}); });
        } else {
          check("add", [](const auto& x, const auto& y) { return add(x, y); });
          check("sub", [](const auto& x, const auto& y) { return sub(x, y); });
          check("mul", [](const auto& x, const auto& y) { return mul(x, y); });
          check("div", [](const auto& x, const auto& y) { return div(x, y); });
        }
      }
}

TEST_CASE("affine: values and gradient", "[arithmetic]") {
  expect_gradient(
      "affine", [](const auto& in) { return affine(in[0], {.scale = -3, .shift = 0.5}); }, random_inputs({{2, 3}}));
  const Tape tape;
  const auto y = affine(tape.input(tensor_of<float>({3}, std::vector<float>{1, -2, std::nanf("")})), {2, 1}).value();
  CHECK(y.data()[0] == 3);
  CHECK(y.data()[1] == -3);
  CHECK(std::isnan(y.data()[2]));
}

TEST_CASE("arithmetic: operands that do not fit", "[arithmetic]") {
  const Tape tape;
  const auto variable = [&](const Shape& shape) { return tape.input(zeros<float, Cpu>(shape)); };
  const auto a = variable({4, 8, 16});
  CHECK_THROWS_WITH(mul(a, variable({1, 16})),
                    "mul: a [4 8 16] and b [1 16] differ, and nothing is broadcast in silence; to repeat b along axes "
                    "of a, name them: mul(a, b, {.over = {1}})");
  CHECK_THROWS_WITH(sub(a, variable({1, 8, 16})),
                    "sub: a [4 8 16] and b [1 8 16] differ, and nothing is broadcast in silence; to repeat b along "
                    "axes of a, name them: sub(a, b, {.over = {}})");
  CHECK_THROWS_WITH(div(variable({1, 16}), a),
                    "div: a [1 16] and b [4 8 16] differ, and nothing is broadcast in silence; a must be the larger "
                    "of them");
  CHECK_THROWS_WITH(mul(variable({1, 8, 16}), variable({4, 16}), {.over = {1}}),
                    "mul: b [4 16] is not a [1 8 16] without axes {1}, or with extent 1; b has 4 member rows, a one; "
                    "pass a [4 ...], what each member has");
  CHECK_THROWS_WITH(mul(a, variable({3, 16}), {.over = {1}}),
                    "mul: b [3 16] is not a [4 8 16] without axes {1}, or with extent 1; b fits no axes of a");
  CHECK_THROWS_WITH(add(a, variable({4, 16}), {.over = {2}}),
                    "add: b [4 16] is not a [4 8 16] without axes {2}, or with extent 1; to repeat b along axes of a, "
                    "name them: add(a, b, {.over = {1}})");
  CHECK_THROWS_WITH(mul(a, variable({4, 8}), {.over = {3}}),
                    "mul: there is no axis 3 in [4 8 16]; axes are counted from 0, or from the end as -1, -2");
  CHECK_THROWS_WITH(mul(a, variable({4, 8}), {.over = {2, -1}}), "mul: axis -1 is named twice");
  CHECK_THROWS_WITH(mul(a, variable({8, 16}), {.over = {0}}),
                    "mul: axis 0 is the members', along which b is repeated where it has one row; name others");
  CHECK_THROWS_AS(mul(a, variable({1, 16})), ShapeError);
  CHECK_THROWS_AS(mul(variable({0, 8}), variable({1, 8}), {.over = {}}), ShapeError);
}
