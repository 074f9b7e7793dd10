#include <lpw/autograd/finite.hpp>

#include <limits>

#include <lpw/nn/batch_norm.hpp>
#include <lpw/nn/flat_weights.hpp>

#include "catch.hpp"
#include "support/errors.hpp"
#include "support/random.hpp"

using namespace lpw;
using namespace lpw::test;

TEMPLATE_TEST_CASE("a loss that is no finite number is refused, naming the member", "[finite]", float, double) {
  const Tape tape;
  auto losses = full<TestType, Cpu>({4}, TestType(0.5));
  CHECK_NOTHROW(require_finite(tape.input(losses)));
  for (const TestType bad : {std::numeric_limits<TestType>::quiet_NaN(), std::numeric_limits<TestType>::infinity()})
    for (const TestType sign : {TestType(1), TestType(-1)}) {
      losses.data()[2] = sign * bad;
      CHECK(
          contains(message_of<NonFinite>([&] { require_finite(tape.input(losses)); }), "the loss of member 2 became "));
      CHECK(contains(message_of<NonFinite>([&] {
                       require_finite(tape.input(losses.reshaped({2, 2})));
                     }),
                     "the loss of member 1 became "));
    }
}

TEST_CASE("a weight or running statistic that is no finite number is refused by its name", "[finite]") {
  nn::BatchNorm<float, Cpu> norm(3);
  CHECK_NOTHROW(nn::require_finite(norm));
  norm.running_var.value().data()[1] = std::numeric_limits<float>::infinity();
  CHECK(contains(message_of<NonFinite>([&] { nn::require_finite(norm); }), "'running_var' holds"));
  norm.running_var.value().data()[1] = 1;
  norm.weight.value().data()[2] = std::numeric_limits<float>::quiet_NaN();
  CHECK(contains(message_of<NonFinite>([&] { nn::require_finite(norm); }), "'weight' holds"));
}

TEST_CASE("all_finite sees every element of strided rows, and nothing between them", "[finite]") {
  auto rows = random_parameter<float>({3, 5}, true, 1);
  CHECK(all_finite(rows));
  rows.row(2)[4] = std::numeric_limits<float>::quiet_NaN();
  CHECK_FALSE(all_finite(rows));
  CHECK(all_finite(Tensor<float, Cpu>()));
}
