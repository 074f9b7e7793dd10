// The plan of batch norm's launches on the GPUs it is made for.
#include <lpw/cuda/plans/batch_norm.hpp>

#include "catch.hpp"

using namespace lpw;

namespace {

constexpr GpuLimits h100{132, 233472, 232448, 50 << 20}, a100{108, 167936, 166912, 40 << 20},
    small{24, 102400, 101376, 24 << 20};
constexpr BatchNormWork forward{.element_bytes = 2, .vector = 8, .read_twice = 1},
    backward{.element_bytes = 2, .vector = 8, .read_twice = 2};

}  // namespace

TEST_CASE("a plan covers every row and channel once, within the GPU's limits") {
  for (const auto& gpu : {h100, a100, small})
    for (const int element_bytes : {2, 4})
      for (const int read_twice : {0, 1, 2})
        for (const std::int64_t members : {1, 3, 10, 64})
          for (const std::int64_t channels : {1, 3, 8, 10, 16, 40, 64, 160, 264, 640, 1000, 2048})
            for (const std::int64_t rows : {1, 2, 50, 128, 1000, 8192, 131072, 10000000}) {
              const int widest = 16 / element_bytes, vector = channels % widest == 0 ? widest : 1;
              const auto plan =
                  plan_batch_norm(gpu, members, rows, channels, {element_bytes, vector, read_twice, read_twice > 0});
              const auto& t = plan.tiling;
              bool good =
                  std::int64_t{t.slabs} * t.width() >= channels && std::int64_t{t.slabs - 1} * t.width() < channels;
              good = good && std::int64_t{t.group} * t.chunk >= rows && std::int64_t{t.group - 1} * t.chunk < rows;
              good = good && t.pass() >= 1 && t.groups >= 1 && t.groups <= t.items() &&
                     plan.launch.grid_x == unsigned(t.group * t.groups);
              good = good && plan.launch.grid_x <= unsigned(gpu.multiprocessors * kernels::member_blocks);
              good = good && std::int64_t(plan.launch.shared_bytes) <= gpu.shared_per_block;
              good = good && kernels::member_blocks * (std::int64_t(plan.launch.shared_bytes) + 1024) <=
                                 gpu.shared_per_multiprocessor;
              good = good && plan.launch.cooperative == (t.group > 1 && read_twice > 0) &&
                     (t.lanes & (t.lanes - 1)) == 0 && t.lanes <= 32;
              CAPTURE(gpu.multiprocessors, element_bytes, read_twice, members, rows, channels);
              if (!good) CHECK(good);
            }
}

TEST_CASE("one member of 16 channels fills the machine") {
  const auto plan = plan_batch_norm(h100, 1, 128 * 32 * 32, 16, forward);
  CHECK(plan.launch.grid_x > 240);
  CHECK(plan.regime == BatchNormRegime::group);
  CHECK(plan.tiling.slab == 2);
}

TEST_CASE("the regimes on an H100") {
  CHECK(plan_batch_norm(h100, 64, 64, 1024, forward).regime == BatchNormRegime::block);  // 32 KB an item
  CHECK(plan_batch_norm(h100, 1, 128 * 16 * 16, 320, forward).regime ==
        BatchNormRegime::group);  // 21 MB in one group of slabs
  CHECK(plan_batch_norm(h100, 10, 128 * 32 * 32, 160, forward).regime ==
        BatchNormRegime::two_sweeps);  // 42 MB a member
  CHECK(plan_batch_norm(h100, 1, 128 * 16 * 16, 320, backward).regime == BatchNormRegime::two_sweeps);  // twice 21 MB
  CHECK(plan_batch_norm(h100, 10, 128 * 32 * 32, 160, forward).tiling.groups ==
        1);  // one member at a time, for L2's sake
}

TEST_CASE("the plan can be made at compile time") {
  constexpr auto plan = plan_batch_norm(h100, 10, 8192, 640, forward);
  STATIC_REQUIRE(plan.launch.grid_x > 200);
}
