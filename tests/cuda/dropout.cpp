#include "cuda/operands.hpp"

#include <lpw/autograd/dropout.hpp>

using namespace lpw;
using namespace lpw::test;

TEMPLATE_TEST_CASE("dropout on the GPU draws the CPU's masks", "[gpu]", float, bfloat16) {
  for (const std::int64_t members : {1, 3, 10})
    for (const std::int64_t length : {1, 5, 64, 1027})
      for (const bool accumulate : {false, true}) {
        INFO("members " << members << " length " << length << " accumulate " << accumulate);
        const DropoutMask mask{Philox(9, Stream::dropout, 4), 3, 20, 0.3};
        const auto x = random_tensor<TestType>({members, length}, 1);
        Gradient<TestType, Cpu> y{random_tensor<TestType>(x.shape(), 2), accumulate};
        auto found = on_device(y);
        apply_dropout(x, mask, y);
        apply_dropout(on_device(x), mask, found);
        // The GPU may round x keep + y once.
        CHECK(distance(found.tensor, y.tensor) <= 2 * epsilon<float>() + epsilon<TestType>());
        if (accumulate) continue;
        CHECK(equal(found.tensor, y.tensor));
      }
}

TEMPLATE_TEST_CASE("dropout recorded on the GPU has the CPU's values and gradients", "[gpu]", float, bfloat16) {
  const auto x = random_tensor<TestType>({3, 7, 17}, 1);
  const auto run = [&]<class D>(const Tensor<TestType, D>& input) {
    auto dx = zeros<TestType, D>(x.shape());
    Tape tape({.random = Philox(5, Stream::dropout, 2)});
    const auto y = dropout(dropout(tape.leaf(input, dx), 0.2), 0.5);
    const auto value = y.value();
    backward_of_sum(tape, y);
    return std::pair{value, dx};
  };
  const auto expected = run(x);
  const auto found = run(on_device(x));
  CHECK(equal(found.first, expected.first));
  CHECK(equal(found.second, expected.second));
}

TEST_CASE("a replayed dropout draws the masks of the step it is replayed for", "[gpu]") {
  const auto x = random_tensor<float>({3, 40}, 1);
  const auto there = on_device(x);
  Gradient<float, Cuda> found{zeros<float, Cuda>(x.shape())};
  Gradient<float, Cpu> expected{Tensor<float, Cpu>(x.shape())};
  Replay<Cuda> replay;
  for (const std::uint32_t step : {0u, 1u, 2u, 7u, 0xffffffffu}) {
    INFO("step " << step);
    replay.run("dropout", step, [&](std::uint32_t s) {
      apply_dropout(there, {Philox(9, Stream::dropout, s), 0, 0, 0.5}, found);
    });
    apply_dropout(x, {Philox(9, Stream::dropout, step), 0, 0, 0.5}, expected);
    CHECK(equal(found.tensor, expected.tensor));
  }
}
