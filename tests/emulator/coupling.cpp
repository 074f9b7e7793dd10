#include "emulator/kernel_check.hpp"

#include <lpw/kernels/coupling.cuh>

#include <lpw/cpu/coupling.hpp>

#include "support/coupling.hpp"

using namespace lpw;
using namespace lpw::test;

namespace {

/// body(rows, width) for rows [K, P] of odd and even lengths, packed and apart, and every width that they allow.
template <class Body>
void with_rows(const Body& body) {
  for (const std::int64_t members : {2, 3, 10})
    for (const std::int64_t length : {1, 3, 17, 64, 2052})
      for (const bool strided : {false, true})
        with_widths<float>(!strided && length % 4 == 0, [&](auto width) {
          INFO("members " << members << " length " << length << " strided " << strided << " width " << width);
          body(random_parameter<float>({members, length}, strided, 1), width);
        });
}

}  // namespace

TEST_CASE("the kernel pull_to_mean pulls as the CPU does, exactly at its ends", "[members]") {
  with_rows([](Tensor<float, Cpu> rows, auto width) {
    for (const float strength : {0.f, 0.25f, 1.f}) {
      const std::int64_t members = rows.dim(0), length = rows.dim(1);
      auto found = random_parameter<float>(rows.shape(), !rows.contiguous(), 1), expected = clone(rows);
      pull_to_mean(expected, strength);
      const kernels::PullToMean p{found.data(), found.row_stride(), int(members), length, strength};
      const auto kernel = [&] { kernels::pull_to_mean<width()>(p); };
      CHECK(same_on_any_order<4>(small_plan(length / width), kernel, found));
      CHECK(distance(found, expected) <= 4 * epsilon<float>());  // ten differences below 2, over ten
      CHECK(gaps_untouched(found));
      if (strength == 0) CHECK(same_bits(found, rows));
      if (strength == 1)
        for (std::int64_t k = 1; k < members; ++k) CHECK(same_bits(found.rows(k, 1), found.rows(0, 1)));
      if (strength == 1) {  // they are equal now
        const auto equal = clone(found);
        const kernels::PullToMean again{found.data(), found.row_stride(), int(members), length, 0.3f};
        CHECK(same_on_any_order<2>(
            small_plan(length / width), [&] { kernels::pull_to_mean<width()>(again); }, found));
        CHECK(same_bits(found, equal));
      }
    }
  });
}

TEST_CASE("the kernel pull_to_centre pulls rows and centre as the CPU does", "[members]") {
  with_rows([](Tensor<float, Cpu> rows, auto width) {
    const std::int64_t members = rows.dim(0), length = rows.dim(1);
    auto expected = clone(rows), centre = random_tensor<float>({1, length}, 2), expected_centre = clone(centre);
    pull_to_centre(expected, expected_centre, 0.09);
    const kernels::PullToCentre p{rows.data(), centre.data(), rows.row_stride(), int(members), length, 0.09f};
    CHECK(same_on_any_order<4>(
        small_plan(length / width), [&] { kernels::pull_to_centre<width()>(p); }, rows, centre));
    CHECK(distance(rows, expected) <= 4 * epsilon<float>());
    CHECK(distance(centre, expected_centre) <= 8 * epsilon<float>());  // ten differences below 2
    CHECK(gaps_untouched(rows));
  });
}

TEST_CASE("the kernel swap_members permutes the CPU's coordinates in the CPU's ways", "[members]") {
  for (const std::int64_t members : {2, 3, 4, 5, 10})
    for (const std::int64_t length : {1, 17, 2052})
      for (const bool strided : {false, true})
        for (const float share : {0.f, 0.05f, 1.f}) {
          INFO("members " << members << " length " << length << " strided " << strided << " share " << share);
          auto rows = random_parameter<float>({members, length}, strided, 1);
          const Philox random(3, Stream::swap, 17);
          const auto expected = swapped(rows, share, random);
          const kernels::SwapMembers<float> p{rows.data(), rows.row_stride(), int(members), length, share, random};
          CHECK(same_on_any_order<4>(
              small_plan(length), [&] { kernels::swap_members(p); }, rows));
          CHECK(same_bits(rows, expected));
          CHECK(gaps_untouched(rows));
        }
}
