// NaN, infinity and signs of floating-point numbers by their bits. Comparisons would do, but -ffast-math and
// -ffinite-math-only promise the compiler that there is no NaN, and it drops them: bits are integers, about which
// nothing is promised. So lpw checks what it is given, and lets NaN through, whatever flags a program is compiled with.
#pragma once

#include <bit>
#include <cstdint>
#include <type_traits>

#include <lpw/tensor/dtype.hpp>

#if defined(__FAST_MATH__) && !defined(__clang__) && (defined(__CUDACC__) || (defined(__GNUC__) && __GNUC__ < 12))
#error "lpw: nvcc, and GCC before 12, cannot keep sums in order under -ffast-math: leave it out for these sources"
#endif

namespace lpw::inline LPW_ABI {

namespace detail {

/// The integer as wide as T, and the bits of +infinity, all of the exponent.
template <class T>
struct FloatBits;
template <>
struct FloatBits<float> {
  using type = std::int32_t;
  static constexpr type infinity = 0x7f800000;
};
template <>
struct FloatBits<double> {
  using type = std::int64_t;
  static constexpr type infinity = 0x7ff0000000000000;
};
template <>
struct FloatBits<bfloat16> {
  using type = std::int16_t;
  static constexpr type infinity = 0x7f80;
};
template <>
struct FloatBits<half> {
  using type = std::int16_t;
  static constexpr type infinity = 0x7c00;
};

/// The bits of x and the number of given bits. GCC vectorises no casts of classes.
template <class T>
[[nodiscard]] constexpr typename FloatBits<T>::type bits_of(const T& x) {
  using Bits = typename FloatBits<T>::type;
  if constexpr (requires { x.bits; }) {
    return static_cast<Bits>(x.bits);
  } else {
    return std::bit_cast<Bits>(x);
  }
}
template <class T>
[[nodiscard]] constexpr T of_bits(typename FloatBits<T>::type bits) {
  if constexpr (requires { T::from_bits(0); }) {
    return T::from_bits(static_cast<std::uint16_t>(bits));
  } else {
    return std::bit_cast<T>(bits);
  }
}

/// The bits of |x|, which are ordered like the numbers.
template <class T>
[[nodiscard]] constexpr typename FloatBits<T>::type magnitude_bits(const T& x) {
  using Bits = typename FloatBits<T>::type;
  return static_cast<Bits>(bits_of(x) & static_cast<Bits>(~(Bits(1) << (8 * sizeof(T) - 1))));
}

/// The bits of -infinity: as integers, those of -0 and all negative numbers are not above them, those of NaN and all
/// others are.
template <class T>
inline constexpr typename FloatBits<T>::type negative_infinity_bits = static_cast<typename FloatBits<T>::type>(
    FloatBits<T>::infinity | (typename FloatBits<T>::type(1) << (8 * sizeof(T) - 1)));

/// `x`, which the compiler may not merge with the sums and products around it, where flags let it reorder those. Within
/// a block that starts with LPW_KEEP_ORDER, which is how Clang is told.
[[nodiscard]] inline float in_order(float x) {
#if defined(__GNUC__) && !defined(__clang__) && !defined(__CUDACC__) && __GNUC__ >= 12
  return __builtin_assoc_barrier(x);
#else
  return x;
#endif
}

}  // namespace detail

// A pragma, so no function can do it.
#if defined(__clang__)
#define LPW_KEEP_ORDER _Pragma("clang fp reassociate(off)")
#else
#define LPW_KEEP_ORDER
#endif

/// Whether x is NaN. Taken by reference: Clang assumes of values that are passed what it is promised of numbers.
template <class T>
[[nodiscard]] constexpr bool is_nan(const T& x) {
  return detail::magnitude_bits(x) > detail::FloatBits<T>::infinity;
}

/// Whether x is neither NaN nor infinite.
template <class T>
[[nodiscard]] constexpr bool is_finite(const T& x) {
  return detail::magnitude_bits(x) < detail::FloatBits<T>::infinity;
}

/// max(x, 0); NaN stays NaN.
template <class T>
[[nodiscard]] constexpr T rectified(T x) {
  const auto bits = detail::bits_of(x);
  return detail::of_bits<T>(bits > detail::negative_infinity_bits<T> ? bits : decltype(bits)(0));
}

}  // namespace lpw::inline LPW_ABI
