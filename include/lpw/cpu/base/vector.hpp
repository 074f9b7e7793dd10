// Vectors of floats as wide as the machine's registers, by the vector extension that GCC and Clang share: arithmetic is
// written with operators and compiled for whatever instruction set the program is built for.
#pragma once

#include <cstdint>
#include <cstring>
#include <type_traits>

#include <lpw/tensor/dtype.hpp>
#include <lpw/tensor/float_bits.hpp>

namespace lpw::inline LPW_ABI::simd {

/// As many floats as a register holds.
using Lanes [[gnu::vector_size(__BIGGEST_ALIGNMENT__)]] = float;
/// Floats in it.
inline constexpr std::int64_t lanes = sizeof(Lanes) / sizeof(float);

/// The floats at p, which need no alignment.
[[nodiscard]] inline Lanes load(const float* p) {
  Lanes v;
  std::memcpy(&v, p, sizeof(v));
  return v;
}

/// Zeros. nvcc's front end fails on constants of vector types, `Lanes{}`, and on elements of vectors being assigned
/// where they lie in arrays.
[[nodiscard]] inline Lanes zeros() {
  Lanes v;
  std::memset(&v, 0, sizeof(v));
  return v;
}

/// Puts them at p, which needs no alignment.
inline void store(float* p, Lanes v) { std::memcpy(p, &v, sizeof(v)); }

namespace detail {

using Words [[gnu::vector_size(__BIGGEST_ALIGNMENT__)]] = std::uint32_t;
using Integers [[gnu::vector_size(__BIGGEST_ALIGNMENT__)]] = std::int32_t;
using Halves [[gnu::vector_size(__BIGGEST_ALIGNMENT__ / 2)]] = std::uint16_t;

[[nodiscard]] inline Lanes widened(Words upper) {
  const Words bits = upper << 16;
  Lanes v;
  std::memcpy(&v, &bits, sizeof(v));
  return v;
}

/// The bits of the lanes as bfloat16, rounded as the scalar type rounds.
[[nodiscard]] inline Words upper_halves(Lanes v) {
  Words bits;
  std::memcpy(&bits, &v, sizeof(v));
  const Words cut = bits >> 16;
  const Words nearest = (bits + 0x7fffu + (cut & 1u)) >> 16;
  const auto nan = Integers(bits & 0x7fffffffu) > lpw::detail::FloatBits<float>::infinity;
  return nan ? cut | 0x40u : nearest;
}

}  // namespace detail

/// As many bfloat16 at p, and their rounding on the way back.
[[nodiscard]] inline Lanes load(const bfloat16* p) {
  detail::Halves narrow;
  std::memcpy(&narrow, p, sizeof(narrow));
  return detail::widened(__builtin_convertvector(narrow, detail::Words));
}
inline void store(bfloat16* p, Lanes v) {
  const auto narrow = __builtin_convertvector(detail::upper_halves(v), detail::Halves);
  std::memcpy(p, &narrow, sizeof(narrow));
}

/// v as it is when stored as T.
template <class T>
[[nodiscard]] inline Lanes rounded(Lanes v) {
  if constexpr (std::is_same_v<T, bfloat16>) return detail::widened(detail::upper_halves(v));
  return v;
}

/// Asks for the line at p, which will be written soon, for this core alone: the processor's own prefetching follows few
/// streams, and a line that two cores read must be asked for once more. Compilers have no such instruction for levels
/// like x86-64-v4, which do not name it. Every processor with AVX2 takes it, those before Broadwell as none.
inline void will_write(const void* p) {
#if defined(__x86_64__) && defined(__AVX2__)
  asm volatile("prefetchw (%0)" : : "r"(p));
#else
  __builtin_prefetch(p, 1);
#endif
}
/// The same of a line that will be read.
inline void will_read(const void* p) { __builtin_prefetch(p); }

/// The same of the lines of `count` elements.
template <class T>
void will_read(const T* p, std::int64_t count) {
  constexpr std::int64_t line = 64 / sizeof(T);
  for (std::int64_t i = 0; i < count; i += line) will_read(p + i);
}

/// v where `mask` has all bits set, 0 where it is 0.
[[nodiscard]] inline Lanes masked(Lanes v, std::int32_t mask) {
  detail::Integers bits;
  std::memcpy(&bits, &v, sizeof(v));
  bits &= mask;
  std::memcpy(&v, &bits, sizeof(v));
  return v;
}

namespace detail {

/// The first, or with `Upper` the second halves of a and b, interleaved. Lists stand here for nvcc's sake, which fails
/// on packs of them.
template <bool Upper, class V>
[[nodiscard]] V interleaved(V a, V b) {
  if constexpr (sizeof(V) == 64 && Upper)
    return __builtin_shufflevector(a, b, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
  else if constexpr (sizeof(V) == 64)
    return __builtin_shufflevector(a, b, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
  else if constexpr (sizeof(V) == 32 && Upper)
    return __builtin_shufflevector(a, b, 4, 12, 5, 13, 6, 14, 7, 15);
  else if constexpr (sizeof(V) == 32)
    return __builtin_shufflevector(a, b, 0, 8, 1, 9, 2, 10, 3, 11);
  else if constexpr (Upper)
    return __builtin_shufflevector(a, b, 2, 6, 3, 7);
  else
    return __builtin_shufflevector(a, b, 0, 4, 1, 5);
}

}  // namespace detail

/// The transpose of a square of vectors: in each round row i and the one half a square below it are interleaved.
inline void transpose(Lanes (&rows)[lanes]) {
#pragma GCC unroll 4
  for (std::int64_t round = 1; round < lanes; round *= 2) {
    Lanes next[lanes];
#pragma GCC unroll 8
    for (std::int64_t i = 0; i < lanes / 2; ++i) {
      next[2 * i] = detail::interleaved<false>(rows[i], rows[i + lanes / 2]);
      next[2 * i + 1] = detail::interleaved<true>(rows[i], rows[i + lanes / 2]);
    }
#pragma GCC unroll 16
    for (std::int64_t i = 0; i < lanes; ++i) rows[i] = next[i];
  }
}

}  // namespace lpw::inline LPW_ABI::simd
