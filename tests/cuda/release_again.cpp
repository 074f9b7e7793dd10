// Release, collapse and release again on both devices: starts of rank-1 factors, momentum, Adam's moments, averages.
#include "cuda/support.hpp"

#include <lpw/autograd/cross_entropy.hpp>
#include <lpw/late_phase/collapse.hpp>
#include <lpw/optim/adam.hpp>
#include <lpw/optim/weight_average.hpp>

#include "train/toy.hpp"

using namespace lpw;
using namespace lpw::test;

namespace {

/// A network with what follows it.
template <class D>
struct Followed {
  Toy<D> network;
  optim::Adam<float, D> optimizer{network, {.learning_rate = 0.01, .epsilon = 1e-4}};
  optim::WeightAverage<float, D> average{network};

  void iterate(std::uint32_t step) {
    const std::int64_t members = nn::members(network);
    Tensor<std::int32_t, Cpu> labels({members, 5});
    for (std::int64_t i = 0; i < labels.size(); ++i) labels.data()[i] = static_cast<std::int32_t>((i + step) % 4);
    Tape tape;
    tape.backward(
        cross_entropy(network.forward(tape.input(to_device<D>(random_tensor<float>({members, 5, 4, 4, 3}, 10 + step)))),
                      to_device<D>(labels)));
    optimizer.step();
    average.update();
  }
  void release_members(const ReleaseOptions& options) {
    Followers followers(optimizer, average);
    release(network, followers, options);
  }
  void collapse_members() {
    Followers followers(optimizer, average);
    collapse(network, followers);
  }
  /// Weights, statistics, both moments and the average, one after another.
  [[nodiscard]] std::vector<double> state() {
    const auto flat = nn::flatten(network);
    std::vector<double> all;
    const auto add = [&](const Tensor<float, D>& tensor) {
      const auto values = values_of(to_host(tensor));
      all.insert(all.end(), values.begin(), values.end());
    };
    add(flat->value.base), add(flat->value.late), add(flat->buffers);
    for (auto& named : optimizer.states()) add(named.pair.base), add(named.pair.late);
    add(average.average().base), add(average.average().late);
    return all;
  }
};

}  // namespace

TEST_CASE("members are released, collapsed and released again the same way on GPU and CPU", "[gpu]") {
  for (const auto momentum : {ReleaseMomentum::carry, ReleaseMomentum::zero}) {
    const ReleaseOptions options{.members = 3,
                                 .late = Group::rank_one | Group::batch_norm,
                                 .sigma = 0.1,
                                 .random = Philox(3),
                                 .rank_one_start = {RankOneStart::Kind::normal, 0.1},
                                 .momentum = momentum};
    Followed<Cpu> cpu;
    Followed<Cuda> gpu;
    const auto compare = [&](double most) { CHECK(largest_difference(cpu.state(), gpu.state()) < most); };
    for (std::uint32_t round = 0; round < 2; ++round) {
      cpu.iterate(3 * round), gpu.iterate(3 * round);
      cpu.release_members(options), gpu.release_members(options);
      cpu.iterate(3 * round + 1), gpu.iterate(3 * round + 1);
      // Steps of at most 0.01, of gradients around 1e-2 that differ by some hundred roundings, 1e-5 of them.
      compare(1e-4);
      cpu.collapse_members(), gpu.collapse_members();
      compare(1e-4);
    }
    CHECK(cpu.optimizer.steps() == gpu.optimizer.steps());
  }
}

TEST_CASE("rank-1 factors start with the same bits on GPU and CPU", "[gpu]") {
  for (const auto kind : {RankOneStart::Kind::signs, RankOneStart::Kind::normal}) {
    Toy<Cpu> cpu;
    Toy<Cuda> gpu;
    const ReleaseOptions options{
        .members = 3, .late = Group::rank_one, .random = Philox(3), .rank_one_start = {kind, 0.3}};
    release(cpu, options);
    release(gpu, options);
    const auto started = to_host(nn::flatten(gpu)->value.late);
    CHECK(values_of(started) == values_of(nn::flatten(cpu)->value.late));
    CHECK(values_of(started) != std::vector<double>(values_of(started).size(), 1.0));
  }
}
