// Averages over time on the GPU: the CPU's, of the same weights, across a release.
#include "cuda/support.hpp"

#include <memory>
#include <vector>

#include <lpw/late_phase/release.hpp>
#include <lpw/models/wide_resnet.hpp>
#include <lpw/optim/averages/make_average.hpp>

using namespace lpw;
using namespace lpw::test;

namespace {

/// A network whose weights are drawn for each step, and one average of it.
template <class D>
struct AveragedWalk {
  nn::WideResNet<float, D> network{{.depth = 10, .widen = 1, .classes = 5}, Philox(7)};
  std::unique_ptr<optim::Average<float, D>> average;

  explicit AveragedWalk(const optim::AverageOptions& options) : average(optim::make_average(network, options)) {}

  void step(std::uint32_t draw) {
    auto& value = nn::flatten(network)->value;
    copy(to_device<D>(random_tensor<float>(value.base.shape(), 2 * draw)), value.base);
    copy(to_device<D>(random_tensor<float>(value.late.shape(), 2 * draw + 1)), value.late);
    average->update();
  }
  void release_members(Group groups) { release(network, *average, {.members = 3, .late = groups}); }
};

}  // namespace

TEST_CASE("averages over time on the GPU are the CPU's", "[gpu]") {
  for (const optim::AverageOptions& options :
       std::vector<optim::AverageOptions>{optim::SwaOptions(), optim::EmaOptions{.decay = 0.8, .late_decay = 0.5},
                                          optim::EmaOptions{.decay = 0}, optim::LatestOptions{3}})
    for (const Group groups : {Group::batch_norm | Group::head, Group::rank_one}) {
      INFO("average " << options.index());
      AveragedWalk<Cpu> cpu(options);
      AveragedWalk<Cuda> gpu(options);
      for (std::uint32_t draw = 0; draw < 8; ++draw) {
        if (draw == 3) cpu.release_members(groups), gpu.release_members(groups);
        cpu.step(draw);
        gpu.step(draw);
        const auto expected = cpu.average->average();
        const auto found = gpu.average->average();
        // Eight updates of weights below 1, of which the GPU may round a product with its sum.
        CHECK(distance(found.base, expected.base) <= 8 * epsilon<float>());
        CHECK(distance(found.late, expected.late) <= 8 * epsilon<float>());
      }
      gpu.average->apply(gpu.network);
      const auto& value = nn::flatten(gpu.network)->value;
      CHECK(same_bits(to_host(value.base), to_host(gpu.average->average().base)));
      CHECK(same_bits(to_host(value.late), to_host(gpu.average->average().late)));
      CHECK(nn::statistics_stale(gpu.network));
    }
}
