// Vectors of floats as wide as the machine's registers, by the vector extension that GCC and Clang share: arithmetic is
// written with operators and compiled for whatever instruction set the program is built for.
#pragma once

#include <cstdint>
#include <cstring>
#include <limits>
#include <type_traits>

#include <lpw/cpu/activation.hpp>

namespace lpw::inline LPW_ABI::winograd {

using Lanes [[gnu::vector_size(__BIGGEST_ALIGNMENT__)]] = float;
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

/// Asks for the line at p, which will be written soon: the processor's own prefetching follows fewer streams than there
/// are points.
inline void will_write(const void* p) { __builtin_prefetch(p, 1); }

/// v where `mask` has all bits set, 0 where it is 0.
[[nodiscard]] inline Lanes masked(Lanes v, std::int32_t mask) {
  detail::Integers bits;
  std::memcpy(&bits, &v, sizeof(v));
  bits &= mask;
  std::memcpy(&v, &bits, sizeof(v));
  return v;
}

/// The rows of channels of a pending map, from element `first` on; null where nothing is pending.
struct MapRows {
  const float *mean = nullptr, *scale = nullptr, *shift = nullptr;
  std::int64_t first = 0;
  bool relu = false;
};

/// A pending map of the lanes from channel c on, with the arithmetic of materialize(). GCC makes one instruction of the
/// loop.
struct CentredMap {
  Lanes mean, scale, shift;
  std::int32_t
      least;  // the bits of the largest number that ReLU cuts: as in rectified(); without ReLU only -0 becomes 0

  CentredMap(const MapRows& rows, std::int64_t c)
      : mean(load(rows.mean + rows.first + c)),
        scale(load(rows.scale + rows.first + c)),
        shift(load(rows.shift + rows.first + c)),
        least(rows.relu ? lpw::detail::negative_infinity_bits<float> : std::numeric_limits<std::int32_t>::min()) {}
  [[nodiscard]] Lanes operator()(Lanes x) const {
    Lanes y;
    for (int i = 0; i < int(lanes); ++i) y[i] = centred(x[i], mean[i], scale[i], shift[i]);
    detail::Integers bits;
    std::memcpy(&bits, &y, sizeof(y));
    bits &= bits > least;
    std::memcpy(&y, &bits, sizeof(y));
    return y;
  }
};

/// Nothing pending.
struct IdentityMap {
  IdentityMap(const MapRows&, std::int64_t) {}
  [[nodiscard]] Lanes operator()(Lanes x) const { return x; }
};

}  // namespace lpw::inline LPW_ABI::winograd
