// Groups of parameters on the GPU: the CPU's steps, of the same weights and gradients, before and after a release.
#include "cuda/support.hpp"

#include <memory>
#include <vector>

#include <lpw/late_phase/release.hpp>
#include <lpw/models/wide_resnet.hpp>
#include <lpw/optim/make_optimizer.hpp>

using namespace lpw;
using namespace lpw::test;

namespace {

/// A network whose gradients are drawn for each step.
template <class D>
struct DrawnSteps {
  nn::WideResNet<float, D> network{{.depth = 10, .widen = 1, .classes = 5}, Philox(7)};
  std::unique_ptr<optim::Optimizer<float, D>> optimizer;

  explicit DrawnSteps(const optim::OptimizerOptions& options) : optimizer(optim::make_optimizer(network, options)) {}

  void step(std::uint32_t draw) {
    auto& gradient = nn::flatten(network)->gradient;
    copy(to_device<D>(random_tensor<float>(gradient.base.shape(), 2 * draw)), gradient.base);
    copy(to_device<D>(random_tensor<float>(gradient.late.shape(), 2 * draw + 1)), gradient.late);
    optimizer->step({.epoch = draw});
  }
};

std::vector<optim::ParameterGroup> some_groups() {
  const optim::Schedule steps(optim::MultiStep{.milestones = {2}});
  return {{.names = {"layer1.*"}, .frozen = true},
          {.names = {"fc.*", "*.bias"}, .learning_rate = 0.02, .weight_decay = 0},
          {.names = {"layer2.*"}, .schedule = steps}};
}

template <class Options>
optim::OptimizerOptions grouped(Options options) {
  options.groups = some_groups();
  options.factor_decay = optim::FactorDecay::to_one;
  return options;
}

}  // namespace

TEST_CASE("groups of parameters on the GPU step as on the CPU", "[gpu]") {
  for (const optim::OptimizerOptions& options : std::vector<optim::OptimizerOptions>{
           grouped(optim::SgdOptions{.learning_rate = 0.05, .weight_decay = 0.1, .clip = 5}),
           grouped(optim::AdamOptions{.learning_rate = 0.01, .weight_decay = 0.1, .decoupled = true})}) {
    INFO("optimizer " << options.index());
    DrawnSteps<Cpu> cpu(options);
    DrawnSteps<Cuda> gpu(options);
    for (std::uint32_t draw = 0; draw < 6; ++draw) {
      if (draw == 3) {
        const ReleaseOptions members{.members = 3, .late = Selectors::parse("rank1,fc.*")};
        release(cpu.network, *cpu.optimizer, members), release(gpu.network, *gpu.optimizer, members);
      }
      cpu.step(draw), gpu.step(draw);
      const auto& expected = nn::flatten(cpu.network)->value;
      const auto& found = nn::flatten(gpu.network)->value;
      // Six steps of some thirty roundings of values below 5, as of the optimizers alone.
      constexpr double tolerance = 6 * 200 * epsilon<float>();
      CHECK(distance(found.base, expected.base) <= tolerance);
      CHECK(distance(found.late, expected.late) <= tolerance);
    }
  }
}
