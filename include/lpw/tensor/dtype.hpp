// Element types: float, double, bfloat16, and half, which only CUDA computes in. Sums, statistics and weights are kept
// in Accumulate<T>: float for the two narrow types. Their conversions are the same function everywhere; device code
// uses the hardware's.
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>
#include <string_view>
#include <type_traits>

#include <lpw/tensor/abi.hpp>

#if defined(__CUDACC__)
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#define LPW_HOST_DEVICE __host__ __device__
#else
#define LPW_HOST_DEVICE
#endif

namespace lpw::inline LPW_ABI {

/// Brain floating point: the upper half of a float. Converts from float by rounding to nearest even; NaN stays NaN.
struct bfloat16 {
  std::uint16_t bits;  // sign, 8 of exponent, 7 of fraction

  bfloat16() = default;
  /// The nearest one, of two the even.
  LPW_HOST_DEVICE constexpr bfloat16(float value) : bits(round(value)) {}
  /// Exact.
  LPW_HOST_DEVICE constexpr operator float() const { return std::bit_cast<float>(std::uint32_t(bits) << 16); }

  /// The number whose 16 bits these are.
  [[nodiscard]] LPW_HOST_DEVICE static constexpr bfloat16 from_bits(std::uint16_t bits) {
    bfloat16 result(0.f);
    result.bits = bits;
    return result;
  }

 private:
  LPW_HOST_DEVICE static constexpr std::uint16_t round(float value) {
#if defined(__CUDA_ARCH__)
    if (!std::is_constant_evaluated()) return __bfloat16_as_ushort(__float2bfloat16_rn(value));
#endif
    const auto u = std::bit_cast<std::uint32_t>(value);
    const bool nan = (u & 0x7fffffffu) > 0x7f800000u;
    const std::uint32_t rounded = (u + 0x7fffu + ((u >> 16) & 1u)) >> 16;
    return static_cast<std::uint16_t>(nan ? ((u >> 16) | 0x40u) : rounded);
  }
};
static_assert(sizeof(bfloat16) == 2);

/// IEEE half precision: 5 bits of exponent, 10 of fraction. Converts from float by rounding to nearest even, past 65504
/// to infinity; NaN stays NaN.
struct half {
  std::uint16_t bits;  // sign, 5 of exponent, 10 of fraction

  half() = default;
  /// The nearest one, of two the even.
  LPW_HOST_DEVICE constexpr half(float value) : bits(round(value)) {}
  /// Exact.
  LPW_HOST_DEVICE constexpr operator float() const { return widen(bits); }

  /// The number whose 16 bits these are.
  [[nodiscard]] LPW_HOST_DEVICE static constexpr half from_bits(std::uint16_t bits) {
    half result(0.f);
    result.bits = bits;
    return result;
  }

 private:
  static constexpr std::uint32_t rebias = (127 - 15)
                                          << 23;  // between the exponents of float and half, in float's place

  LPW_HOST_DEVICE static constexpr std::uint16_t round(float value) {
#if defined(__CUDA_ARCH__)
    if (!std::is_constant_evaluated()) return __half_as_ushort(__float2half_rn(value));
#endif
    const auto u = std::bit_cast<std::uint32_t>(value);
    const std::uint32_t sign = (u >> 16) & 0x8000u, magnitude = u & 0x7fffffffu;
    std::uint32_t rounded = (magnitude + 0xfffu + ((magnitude >> 13) & 1u) - rebias) >> 13;
    if (magnitude < 0x38800000u) {  // below 2^-14: adding 1/2 leaves multiples of 2^-24, rounded, in the low bits
      rounded = std::bit_cast<std::uint32_t>(std::bit_cast<float>(magnitude) + 0.5f) - 0x3f000000u;
    } else if (magnitude > 0x7f800000u) {
      rounded = 0x7e00u | ((magnitude >> 13) & 0x3ffu);
    } else if (magnitude >= 0x477ff000u) {  // 65520 and more
      rounded = 0x7c00u;
    }
    return static_cast<std::uint16_t>(sign | rounded);
  }

  LPW_HOST_DEVICE static constexpr float widen(std::uint16_t bits) {
#if defined(__CUDA_ARCH__)
    if (!std::is_constant_evaluated()) return __half2float(__ushort_as_half(bits));
#endif
    const std::uint32_t sign = (bits & 0x8000u) << 16, magnitude = bits & 0x7fffu;
    std::uint32_t wide = (magnitude << 13) + rebias;
    if (magnitude < 0x400u) {
      wide = std::bit_cast<std::uint32_t>(static_cast<float>(magnitude) * 0x1p-24f);
    } else if (magnitude >= 0x7c00u) {
      wide += rebias;
    }
    return std::bit_cast<float>(sign | wide);
  }
};
static_assert(sizeof(half) == 2);

namespace detail {
template <class T>
struct AccumulateOf {
  using type = T;
};
template <>
struct AccumulateOf<bfloat16> {
  using type = float;
};
template <>
struct AccumulateOf<half> {
  using type = float;
};
}  // namespace detail

/// The type in which sums over T are formed and weights for T are stored.
template <class T>
using Accumulate = typename detail::AccumulateOf<T>::type;

/// to = value, rounded. In loops over elements this, unlike an assignment of a converted bfloat16, is vectorised by
/// GCC.
template <class T>
LPW_HOST_DEVICE constexpr void store(T& to, Accumulate<T> value) {
  if constexpr (std::is_same_v<T, bfloat16>) {
    to.bits = bfloat16(value).bits;
  } else {
    to = value;
  }
}

/// Element types a network can compute in on every device.
template <class T>
concept Real = std::is_same_v<T, float> || std::is_same_v<T, double> || std::is_same_v<T, bfloat16>;

/// Ends the compilation with one line where labels, or places of a table, are numbers of another type.
template <class I>
constexpr void require_int32() {
  static_assert(std::is_same_v<I, std::int32_t>, "lpw: labels are std::int32_t, lpw::Tensor<std::int32_t, Device>");
}

/// "F32", "BF16", "F16", "F64", "I32", "I64" or "U8", as in safetensors files.
template <class T>
[[nodiscard]] constexpr std::string_view dtype_name() {
  if constexpr (std::is_same_v<T, float>) return "F32";
  if constexpr (std::is_same_v<T, double>) return "F64";
  if constexpr (std::is_same_v<T, bfloat16>) return "BF16";
  if constexpr (std::is_same_v<T, half>) return "F16";
  if constexpr (std::is_same_v<T, std::int32_t>) return "I32";
  if constexpr (std::is_same_v<T, std::int64_t>) return "I64";
  if constexpr (std::is_same_v<T, std::uint8_t>) return "U8";
}

/// Distance from 1 to the next larger T: the scale on which tolerances are stated.
template <class T>
[[nodiscard]] constexpr double epsilon() {
  if constexpr (std::is_same_v<T, bfloat16>) return 0x1p-7;
  if constexpr (std::is_same_v<T, half>) return 0x1p-10;
  if constexpr (std::is_same_v<T, float>) return 0x1p-23;
  if constexpr (std::is_same_v<T, double>) return 0x1p-52;
}

}  // namespace lpw::inline LPW_ABI
