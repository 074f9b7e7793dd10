// Draws from the bits of a Philox block that need more than integer arithmetic, in float. Uniform numbers are
// Philox::to_uniform's.
#pragma once

#include <cmath>

#include <lpw/kernels/device.cuh>
#include <lpw/tensor/philox.hpp>

namespace lpw::inline LPW_ABI::kernels {

namespace detail {

/// cos(2 pi x / 2^32), to 1e-7: exact reduction of the integer to an eighth of a turn, then Taylor's series.
[[nodiscard]] __device__ __forceinline__ float cos_of_turn(std::uint32_t x) {
  const std::uint32_t half_turn = 0x80000000u;
  const std::uint32_t folded = x > half_turn ? 0u - x : x;  // cos is even: [0, 2^31]
  const bool negative = folded > half_turn / 2;
  const std::uint32_t quarter = negative ? half_turn - folded : folded;  // [0, 2^30]
  const bool as_sine = quarter > half_turn / 4;
  const std::uint32_t eighth = as_sine ? half_turn / 2 - quarter : quarter;                    // [0, 2^29]
  const float angle = static_cast<float>(eighth) * 1.4629180792671596e-9f, z = angle * angle;  // 2 pi / 2^32
  const float cosine = 1.f + z * (-1.f / 2 + z * (1.f / 24 + z * (-1.f / 720 + z * (1.f / 40320))));
  const float sine = angle * (1.f + z * (-1.f / 6 + z * (1.f / 120 + z * (-1.f / 5040 + z * (1.f / 362880)))));
  const float value = as_sine ? sine : cosine;
  return negative ? -value : value;
}

}  // namespace detail

/// Philox::normal in float, to some 1e-6: Box and Muller from the first two words. log(u) near u = 1 is formed from 1 -
/// u, which is exact.
[[nodiscard]] __device__ __forceinline__ float normal(const Philox::Block& bits) {
  const float logarithm = bits[0] < 0x80000000u ? logf((static_cast<float>(bits[0]) + 1.f) * 0x1p-32f)
                                                : log1pf(-static_cast<float>(0xffffffffu - bits[0]) * 0x1p-32f);
  return sqrtf(-2.f * logarithm) * detail::cos_of_turn(bits[1]);
}

}  // namespace lpw::inline LPW_ABI::kernels
