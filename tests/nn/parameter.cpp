#include <lpw/nn/parameter.hpp>

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
