// Element types: float, bfloat16 and double. Sums, statistics and weights are kept in Accumulate<T>: float for bfloat16.
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>
#include <string_view>
#include <type_traits>

#if defined(__CUDACC__)
#define LPW_HOST_DEVICE __host__ __device__
#else
#define LPW_HOST_DEVICE
#endif

namespace lpw {

/// Brain floating point: the upper half of a float. Converts from float by rounding to nearest even; NaN stays NaN.
struct bfloat16 {
  std::uint16_t bits;

  bfloat16() = default;
  LPW_HOST_DEVICE constexpr bfloat16(float value) : bits(round(value)) {}
  LPW_HOST_DEVICE constexpr operator float() const { return std::bit_cast<float>(std::uint32_t(bits) << 16); }

  [[nodiscard]] LPW_HOST_DEVICE static constexpr bfloat16 from_bits(std::uint16_t bits) {
    bfloat16 result(0.f);
    result.bits = bits;
    return result;
  }

 private:
  LPW_HOST_DEVICE static constexpr std::uint16_t round(float value) {
    const auto u = std::bit_cast<std::uint32_t>(value);
    const bool nan = (u & 0x7fffffffu) > 0x7f800000u;
    const std::uint32_t rounded = (u + 0x7fffu + ((u >> 16) & 1u)) >> 16;
    return static_cast<std::uint16_t>(nan ? ((u >> 16) | 0x40u) : rounded);
  }
};
static_assert(sizeof(bfloat16) == 2);

namespace detail {
template <class T>
struct AccumulateOf {
  using type = T;
};
template <>
struct AccumulateOf<bfloat16> {
  using type = float;
};
}  // namespace detail

/// The type in which sums over T are formed and weights for T are stored.
template <class T>
using Accumulate = typename detail::AccumulateOf<T>::type;

/// Element types a network can compute in.
template <class T>
concept Real = std::is_same_v<T, float> || std::is_same_v<T, double> || std::is_same_v<T, bfloat16>;

/// "F32", "BF16", "F64", "I32", "I64" or "U8", as in safetensors files.
template <class T>
[[nodiscard]] constexpr std::string_view dtype_name() {
  if constexpr (std::is_same_v<T, float>) return "F32";
  if constexpr (std::is_same_v<T, double>) return "F64";
  if constexpr (std::is_same_v<T, bfloat16>) return "BF16";
  if constexpr (std::is_same_v<T, std::int32_t>) return "I32";
  if constexpr (std::is_same_v<T, std::int64_t>) return "I64";
  if constexpr (std::is_same_v<T, std::uint8_t>) return "U8";
}

/// Distance from 1 to the next larger T: the scale on which tolerances are stated.
template <class T>
[[nodiscard]] constexpr double epsilon() {
  if constexpr (std::is_same_v<T, bfloat16>) return 0x1p-7;
  if constexpr (std::is_same_v<T, float>) return 0x1p-23;
  if constexpr (std::is_same_v<T, double>) return 0x1p-52;
}

}  // namespace lpw
