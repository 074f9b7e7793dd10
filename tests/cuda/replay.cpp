// A whole training step: replayed from its graph it leaves the bits that it leaves when it is issued.
#include "cuda/support.hpp"

#include <lpw/autograd/cross_entropy.hpp>
#include <lpw/late_phase/predict.hpp>
#include <lpw/late_phase/release.hpp>
#include <lpw/models/wide_resnet.hpp>
#include <lpw/optim/adam.hpp>
#include <lpw/optim/sgd.hpp>
#include <lpw/tensor/replay.hpp>

using namespace lpw;
using namespace lpw::test;

namespace {

constexpr std::int64_t replayed_members = 2, replayed_batch = 3;

/// Members' steps on images that change from step to step in the same memory.
struct ReplayedTraining {
  nn::WideResNet<float, Cuda> network{{.depth = 10, .widen = 1, .classes = 5, .dropout = 0.3}, Philox(7)};
  optim::Sgd<float, Cuda> optimizer{network, {.learning_rate = 0.05}};
  Tensor<float, Cuda> images{{replayed_members, replayed_batch, 8, 8, 3}}, losses{{replayed_members}};
  Tensor<std::int32_t, Cuda> labels = zeros<std::int32_t, Cuda>({replayed_members, replayed_batch});
  Replay<Cuda> replay;
  int issued = 0;

  ReplayedTraining() { release(network, optimizer, {.members = replayed_members, .sigma = 0.1, .random = Philox(3)}); }

  void issue(std::uint32_t step) {
    ++issued;
    Tape tape({.random = Philox(1, Stream::dropout, step)});
    const auto loss = cross_entropy(network.forward(tape.input(images)), labels);
    copy(loss.value(), losses);
    tape.backward(loss);
    optimizer.apply();
  }
  /// A cosine by iterations.
  [[nodiscard]] static double factor(std::uint32_t step) { return 0.5 * (1 + std::cos(0.6 * step)); }
  /// Each member's loss.
  [[nodiscard]] std::vector<double> take(std::uint32_t step, bool replayed) {
    copy(on_device(random_tensor<float>(images.shape(), 10 + step)), images);
    optimizer.advance(factor(step), factor(step + 1));
    if (replayed) {
      replay.run("step", step, [this](std::uint32_t at) { issue(at); });
    } else {
      issue(step);
    }
    return values_of(to_host(losses));
  }
  [[nodiscard]] std::vector<double> predictions() { return values_of(predict_members(network, images.rows(0, 1))); }
};

}  // namespace

TEST_CASE(
    "a training step replayed from its graph leaves the bits of one that is issued, with rates that change every time",
    "[gpu]") {
  cuda::settings().deterministic = true;
  ReplayedTraining eager, graph;
  for (std::uint32_t step = 0; step < 5; ++step) {
    INFO("step " << step);
    CHECK(graph.take(step, true) == eager.take(step, false));
  }
  CHECK(graph.predictions() == eager.predictions());
  CHECK(eager.issued == 5);
  CHECK(graph.issued == 2);  // issued once and captured once
  cuda::settings().deterministic = false;
}

TEST_CASE("a replayed step follows groups, decays and frozen parameters that change", "[gpu]") {
  struct Steps {
    nn::WideResNet<float, Cuda> network{{.depth = 10, .widen = 1, .classes = 5}, Philox(7)};
    optim::Adam<float, Cuda> optimizer{
        network,
        {.learning_rate = 0.01, .weight_decay = 0.1, .groups = {{.names = {"layer1.*"}}, {.names = {"fc.*"}}}}};
    Replay<Cuda> replay;
    std::uint32_t step = 0;

    void change(void (*how)(optim::RateRules&)) {
      auto rules = optimizer.rules();
      how(rules);
      optimizer.set_rules(rules);
    }
    void take(bool replayed) {
      auto& gradient = nn::flatten(network)->gradient;
      optimizer.advance(1. / (1 + step));
      copy(on_device(random_tensor<float>(gradient.base.shape(), 2 * step)), gradient.base);
      if (gradient.late.size() > 0)
        copy(on_device(random_tensor<float>(gradient.late.shape(), 2 * step + 1)), gradient.late);
      if (replayed) {
        replay.run(optimizer.replay_key(step), step, [&](std::uint32_t) { optimizer.apply(); });
      } else {
        optimizer.apply();
      }
      ++step;
    }
  } eager, graph;
  const auto both = [&](auto&& call) { call(eager, false), call(graph, true); };
  const auto take = [&](int steps) {
    for (int i = 0; i < steps; ++i) {
      both([](Steps& which, bool replayed) { which.take(replayed); });
      const auto &one = *nn::flatten(eager.network), &other = *nn::flatten(graph.network);
      INFO("step " << eager.step);
      CHECK(same_bits(to_host(one.value.base), to_host(other.value.base)));
      CHECK(same_bits(to_host(one.value.late), to_host(other.value.late)));
    }
  };
  const auto change = [&](void (*how)(optim::RateRules&)) {
    both([&](Steps& which, bool) { which.change(how); });
    take(3);
  };
  take(3);
  change([](optim::RateRules& rules) { rules.groups[0].frozen = true; });
  change([](optim::RateRules& rules) { rules.base.weight_decay = 0.3; });
  change([](optim::RateRules& rules) { rules.groups[1].learning_rate = 0.05; });
  both([](Steps& which, bool) {
    release(which.network, which.optimizer, {.members = 2, .late = Group::head, .sigma = 0.1, .random = Philox(3)});
  });
  take(3);
  change([](optim::RateRules& rules) { rules.groups[0].frozen = false; });
  change([](optim::RateRules& rules) { rules.groups.pop_back(); });
}
