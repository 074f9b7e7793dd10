#include <lpw/autograd/slice.hpp>

#include <limits>

#include <lpw/autograd/concat.hpp>

#include "support/gradient_check.hpp"

using namespace lpw;
using namespace lpw::test;

TEST_CASE("slice: gradients of a part of any axis, and of several parts", "[slice]") {
  const auto inputs = random_inputs({{3, 4, 5}});
  for (const auto& options :
       {SliceOptions{0, 1, 2}, SliceOptions{1, 1, 3}, SliceOptions{2, 0, 4}, SliceOptions{-1, 4}}) {
    INFO("axis " << options.axis);
    expect_gradient(
        "slice", [&](const auto& in) { return slice(in[0], options); }, inputs);
    expect_gradient(
        "slice and all", [&](const auto& in) { return add(slice(in[0], options), slice(in[0], options)); }, inputs);
  }
  const auto halves = [](const auto& in) {
    return add(slice(in[0], {.axis = 1, .count = 3}), slice(in[0], {.axis = 1, .first = 1, .count = 3}));
  };
  expect_gradient("parts that overlap", halves, inputs);
  expect_gradient("of one member", halves, random_inputs({{1, 4, 5}}));
}

TEST_CASE("slice: values, and memory that is shared where it can be", "[slice]") {
  const Tape tape;
  const auto x = random_tensor<float>({3, 4, 5}, 1);
  const auto y = slice(tape.input(x), {.axis = 1, .first = 1, .count = 2}).value();
  REQUIRE(y.shape() == Shape{3, 2, 5});
  for (std::int64_t i = 0; i < y.size(); ++i) REQUIRE(y.data()[i] == x.data()[i / 10 * 20 + 5 + i % 10]);
  CHECK(slice(tape.input(x), {.axis = 0, .first = 2}).value().data() == x.row(2));
  const auto one = random_tensor<float>({1, 4, 5}, 1);
  const auto part = slice(tape.input(one), {.axis = 1, .first = 3}).value();
  CHECK(part.shape() == Shape{1, 1, 5});
  CHECK(part.data() == std::as_const(one).data() + 15);
  CHECK(slice(tape.input(x), {.axis = 2, .first = 5, .count = 0}).shape() == Shape{3, 4, 0});
}

TEST_CASE("split: equal parts and others, which concat puts together again", "[slice]") {
  const auto inputs = random_inputs({{3, 4, 6}});
  expect_gradient(
      "split", [](const auto& in) { return split(in[0], {.parts = 3})[1]; }, inputs);
  expect_gradient(
      "split and concat",
      [](const auto& in) {
        return concat(split(in[0], {.axis = 1, .extents = {1, 0, 3}}), 1);
      },
      inputs);
  const Tape tape;
  const auto x = tape.input(random_tensor<float>({3, 4, 6}, 1));
  const auto parts = split(x, {.axis = 1, .extents = {1, 3}});
  REQUIRE(parts.size() == 2);
  CHECK(parts[0].shape() == Shape{3, 1, 6});
  CHECK(same_bits(parts[1].value(), slice(x, {.axis = 1, .first = 1, .count = 3}).value()));
  CHECK(same_bits(concat(split(x, {.axis = 2, .parts = 6}), 2).value(), x.value()));
  CHECK_THROWS_WITH(split(x, {.axis = 1, .parts = 3}),
                    "split: axis 1 of [3 4 6] is not 3 equal parts; give their extents");
  CHECK_THROWS_WITH(split(x, {.axis = -1, .extents = {1, 4}}),
                    "split: the parts have 5 together, axis 2 of [3 4 6] has 6");
  CHECK_THROWS_AS(split(x, {.axis = 1, .parts = 0}), ShapeError);
  CHECK_THROWS_AS(split(x, {.axis = 1, .extents = {5, -1}}), ShapeError);
  CHECK_THROWS_AS(split(x, {.axis = 3}), ShapeError);
}

TEST_CASE("slice: parts that are not there", "[slice]") {
  const Tape tape;
  const auto x = tape.input(zeros<float, Cpu>({2, 3, 4}));
  CHECK_THROWS_WITH(slice(x, {.axis = 1, .first = 2, .count = 2}), "slice: [2, 4) of axis 1 of [2 3 4], which has 3");
  CHECK_THROWS_AS(slice(x, {.axis = 1, .first = -1, .count = 2}), ShapeError);
  CHECK_THROWS_AS(slice(x, {.axis = 1, .first = 1, .count = -1}), ShapeError);
  CHECK_THROWS_AS(slice(x, {.axis = 3}), ShapeError);
  constexpr std::int64_t most = std::numeric_limits<std::int64_t>::max();
  CHECK_THROWS_WITH(slice(x, {.axis = 2, .first = most, .count = 2}),
                    "slice: 2 from 9223372036854775807 on of axis 2 of [2 3 4], which has 4");
  CHECK_THROWS_AS(slice(x, {.axis = 2, .first = 2, .count = most}), ShapeError);
}
