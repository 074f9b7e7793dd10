#include <lpw/cuda/plans/launch.hpp>
#include <lpw/cuda/plans/softmax_cross_entropy.hpp>

#include <lpw/tensor/dtype.hpp>

#include "catch.hpp"

using namespace lpw;

TEST_CASE("vector_width is 16 bytes only where length and every address allow it") {
  alignas(16) float memory[8] = {};
  CHECK(vector_width<float>(8, {memory, memory + 4}) == 4);
  CHECK(vector_width<float>(8, {memory, memory + 1}) == 1);
  CHECK(vector_width<float>(6, {memory}) == 1);
  CHECK(vector_width<bfloat16>(16, {memory}) == 8);
  CHECK(vector_width<half>(12, {memory}) == 1);
  CHECK(vector_width<float>(4, {memory, nullptr}) == 4);  // an array that is not there
}

TEST_CASE("plan_elements gives a thread to each vector, up to what is resident") {
  CHECK(plan_elements(132, 0, 1, 4).grid_x == 1);
  CHECK(plan_elements(132, 257, 1, 4).grid_x == 2);
  for (const int blocks : {2, 3, 4})
    CHECK(plan_elements(132, std::int64_t{1} << 40, 1, blocks).grid_x == 132u * static_cast<unsigned>(blocks));
  const auto rows = plan_elements(132, 1 << 20, 10, 4);
  CHECK(rows.grid_y == 10);
  CHECK(rows.grid_x == 53);
  CHECK(plan_elements(132, 1, 1 << 20, 4).grid_y == 65535);  // the hardware's limit: kernels loop over the rest
}

TEST_CASE("plan_member_rows covers every row and channel once and fills the machine") {
  for (const std::int64_t members : {1, 3, 10, 1280})
    for (const std::int64_t rows : {1, 7, 64, 1000, 131072})
      for (const std::int64_t channels : {1, 3, 16, 17, 64, 640, 2056})
        for (const int vector : {1, 4, 8}) {
          if (channels % vector) continue;
          const auto [tiling, launch] = plan_member_rows(members, rows, channels, vector, true);
          INFO("members " << members << " rows " << rows << " channels " << channels << " vector " << vector << " slab "
                          << tiling.slab << " group " << tiling.group << " chunk " << tiling.chunk);
          CHECK(std::int64_t{tiling.group} * tiling.chunk >= rows);
          CHECK(tiling.rows_of(tiling.group - 1) >= 1);
          CHECK(tiling.slabs * tiling.width() >= channels);
          CHECK((tiling.slabs - 1) * tiling.width() < channels);
          CHECK(tiling.pass() * tiling.slab >= int(LaunchPlan::block) * 4 / 5 - tiling.slab * (tiling.slabs == 1));
          CHECK(launch.grid_x == static_cast<unsigned>(members * tiling.slabs * tiling.group));
          CHECK(launch.shared_bytes <= 48 << 10);  // no opt-in needed
        }
  CHECK(plan_member_rows(1, 128 * 32 * 32, 16, 8, true).launch.grid_x >= 132);
  CHECK(plan_member_rows(1, 128 * 8 * 8, 64, 8, true).launch.grid_x >= 64);
}

TEST_CASE("plan_softmax keeps rows resident and stays below 48 KB") {
  for (const std::int64_t classes : {2, 10, 100, 205, 1000, 1024, 1025, 8192, 50257}) {
    INFO("classes " << classes);
    const auto plan = plan_softmax(132, 1280, classes);
    CHECK(plan.launch.shared_bytes <= 48 << 10);
    CHECK(plan.resident % 8 == 0);
    CHECK((plan.resident >= classes || classes > 8192));
    CHECK(plan.block_per_row == (classes > 1024));
    CHECK(plan.launch.grid_x == (plan.block_per_row ? 528u : 160u));
  }
}
