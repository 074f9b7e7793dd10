#include <lpw/autograd/matmul.hpp>

#include "support/gradient_check.hpp"

using namespace lpw;
using namespace lpw::test;

TEST_CASE("matmul: gradients in every orientation, with operands that members share", "[matmul]") {
  for (const bool transpose_a : {false, true})
    for (const bool transpose_b : {false, true})
      for (const std::int64_t members_a : {1, 3})
        for (const std::int64_t members_b : {1, 3}) {
          INFO("transposed " << transpose_a << ' ' << transpose_b << " members " << members_a << ' ' << members_b);
          const Shape a = transpose_a ? Shape{members_a, 2, 4, 3} : Shape{members_a, 2, 3, 4};
          const Shape b = transpose_b ? Shape{members_b, 2, 5, 4} : Shape{members_b, 2, 4, 5};
          const auto product = [&](const auto& in) {
            return matmul(in[0], in[1], {.transpose_a = transpose_a, .transpose_b = transpose_b});
          };
          expect_gradient("matmul", product, random_inputs({a, b}));
        }
  expect_gradient(
      "without a batch", [](const auto& in) { return matmul(in[0], in[1]); }, random_inputs({{2, 3, 4}, {2, 4, 1}}));
  expect_gradient(
      "a a^T", [](const auto& in) { return matmul(in[0], in[0], {.transpose_b = true}); }, random_inputs({{2, 3, 4}}));
}

TEST_CASE("matmul: values", "[matmul]") {
  const Tape tape = Tape::evaluation();
  const auto inputs = random_inputs({{2, 3, 2, 3, 4}, {1, 3, 2, 5, 4}});
  const auto y = matmul(tape.input(inputs[0]), tape.input(inputs[1]), {.transpose_b = true}).value();
  REQUIRE(y.shape() == Shape{2, 3, 2, 3, 5});
  Worst worst;
  for (std::int64_t i = 0; i < y.size(); ++i) {
    const std::int64_t column = i % 5, row = i / 5 % 3, product = i / 15;
    double expected = 0;
    for (std::int64_t n = 0; n < 4; ++n)
      expected += inputs[0].data()[(product * 3 + row) * 4 + n] * inputs[1].data()[(product % 6 * 5 + column) * 4 + n];
    worst.add(i, y.data()[i], expected);
  }
  CHECK(worst <= 8 * epsilon<double>());  // four products below 1, in any order
}

TEST_CASE("matmul: the gradient of an operand that members share is rounded once", "[matmul]") {
  const auto gradient_of_shared = [](const Shape& shared, const Tensor<bfloat16, Cpu>& other, bool shared_is_a) {
    Tape tape;
    auto gradient = zeros<bfloat16, Cpu>(shared);
    const auto x = tape.leaf(full<bfloat16, Cpu>(shared, bfloat16(1.f)), gradient), y = tape.input(other);
    backward_of_sum(tape, shared_is_a ? matmul(x, y) : matmul(y, x));
    return float(gradient.data()[0]);
  };
  // Members' gradients 257 and -255 in turns: of them bfloat16 holds 256 and -255.
  Tensor<bfloat16, Cpu> other({8, 1, 2});
  for (std::int64_t k = 0; k < 8; ++k) {
    other.row(k)[0] = bfloat16(k % 2 ? -256.f : 256.f);
    other.row(k)[1] = bfloat16(1.f);
  }
  CHECK(gradient_of_shared({1, 1, 1}, other, true) == 8);
  CHECK(gradient_of_shared({1, 1, 1}, other.reshaped({8, 2, 1}), false) == 8);
}

TEST_CASE("matmul: operands that do not fit", "[matmul]") {
  const Tape tape;
  const auto variable = [&](const Shape& shape) { return tape.input(zeros<float, Cpu>(shape)); };
  CHECK_THROWS_WITH(matmul(variable({3, 4}), variable({4, 5})),
                    "matmul: expected a and b [K ... M N], got [3 4] and [4 5]; K is the axis of the members, 1 for "
                    "what they share");
  CHECK_THROWS_WITH(matmul(variable({2, 3, 4}), variable({2, 5, 4})),
                    "matmul: a [2 3 4] has 4 columns, b [2 5 4] has 5 rows, as transpose_a and transpose_b say");
  CHECK_THROWS_WITH(matmul(variable({2, 6, 3, 4}), variable({2, 1, 4, 5})),
                    "matmul: a [2 6 3 4] and b [2 1 4 5] differ before their last two axes; only the members' axis "
                    "may be 1 in one of them");
  CHECK_THROWS_AS(matmul(variable({2, 3, 4}), variable({3, 4, 5})), ShapeError);
  CHECK_THROWS_AS(matmul(variable({2, 3, 0}), variable({2, 0, 5})), ShapeError);
}
