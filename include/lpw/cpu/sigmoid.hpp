// The logistic function and the hyperbolic tangent of gated cells, and softmax's exponential. For float they are plain arithmetic that
// compilers vectorise, which makes them many times faster than the C library's; double takes the library's.
#pragma once

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>

namespace lpw {

namespace detail {

/// exp(x) as power (1 + rest), to some 2 epsilon: x = n ln 2 + r, power = 2^n, rest = exp(r) - 1 by Taylor's series for |r| <= ln 2 / 2.
struct Exponential {
  float power, rest;

  /// |x| <= 87.
  explicit Exponential(float x) {
    constexpr float to_integer = 12582912.f;  // 1.5 2^23: adding it leaves the nearest integer in the low bits
    const float shifted = x * 1.44269504f + to_integer, n = shifted - to_integer;
    const float r = (x - n * 0.693359375f) + n * 2.12194440e-4f;  // ln 2 in two parts, of which the first times n is exact
    const float series = 1.f / 6 + r * (1.f / 24 + r * (1.f / 120 + r * (1.f / 720 + r * (1.f / 5040))));
    rest = r + r * r * (0.5f + r * series);
    power = std::bit_cast<float>((std::bit_cast<std::uint32_t>(shifted) - std::bit_cast<std::uint32_t>(to_integer) + 127u) << 23);
  }
};

/// |x|, but at most `limit`: of the bits, which are ordered like the numbers, since compilers make branches of a choice between floats.
[[nodiscard]] inline float magnitude(float x, float limit) {
  return std::bit_cast<float>(std::min(std::bit_cast<std::int32_t>(std::fabs(x)), std::bit_cast<std::int32_t>(limit)));
}

/// `value`, or NaN where x is NaN, which magnitude has lost.
[[nodiscard]] inline float with_nan_of(float x, float value) {
  const std::int32_t below =
      std::bit_cast<std::int32_t>(std::numeric_limits<float>::infinity()) - std::bit_cast<std::int32_t>(std::fabs(x));
  return std::bit_cast<float>(std::bit_cast<std::int32_t>(value) | ((below >> 31) & 0x7fc00000));
}

}  // namespace detail

/// 1 / (1 + exp(-x)).
[[nodiscard]] inline float sigmoid(float x) {
  const detail::Exponential e(-detail::magnitude(x, 87.f));
  const float small = e.power + e.power * e.rest;  // exp(-|x|)
  return detail::with_nan_of(x, (x < 0.f ? small : 1.f) / (1.f + small));
}
[[nodiscard]] inline double sigmoid(double x) { return 1 / (1 + std::exp(-x)); }

/// exp(x) for x <= 0. For float 0 below -87; normal numbers end soon after.
[[nodiscard]] inline float exp_of_negative(float x) {
  const detail::Exponential e(-detail::magnitude(x, 87.f));
  const std::int32_t above = std::bit_cast<std::int32_t>(std::fabs(x)) - std::bit_cast<std::int32_t>(87.f) - 1;
  const float value = std::bit_cast<float>(std::bit_cast<std::int32_t>(e.power + e.power * e.rest) & (above >> 31));
  return detail::with_nan_of(x, value);
}
[[nodiscard]] inline double exp_of_negative(double x) { return std::exp(x); }

/// tanh(x), to a small relative error near 0 too.
[[nodiscard]] inline float hyperbolic_tangent(float x) {
  const detail::Exponential e(-2.f * detail::magnitude(x, 10.f));  // tanh(10) rounds to 1
  const float minus = e.power * e.rest + (e.power - 1.f);          // exp(-2 |x|) - 1
  return detail::with_nan_of(x, std::copysign(minus / (minus + 2.f), x));
}
[[nodiscard]] inline double hyperbolic_tangent(double x) { return std::tanh(x); }

}  // namespace lpw
