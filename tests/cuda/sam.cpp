// Sharpness-aware minimisation on the GPU: its primitives against the CPU's, and a whole step, coupled members and all,
// replayed from its graph.
#include <lpw/optim/sam.hpp>

#include "cuda/operands.hpp"

#include <lpw/autograd/cross_entropy.hpp>
#include <lpw/cpu/ascent.hpp>
#include <lpw/late_phase/coupling.hpp>
#include <lpw/late_phase/release.hpp>
#include <lpw/models/wide_resnet.hpp>
#include <lpw/optim/sgd.hpp>
#include <lpw/tensor/replay.hpp>

using namespace lpw;
using namespace lpw::test;

namespace {

template <class D>
[[nodiscard]] AscentStore<float, D> ascent_store(const Shape& shape, std::uint32_t key) {
  return {to_device<D>(random_tensor<float>(shape, key)), to_device<D>(random_tensor<float>(shape, key + 1)),
          zeros<float, D>(shape)};
}

constexpr std::int64_t sam_members = 2;

/// Steps of members that are pulled to a centre, inside SAM.
struct SamTraining {
  nn::WideResNet<float, Cuda> network{{.depth = 10, .widen = 1, .classes = 5, .dropout = 0.3}, Philox(7)};
  optim::Sgd<float, Cuda> optimizer{network, {.learning_rate = 0.05}};
  optim::Sam<float, Cuda> sam{optimizer, {.rho = 0.1}};
  std::optional<Coupling<float, Cuda>> coupling;
  Tensor<float, Cuda> images{{sam_members, 3, 8, 8, 3}};
  Tensor<std::int32_t, Cuda> labels = zeros<std::int32_t, Cuda>({sam_members, 3});
  Replay<Cuda> replay;
  int issued = 0;

  SamTraining() {
    release(network, optimizer, {.members = sam_members, .sigma = 0.1, .random = Philox(3)});
    coupling.emplace(network, CouplingOptions{.rule = Elastic{}, .every = 2});
  }
  void accumulate(std::uint32_t step) {
    Tape tape({.random = Philox(1, Stream::dropout, step)});
    tape.backward(cross_entropy(network.forward(tape.input(images)), labels));
  }
  void issue(std::uint32_t step, bool active) {
    ++issued;
    accumulate(step);
    if (active) {
      auto ascent = sam.ascend();
      accumulate(step);
      ascent.restore();
    }
    optimizer.apply();
  }
  void take(std::uint32_t step, bool replayed) {
    copy(on_device(random_tensor<float>(images.shape(), 10 + step)), images);
    optimizer.advance();
    const bool active = step > 0 && sam.active();  // late SAM
    const auto work = [&](std::uint32_t at) { issue(at, active); };
    if (replayed) {
      replay.run(active ? "two passes" : "one pass", step, work);
    } else {
      work(step);
    }
    coupling->apply(step + 1);
  }
  [[nodiscard]] std::vector<Tensor<float, Cpu>> state() {
    const auto flat = nn::flatten(network);
    return {to_host(flat->value.base), to_host(flat->value.late), to_host(flat->buffers), to_host(coupling->centre())};
  }
};

}  // namespace

TEST_CASE("the ascent on the GPU is the CPU's", "[gpu]") {
  for (const auto& [members, length] : {std::pair{3, 4099}, std::pair{10, 64}, std::pair{1, 0}})
    for (const bool adaptive : {false, true})
      for (const int stores : {1, 2, 3}) {
        INFO("members " << members << " length " << length << " adaptive " << adaptive << " stores " << stores);
        const Ascent ascent{.rho = 0.5, .adaptive = adaptive, .eta = 0.2};
        const auto base = stores & 1 ? ascent_store<Cpu>({1, 9001}, 1) : AscentStore<float, Cpu>{};
        const auto late = stores & 2 ? ascent_store<Cpu>({members, length}, 3) : AscentStore<float, Cpu>{};
        const auto base_there = stores & 1 ? ascent_store<Cuda>({1, 9001}, 1) : AscentStore<float, Cuda>{};
        const auto late_there = stores & 2 ? ascent_store<Cuda>({members, length}, 3) : AscentStore<float, Cuda>{};
        const auto scale = ascent_scale(base, late, ascent);
        const auto scale_there = ascent_scale(base_there, late_there, ascent);
        // Sums in double; the norms, below 256, as float.
        CHECK(distance(ascent_norms(base_there, late_there, ascent), ascent_norms(base, late, ascent)) <=
              256 * epsilon<float>());
        const auto check = [&](const auto& here, const auto& there, std::int64_t first, std::int64_t rows) {
          const auto before = clone(here.weight);
          ascend_weights(here, scale.rows(first, rows), ascent);
          ascend_weights(there, scale_there.rows(first, rows), ascent);
          CHECK(distance(there.weight, here.weight) <= 8 * epsilon<float>());  // five roundings of values below 3
          CHECK(equal(there.kept, before));
          CHECK(equal(there.gradient, zeros<float, Cpu>(before.shape())));
        };
        if (stores & 1) check(base, base_there, 0, 1);
        if (stores & 2) check(late, late_there, 1, members);
      }
}

TEST_CASE("a step inside SAM replayed from its graph leaves the bits of one that is issued", "[gpu]") {
  cuda::settings().deterministic = true;
  SamTraining eager, graph;
  for (std::uint32_t step = 0; step < 6; ++step) {
    INFO("step " << step);
    eager.take(step, false);
    graph.take(step, true);
    const auto expected = eager.state(), found = graph.state();
    for (std::size_t i = 0; i < expected.size(); ++i) CHECK(same_bits(found[i], expected[i]));
  }
  CHECK(eager.issued == 6);
  CHECK(graph.issued == 3);  // one pass once; two passes issued once and captured once
  cuda::settings().deterministic = false;
}
