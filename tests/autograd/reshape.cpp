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
