#include <lpw/nn/parameter.hpp>

#include <cmath>
#include <string>

#include <lpw/autograd/sums.hpp>
#include <lpw/nn/flat_weights.hpp>

#include "catch.hpp"
#include "support/backward.hpp"
#include "support/compare.hpp"
#include "support/random.hpp"

using namespace lpw;
using namespace lpw::test;

namespace {

/// A parameter with a row per member, as in a store.
nn::Parameter<double, Cpu> late_phase_parameter(std::int64_t members, std::int64_t size) {
  nn::Parameter<double, Cpu> parameter(zeros<double, Cpu>({1, size}), Group::batch_norm);
  parameter.bind(random_tensor<double>({members, size}, 1), zeros<double, Cpu>({members, size}), nullptr);
  return parameter;
}

}  // namespace

TEST_CASE("groups combine and contain each other", "[parameter]") {
  constexpr Group set = Group::batch_norm | Group::rank_one;
  CHECK(contains(set, Group::batch_norm));
  CHECK(contains(set, Group::rank_one));
  CHECK_FALSE(contains(set, Group::head));
  CHECK_FALSE(contains(set, Group::none));
}

TEST_CASE("a new parameter is a base weight with one row and gradient zero", "[parameter]") {
  const nn::Parameter<float, Cpu> parameter(random_tensor<float>({1, 4, 3}, 1), Group::head);
  CHECK(parameter.shape() == Shape{4, 3});
  CHECK(parameter.group() == Group::head);
  CHECK_FALSE(parameter.late_phase());
  CHECK(parameter.home() == nullptr);
  CHECK(values_of(parameter.gradient()) == std::vector<double>(12, 0));
  CHECK_THROWS_WITH((nn::Parameter<float, Cpu>(zeros<float, Cpu>({2, 3}))),
                    "parameter: expected one member row, got [2 3]");
  CHECK_THROWS_AS((nn::Parameter<float, Cpu>(zeros<float, Cpu>({}))), ShapeError);
  CHECK_THROWS_AS((nn::Buffer<float, Cpu>(zeros<float, Cpu>({2, 3}))), ShapeError);
}

TEST_CASE("copies of a parameter are the same weight until detached", "[parameter]") {
  const nn::Parameter<float, Cpu> parameter(random_tensor<float>({1, 3}, 1), Group::head);
  auto copy = parameter;
  copy.value().data()[0] = 5;
  CHECK(copy.id() == parameter.id());
  CHECK(parameter.value().data()[0] == 5);
  copy.detach();
  copy.value().data()[0] = 6;
  copy.gradient().data()[0] = 7;
  CHECK(copy.id() != parameter.id());
  CHECK(copy.group() == Group::head);
  CHECK(parameter.value().data()[0] == 5);
  CHECK(parameter.gradient().data()[0] == 0);
}

TEST_CASE("a parameter enters a pass with the rows of the members it computes", "[parameter]") {
  const auto late = late_phase_parameter(4, 3);
  const nn::Parameter<double, Cpu> base(random_tensor<double>({1, 3}, 2));
  Tape tape({.members = {.first = 1, .count = 2}});
  const auto x = tape.input(zeros<double, Cpu>({2, 5, 3}));
  CHECK(base.on(x).shape() == Shape{1, 3});
  const auto rows = late.on(x);
  REQUIRE(rows.shape() == Shape{2, 3});
  CHECK(rows.value().data() == late.value().row(1));
  backward_of_sum(tape, rows);
  CHECK(values_of(late.gradient()) == std::vector<double>{0, 0, 0, 1, 1, 1, 1, 1, 1, 0, 0, 0});

  const Tape all;
  CHECK(late.on(all.input(zeros<double, Cpu>({4, 5, 3}))).shape() == Shape{4, 3});
}

TEST_CASE("members' weights want a loss of each member: a mean of all is refused, whose gradient is a K-th",
          "[parameter]") {
  const nn::Parameter<double, Cpu> base(random_tensor<double>({1, 2}, 2));
  for (const MemberRange range : {MemberRange{}, MemberRange{1, 2}, MemberRange{1, 1}}) {
    const std::int64_t members = range.count == 0 ? 3 : range.count;
    CAPTURE(members);
    // The sum of the gradient of a mean of x scale + late, each of whose elements counts alike.
    const auto gradient_of = [&](auto&& backward) {
      const auto late = late_phase_parameter(3, 2);
      Tape tape({.members = range});
      const auto x = tape.input(zeros<double, Cpu>({members, 5, 2}));
      const auto losses = mean(add_channels(scale_channels(x, base.on(x)), late.on(x)));
      backward(tape, losses, mean(losses, {.over = {0}}));
      double sum = 0;
      for (const double g : values_of(late.gradient())) sum += g;
      return sum;
    };
    const double tolerance = 30 * epsilon<double>();  // a sum of up to 30 rounded parts
    CHECK(std::abs(gradient_of([](Tape& tape, const auto& losses, const auto&) { tape.backward(losses); }) -
                   static_cast<double>(members)) <= tolerance);
    CHECK(std::abs(gradient_of([](Tape& tape, const auto&, const auto& of_all) {
                     tape.backward(of_all, full<double, Cpu>({1}, 1.0));
                   }) -
                   1) <= tolerance);
    if (members == 1) continue;
    const std::string message = to_text("backward: the loss is [1] of ", members,
                                        " members; expected one number for each: keep their axis, as "
                                        "mean(loss) does, or hand over its gradient");
    (void)gradient_of([&](Tape& tape, const auto&, const auto& of_all) {
      CHECK_THROWS_WITH(tape.backward(of_all), message);
      CHECK_THROWS_AS(tape.backward(of_all), ShapeError);
    });
  }
  Tape tape;
  const auto x = tape.input(zeros<double, Cpu>({1, 5, 2}));
  tape.backward(mean(scale_channels(x, base.on(x))));  // of what all share one number is right
}

TEST_CASE("a buffer gives the rows of the members that a pass computes", "[parameter]") {
  nn::Buffer<double, Cpu> buffer(random_tensor<double>({1, 3}, 1));
  const Tape tape({.members = {.first = 1, .count = 2}});
  const auto x = tape.input(zeros<double, Cpu>({2, 5, 3}));
  CHECK(buffer.on(x).data() == buffer.value().data());
  buffer.bind(random_tensor<double>({4, 3}, 2));
  CHECK(buffer.on(x).shape() == Shape{2, 3});
  CHECK(buffer.on(x).data() == buffer.value().row(1));
  auto copy = buffer;
  copy.detach();
  copy.value().data()[0] = 9;
  CHECK(buffer.value().data()[0] != 9);
}
