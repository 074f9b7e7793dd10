// The plan of batch norm's launches on the GPUs it is made for.
#include <lpw/cuda/plans/batch_norm.hpp>

#include <set>
#include <string>

#include "catch.hpp"
#include "cuda/batch_norm_regimes.hpp"

using namespace lpw;
using namespace lpw::test;

namespace {

constexpr GpuLimits h100{132, 233472, 232448, 50 << 20}, h200{132, 233472, 232448, 60 << 20},
    a100{108, 167936, 166912, 40 << 20}, small{24, 102400, 101376, 24 << 20};
constexpr GpuLimits stand_in{4, 233472, 232448, 1 << 20};  // the GPU of tests/emulator/stand_in
constexpr BatchNormWork forward{.element_bytes = 2, .vector = 8, .read_twice = 1},
    backward{.element_bytes = 2, .vector = 8, .read_twice = 2};

/// The regime, and whether a group takes several items one after another.
[[nodiscard]] std::string kind_of(const BatchNormPlan& plan) {
  const auto& t = plan.tiling;
  const std::string regime = plan.regime == BatchNormRegime::block   ? "block"
                             : plan.regime == BatchNormRegime::group ? "group"
                             : t.group > 1                           ? "two sweeps in a group"
                                                                     : "two sweeps in a block";
  return t.items() > t.groups ? regime + ", several items" : regime;
}

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

TEST_CASE("the GPU's tests run batch norm in every regime, in every type, with one item a group and with more") {
  // Whatever GPU they run on: none of the cases' figures is above its own.
  for (const auto& gpu : {h100, h200, stand_in})
    for (const RegimeCase& c : regime_cases) CHECK(c.limits.within(gpu));
  const std::set<std::string> wanted{"block",
                                     "block, several items",
                                     "group",
                                     "group, several items",
                                     "two sweeps in a block",
                                     "two sweeps in a block, several items",
                                     "two sweeps in a group",
                                     "two sweeps in a group, several items"};
  for (const int resident_blocks : {2, 1})  // the lesser where the kernel's registers leave room for no more
    for (const int element_bytes : {4, 2})  // float; bfloat16 and half
      for (const auto direction : {Direction::forward, Direction::backward}) {
        CAPTURE(resident_blocks, element_bytes, int(direction));
        std::set<std::string> found;
        std::set<bool> vectors, streaming, above_48_kb, shorter_last_chunk;
        for (const RegimeCase& c : regime_cases) {
          const auto plan = regime_plan(c, element_bytes, direction, resident_blocks);
          const auto& t = plan.tiling;
          CAPTURE(c);
          CHECK(plan.launch.grid_x <= static_cast<unsigned>(c.limits.multiprocessors * resident_blocks));
          CHECK(static_cast<std::int64_t>(plan.launch.shared_bytes) <= c.limits.shared_per_block);
          found.insert(kind_of(plan));
          vectors.insert(t.vector > 1);
          streaming.insert(t.streaming);
          above_48_kb.insert(plan.launch.shared_bytes > 48 << 10);
          if (t.group > 1) shorter_last_chunk.insert(t.rows % t.chunk != 0);
        }
        CHECK(found == wanted);
        for (const auto& both : {vectors, streaming, above_48_kb}) CHECK(both.size() == 2);
        CHECK(shorter_last_chunk.contains(true));
      }
}

TEST_CASE("the GPU's test of a large layer fills the GPU, in two sweeps, item after item") {
  for (const auto& gpu : {h100, h200})
    for (const int element_bytes : {4, 2})
      for (const auto direction : {Direction::forward, Direction::backward}) {
        const RegimeCase c{large_members, large_rows, large_channels, gpu};
        const auto plan = regime_plan(c, element_bytes, direction);
        CHECK(kind_of(plan) == "two sweeps in a group, several items");
        CHECK(plan.launch.grid_x > 240);
        CHECK(plan.launch.shared_bytes > 100 << 10);
      }
}

TEST_CASE("the carve-out holds the blocks that are to be resident, and no more than there is") {
  CHECK(shared_carveout(h100, 0, 8) == 4);            // 8 KB that the system takes
  CHECK(shared_carveout(h100, 113 << 10, 2) == 100);  // two blocks of batch norm
  CHECK(shared_carveout(h100, 113 << 10, 1) == 50);
  CHECK(shared_carveout(h100, (32 << 10) + 48, 7) == 100);  // softmax: 231.3 KB would be too much
  CHECK(shared_carveout(h100, 227 << 10, 8) == 100);
}
