// exp, log and the normal distribution of any float, NaN, infinities and denormal numbers too: plain arithmetic without
// branches, which compilers vectorise for whatever instructions there are, as that of sigmoid.hpp; double takes the C
// library's. tests/cpu/transcendental.cpp states how far off they are.
#pragma once

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>

#include <lpw/cpu/base/sigmoid.hpp>
#include <lpw/tensor/float_bits.hpp>

namespace lpw::inline LPW_ABI {

namespace detail {

inline constexpr float ln2_high = 0.693359375f, ln2_low = 2.12194440e-4f;  // ln 2 is their difference; 355 / 512

/// 2^n for -126 <= n <= 127.
[[nodiscard]] inline float power_of_two(std::int32_t n) { return std::bit_cast<float>((n + 127) << 23); }

/// a where the mask is of ones, b where it is of zeros.
[[nodiscard]] inline std::int32_t chosen(std::int32_t mask, std::int32_t a, std::int32_t b) {
  return (a & mask) | (b & ~mask);
}

/// f(x) of what f(-|x|) is, where f(x) = 1 - f(-x).
[[nodiscard]] inline float mirrored(float x, float below) {
  const std::int32_t negative = bits_of(x) >> 31;
  const float one = of_bits<float>(bits_of(1.f) & ~negative);
  return one + of_bits<float>(bits_of(below) ^ (~negative & std::int32_t(-0x7fffffff - 1)));
}

/// exp(x) for |x| <= 113: 2^n exp(r), the exponential of |r| <= ln 2 / 2 by Taylor's series. 2^n is multiplied in two
/// parts, since n goes beyond its exponents at both ends. (Where GCC 12 vectorises, it forgets what in_order() asks
/// for; bits, to which something may happen, it leaves where they are.)
[[nodiscard]] inline float exponential_within(float x) {
  LPW_KEEP_ORDER
  const auto n = static_cast<std::int32_t>(x * 1.44269504f + std::copysign(0.5f, x));  // the nearest
  const auto count = static_cast<float>(n);
  const std::int32_t all = (magnitude_bits(x) - bits_of(256.f)) >> 31;
  const float r = of_bits<float>(bits_of(x - count * ln2_high) & all) + count * ln2_low;
  const float series = 1.f / 6 + r * (1.f / 24 + r * (1.f / 120 + r * (1.f / 720 + r * (1.f / 5040))));
  const float value = 1.f + (r + r * r * (0.5f + r * series));
  const std::int32_t half = n >> 1;
  return of_bits<float>(bits_of(value) + (half << 23)) * power_of_two(n - half);
}

/// exp(-x^2 / 2) and Phi(-|x|) / exp(-x^2 / 2), the scaled tail, for |x| <= 15. The square is taken in two parts, of
/// which the first is exact, for the error of a power is that of its exponent, as it is. The tail times 1 + |x| is a
/// polynomial in
/// (|x| - 4) / (|x| + 4), of Chebyshev's coefficients, to half an epsilon.
struct NormalTail {
  float density, scaled;

  explicit NormalTail(float x) {
    LPW_KEEP_ORDER
    const float a = magnitude(x, 15.f), high = of_bits<float>((bits_of(a) + 0x800) & ~0xfff),
                rest = -0.5f * ((a - high) * (a + high));  // at most 0.06
    density = exponential_within(-0.5f * (high * high)) *
              (1.f + rest * (1.f + rest * (0.5f + rest * (1.f / 6 + rest * (1.f / 24)))));
    const float t = (a - 4.f) / (a + 4.f);
    const float lower =
        2.859809622e-2f +
        t * (-3.218358383e-2f +
             t * (1.796270907e-2f +
                  t * (-5.058413371e-3f + t * (-4.070937575e-4f + t * (7.364361081e-4f + t * 9.590229456e-5f)))));
    scaled = (4.720532298e-1f + t * (-9.670341760e-2f + t * (1.399855129e-2f + t * lower))) / (1.f + a);
  }
};

}  // namespace detail

/// exp(x).
[[nodiscard]] inline float exponential(float x) {
  return detail::with_nan_of(x, detail::exponential_within(std::copysign(detail::magnitude(x, 104.f), x)));
}
[[nodiscard]] inline double exponential(double x) { return std::exp(x); }

/// log(x): -infinity at 0, NaN below. x = 2^k m with m in [1/sqrt 2, sqrt 2), and log(m) = 2 atanh(s), s = (m - 1) /
/// (m + 1), by its series, arranged around m - 1, which is exact.
[[nodiscard]] inline float logarithm(float x) {
  LPW_KEEP_ORDER
  constexpr std::int32_t root = 0x3f3504f3, quiet = 0x7fc00000;  // the bits of 1 / sqrt 2, and of NaN
  const std::int32_t bits = detail::bits_of(x), size = detail::magnitude_bits(x);
  const std::int32_t denormal = (size - 0x00800000) >> 31;  // all bits, or none
  const std::int32_t scaled =
      detail::bits_of(detail::of_bits<float>(size) * detail::power_of_two(denormal & 23)) - root;
  const float f = detail::of_bits<float>((scaled & 0x7fffff) + root) - 1.f,
              k = static_cast<float>((scaled >> 23) - (denormal & 23));
  const float s = f / (2.f + f), z = s * s, half = 0.5f * f * f;
  const float series = z * (2.f / 3 + z * (2.f / 5 + z * (2.f / 7 + z * (2.f / 9))));
  const float small = detail::in_order(half - (s * (half + series) - k * detail::ln2_low));
  std::int32_t result = detail::bits_of(k * detail::ln2_high + detail::in_order(f - small));
  result = detail::chosen((detail::FloatBits<float>::infinity - 1 - size) >> 31, size, result);  // infinity and NaN
  result = detail::chosen(bits >> 31, quiet, result);
  return detail::of_bits<float>(detail::chosen((size - 1) >> 31, detail::negative_infinity_bits<float>, result));
}
[[nodiscard]] inline double logarithm(double x) { return std::log(x); }

/// The standard normal distribution, Phi(x), of small relative error on the left too.
[[nodiscard]] inline float normal_distribution(float x) {
  const detail::NormalTail tail(x);
  const float below = tail.density * tail.scaled;
  return detail::with_nan_of(x, detail::mirrored(x, below));
}
[[nodiscard]] inline double normal_distribution(double x) { return 0.5 * std::erfc(x * -0.7071067811865476); }

/// Phi(x) + x phi(x), the derivative of x Phi(x). phi is its density.
[[nodiscard]] inline float normal_slope(float x) {
  const detail::NormalTail tail(x);
  const float below = tail.density * (tail.scaled - 0.398942280f * detail::magnitude(x, 15.f));  // 1 / sqrt(2 pi)
  return detail::with_nan_of(x, detail::mirrored(x, below));
}
[[nodiscard]] inline double normal_slope(double x) {
  return normal_distribution(x) + x * 0.3989422804014327 * std::exp(-0.5 * x * x);
}

}  // namespace lpw::inline LPW_ABI
