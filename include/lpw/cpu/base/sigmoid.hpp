// The logistic function and the hyperbolic tangent of gated cells, and softmax's exponential. For float they are plain
// arithmetic that compilers vectorise, which makes them many times faster than the C library's; double takes the
// library's.
#pragma once

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>

#include <lpw/tensor/float_bits.hpp>

namespace lpw::inline LPW_ABI {

namespace detail {

/// exp(x) as power (1 + rest), to some 2 epsilon: x = n ln 2 + r, power = 2^n, rest = exp(r) - 1 by Taylor's series for
/// |r| <= ln 2 / 2.
struct Exponential {
  float power, rest;

  /// -88 <= x <= 0; from -87.7 on the power is 0.
  explicit Exponential(float x) {
    LPW_KEEP_ORDER
    const auto integer =
        static_cast<std::int32_t>(x * 1.44269504f - 0.5f);  // towards 0: the nearest, for x is not positive
    const auto n = static_cast<float>(integer);
    const float r =
        in_order(x - n * 0.693359375f) + n * 2.12194440e-4f;  // ln 2 in two parts, of which the first times n is exact
    const float series = 1.f / 6 + r * (1.f / 24 + r * (1.f / 120 + r * (1.f / 720 + r * (1.f / 5040))));
    rest = r + r * r * (0.5f + r * series);
    power = std::bit_cast<float>((integer + 127) << 23);
  }
};

/// |x|, but at most `limit`: of the bits, which are ordered like the numbers, since compilers make branches of a choice
/// between floats.
[[nodiscard]] inline float magnitude(float x, float limit) {
  return of_bits<float>(std::min(magnitude_bits(x), bits_of(limit)));
}

/// `value`, or NaN where x is NaN, which magnitude has lost.
[[nodiscard]] inline float with_nan_of(float x, float value) {
  const std::int32_t below = FloatBits<float>::infinity - magnitude_bits(x);
  return std::bit_cast<float>(std::bit_cast<std::int32_t>(value) | ((below >> 31) & 0x7fc00000));
}

}  // namespace detail

/// 1 / (1 + exp(-x)). For float 0 below -87.7, where normal numbers have ended: a factor of large x must vanish.
[[nodiscard]] inline float sigmoid(float x) {
  const detail::Exponential e(-detail::magnitude(x, 88.f));
  const float small = e.power + e.power * e.rest;  // exp(-|x|)
  return detail::with_nan_of(x, (x < 0.f ? small : 1.f) / (1.f + small));
}
[[nodiscard]] inline double sigmoid(double x) { return 1 / (1 + std::exp(-x)); }

/// exp(x) for x <= 0. For float 0 below -87; normal numbers end soon after.
[[nodiscard]] inline float exp_of_negative(float x) {
  const detail::Exponential e(-detail::magnitude(x, 87.f));
  const std::int32_t above = detail::magnitude_bits(x) - detail::bits_of(87.f) - 1;
  const float value = std::bit_cast<float>(std::bit_cast<std::int32_t>(e.power + e.power * e.rest) & (above >> 31));
  return detail::with_nan_of(x, value);
}
[[nodiscard]] inline double exp_of_negative(double x) { return std::exp(x); }

/// tanh(x), to a small relative error near 0 too.
[[nodiscard]] inline float hyperbolic_tangent(float x) {
  LPW_KEEP_ORDER
  const detail::Exponential e(-2.f * detail::magnitude(x, 10.f));          // tanh(10) rounds to 1
  const float minus = e.power * e.rest + detail::in_order(e.power - 1.f);  // exp(-2 |x|) - 1
  return detail::with_nan_of(x, std::copysign(minus / (minus + 2.f), x));
}
[[nodiscard]] inline double hyperbolic_tangent(double x) { return std::tanh(x); }

}  // namespace lpw::inline LPW_ABI
