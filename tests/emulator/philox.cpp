#include "emulator/kernel_check.hpp"

#include <lpw/kernels/philox.cuh>

using namespace lpw;
using namespace lpw::test;

TEST_CASE("the kernels' normal numbers are Philox::normal's", "[philox]") {
  const Philox random(3, Stream::test);
  Worst worst;
  for (std::uint64_t i = 0; i < 200000; ++i)
    worst.add(static_cast<std::int64_t>(i), double(kernels::normal(random(i))), random.normal(i));
  CHECK(worst < 2e-6);  // values up to 5, of some ten roundings
  // The ends of both words' ranges: log(u) for u at 2^-32, near 1/2 and at 1, and angles about every eighth of a turn.
  worst = {};
  for (const std::uint32_t first :
       {0u, 1u, 2u, 0x7fffffffu, 0x80000000u, 0x80000001u, 0xffffff00u, 0xfffffffeu, 0xffffffffu})
    for (std::uint32_t eighth = 0; eighth < 8; ++eighth)
      for (std::uint32_t offset = 0; offset < 7; ++offset) {
        const std::uint32_t second = eighth * 0x20000000u + offset - 3;
        const double u = (first + 1.0) * 0x1p-32,
                     expected = std::sqrt(-2 * std::log(u)) * std::cos(2 * std::numbers::pi * second * 0x1p-32);
        worst.add(second, double(kernels::normal({first, second, 0, 0})), expected);
      }
  CHECK(worst < 2e-6);
}
