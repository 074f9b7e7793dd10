// Members over processes whose GPUs sum by NCCL, as one process of two sees it: the other one has a member with the
// same weights, and the same minibatches.
#define LPW_WITH_NCCL 1
#include <lpw/distributed/members.hpp>
#include <lpw/distributed/nccl.hpp>

#include <lpw/autograd/cross_entropy.hpp>
#include <lpw/optim/sgd.hpp>
#include <lpw/tensor/replay.hpp>

#include <algorithm>
#include <array>
#include <vector>

#include "cuda/support.hpp"
#include "support/errors.hpp"
#include "train/toy.hpp"

using namespace lpw;
using namespace lpw::test;

namespace {

/// Process 0 of two that have the same.
struct OneOfTwo : distributed::SingleProcess {
  [[nodiscard]] int size() const { return 2; }
  template <class W>
  void sum(std::span<W> values) const {
    for (W& value : values) value *= 2;
  }
  void gather(std::span<const std::byte> own, std::span<std::byte> all) const {
    std::copy(own.begin(), own.end(), all.begin());
    std::copy(own.begin(), own.end(), all.begin() + std::ssize(own));
  }
};

/// All members of a toy, and the optimizer that steps them, after steps that are issued, captured and replayed.
template <class M>
std::vector<Tensor<float, Cpu>> after_steps(M&& members, std::uint32_t steps) {
  Toy<Cuda> network;
  optim::Sgd optimizer(network, {.learning_rate = 0.1, .momentum = 0.9});
  members.release(network, optimizer, {.members = 2, .late = Group::batch_norm});
  const auto x = random_tensor<float>({1, 6, 4, 4, 3}, 4);
  Tensor<float, Cpu> inputs(x.shape().with(0, members.count));
  Tensor<std::int32_t, Cpu> labels({members.count, 6});
  for (std::int64_t k = 0; k < members.count; ++k) {
    std::copy_n(x.data(), x.size(), inputs.row(k));
    for (std::int32_t i = 0; i < 6; ++i) labels.row(k)[i] = i % 4;
  }
  const auto images = on_device(inputs);
  const auto classes = to_device<Cuda>(labels);
  Replay<Cuda> replay;
  for (std::uint32_t step = 0; step < steps; ++step) {
    optimizer.advance(1, 1);
    replay.run("step", step, [&](std::uint32_t) {
      Tape tape(members.pass(network, images));
      tape.backward(cross_entropy(network.forward(tape.input(images)), classes));
      members.sum_gradients(network);
      optimizer.apply();
    });
  }
  const auto flat = nn::flatten(network);
  return {to_host(flat->value.base), to_host(flat->value.late.rows(0, 1)), to_host(optimizer.velocity().base)};
}

struct BothHere {
  std::int64_t count = 2;
  void release(Toy<Cuda>& network, auto& optimizer, const ReleaseOptions& options) const {
    lpw::release(network, optimizer, options);
  }
  [[nodiscard]] TapeOptions pass(Toy<Cuda>&, const Tensor<float, Cuda>&) const { return {}; }
  void sum_gradients(Toy<Cuda>&) const {}
};

struct OneHere : distributed::Members<distributed::Nccl<OneOfTwo>> {
  using Members::Members;
  std::int64_t count = 1;
};

}  // namespace

TEST_CASE("members over processes sum on their GPUs, within a step that is captured") {
  auto& others = emulator::Others::instance();
  others = {.times = 2};
  OneOfTwo processes;
  {
    distributed::Nccl<OneOfTwo> gpus(processes);
    CHECK(others.open == 1);
    const auto found = after_steps(OneHere(gpus), 5);
    CHECK(others.summed == 5);
    CHECK(others.asked == 2);  // once issued, once captured
    const auto expected = after_steps(BothHere(), 5);
    // Two members' gradients are added up within a product there, and as floats here: some eps = 6e-8 a step.
    for (std::size_t i = 0; i < found.size(); ++i) CHECK(distance(found[i], expected[i]) < 1e-5);

    auto doubles = to_device<Cuda>(full<double, Cpu>({3}, 1.5));
    gpus.sum_on_device(doubles);
    CHECK(to_host(doubles).data()[2] == 3);
    std::array<double, 1> host{4};
    gpus.sum(std::span<double>(host));  // by the processes' own
    CHECK(host[0] == 8);
  }
  CHECK(others.open == 0);

  struct Alone : OneOfTwo {
    [[nodiscard]] int rank() const { return 1; }  // whom nobody tells the identity
  } alone;
  CHECK(contains(message_of<CudaError>([&] { distributed::Nccl<Alone> gpus(alone); }),
                 "ncclCommInitRank: invalid argument"));
}
