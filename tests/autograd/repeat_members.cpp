#include <lpw/autograd/repeat_members.hpp>

#include "support/errors.hpp"
#include "support/gradient_check.hpp"

using namespace lpw;
using namespace lpw::test;

TEST_CASE("repeat_members: values and gradients, for one member and for several", "[repeat_members]") {
  const Tape tape;
  const auto x = tape.input(tensor_of<double>({1, 2}, std::vector<double>{1, 2}));
  CHECK(values_of(repeat_members(x, 3).value()) == std::vector<double>{1, 2, 1, 2, 1, 2});
  for (const std::int64_t members : {1, 3})
    expect_gradient(
        "repeat_members", [&](const auto& in) { return repeat_members(in[0], members); }, random_inputs({{1, 2, 5}}));
}

TEST_CASE("repeat_members: what has members, and none of them, is refused", "[repeat_members]") {
  const Tape tape;
  const auto refused = [&](const Shape& shape, std::int64_t members) {
    return message_of<ShapeError>([&] { (void)repeat_members(tape.input(zeros<float, Cpu>(shape)), members); });
  };
  CHECK(refused({2, 4}, 2) == "repeat_members: expected x [1 ...] for K >= 1, got [2 4] for K=2");
  CHECK_FALSE(refused({1, 4}, 0).empty());
  CHECK_FALSE(refused({1, 0}, 2).empty());
}
