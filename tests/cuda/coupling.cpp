#include "cuda/operands.hpp"

#include <lpw/cpu/coupling.hpp>

using namespace lpw;
using namespace lpw::test;

TEST_CASE("members on the GPU pull on each other as on the CPU", "[gpu]") {
  for (const std::int64_t members : {2, 10})
    for (const std::int64_t length : {1, 17, 64, 1028})
      for (const bool strided : {false, true}) {
        INFO("members " << members << " length " << length << " strided " << strided);
        auto rows = random_parameter<float>({members, length}, strided, 1),
             centre = random_tensor<float>({1, length}, 2);
        const auto found = on_device(rows), found_centre = on_device(centre);
        for (const double strength : {0.25, 0.01}) {
          pull_to_mean(rows, strength);
          pull_to_mean(found, strength);
          pull_to_centre(rows, centre, strength / 10);
          pull_to_centre(found, found_centre, strength / 10);
        }
        // Four operations of some roundings each, of values below 2 and ten differences of them.
        CHECK(distance(found, rows) <= 16 * epsilon<float>());
        CHECK(distance(found_centre, centre) <= 16 * epsilon<float>());
        pull_to_mean(found, 1);
        for (std::int64_t k = 1; k < members; ++k) CHECK(equal(found.rows(k, 1), to_host(found.rows(0, 1))));
        CHECK(gaps_untouched(found));
      }
  CHECK_THROWS_AS(pull_to_centre(zeros<float, Cuda>({2, 5}), zeros<float, Cuda>({1, 4}), 0.1), ShapeError);
}

TEST_CASE("swaps on the GPU are the CPU's to the bit", "[gpu]") {
  for (const std::int64_t members : {2, 3, 10})
    for (const std::int64_t length : {1, 17, 5003})
      for (const bool strided : {false, true})
        for (const double share : {0.0, 0.05, 1.0}) {
          INFO("members " << members << " length " << length << " strided " << strided << " share " << share);
          auto rows = random_parameter<float>({members, length}, strided, 1);
          const auto found = on_device(rows);
          swap_members(rows, share, Philox(3, Stream::swap, 17));
          swap_members(found, share, Philox(3, Stream::swap, 17));
          CHECK(same_bits(to_host(found), rows));
          CHECK(gaps_untouched(found));
        }
}
