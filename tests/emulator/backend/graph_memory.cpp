// What a training step holds of the GPU's memory, at a size at which it is activations: nothing is run.
#include "cuda/support.hpp"

#include <lpw/autograd/cross_entropy.hpp>
#include <lpw/late_phase/release.hpp>
#include <lpw/models/wide_resnet.hpp>
#include <lpw/optim/sgd.hpp>
#include <lpw/tensor/replay.hpp>

using namespace lpw;
using namespace lpw::test;

namespace {

/// Steps of a Wide ResNet on full minibatches and on smaller ones.
struct LargeTraining {
  nn::WideResNet<float, Cuda> network{{.depth = 16, .widen = 2, .classes = 10}, Philox(7)};
  optim::Sgd<float, Cuda> optimizer{network, {.learning_rate = 0.05}};
  Tensor<float, Cuda> images{{1, 64, 32, 32, 3}};
  Tensor<std::int32_t, Cuda> labels{{1, 64}};
  Replay<Cuda> replay;

  void take(std::int64_t batch) {
    replay.run(to_text(batch), 0, [&](std::uint32_t) {
      Tape tape({.random = Philox(1)});
      const auto x = images.reshaped({64, 1, 32, 32, 3}).rows(0, batch).reshaped({1, batch, 32, 32, 3});
      const auto y = labels.reshaped({64, 1}).rows(0, batch).reshaped({1, batch});
      tape.backward(cross_entropy(network.forward(tape.input(x)), y));
      optimizer.apply();
    });
  }
};

}  // namespace

TEST_CASE(
    "steps that are issued, captured and replayed, and those of other minibatches, share one set of activations") {
  LargeTraining training;
  const emulator::DryRun run;
  cuda::pool().trim();
  const auto held = [] { return static_cast<double>(cuda::pool().usage().held); };
  const double before = held();
  training.take(64);
  const double once = held() - before;
  REQUIRE(once > 100e6);  // activations, far more than the pool's granules
  for (const std::int64_t batch : {64, 64, 48, 48, 48, 64}) training.take(batch);
  INFO("held " << once / 1e6 << " MB after the first step, " << (held() - before) / 1e6 << " MB after all");
  CHECK(held() - before <= 1.05 * once);
}
