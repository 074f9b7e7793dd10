#include <lpw/autograd/reshape.hpp>

#include "support/gradient_check.hpp"

using namespace lpw;
using namespace lpw::test;

TEST_CASE("reshape keeps elements and gradients in their order") {
  const DoubleTensor x = random_tensor<double>({2, 3, 4}, 1);
  expect_gradient("reshape", [](const DoubleVariables& in) { return reshape(in[0], {2, 12}); }, {x});
  const Tape tape;
  const auto y = reshape(tape.input(x), {6, 2, 2}).value();
  CHECK(y.shape() == Shape{6, 2, 2});
  CHECK(std::equal(x.data(), x.data() + x.size(), y.data()));
  CHECK_THROWS_AS(reshape(tape.input(x), {5, 5}), ShapeError);
}

TEST_CASE("reshape finds an extent that is left open") {
  const DoubleTensor x = random_tensor<double>({2, 3, 4}, 1);
  expect_gradient("reshape", [](const DoubleVariables& in) { return reshape(in[0], {2, -1}); }, {x});
  const Tape tape;
  const auto in = tape.input(x);
  CHECK(reshape(in, {-1}).shape() == Shape{24});
  CHECK(reshape(in, {2, -1, 2, 1}).shape() == Shape{2, 6, 2, 1});
  CHECK(reshape(in, {24, -1}).shape() == Shape{24, 1});
  CHECK(reshape(tape.input(DoubleTensor(Shape{0, 3})), {2, -1}).shape() == Shape{2, 0});
  CHECK_THROWS_WITH(reshape(in, {2, -1, -1}), "reshape: [2 -1 -1] leaves 2 extents open; expected one -1 at most");
  CHECK_THROWS_WITH(reshape(in, {-1, 5}), "reshape: [2 3 4] has 24 elements, for which no extent completes [-1 5]");
  for (const std::int64_t other : {0, -2}) CHECK_THROWS_AS(reshape(in, {-1, other}), ShapeError);
}
