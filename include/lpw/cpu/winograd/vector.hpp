// A pending map over vectors of floats, and what of them Winograd's algorithm uses.
#pragma once

#include <cstdint>
#include <cstring>
#include <limits>

#include <lpw/cpu/activation.hpp>
#include <lpw/cpu/base/vector.hpp>

namespace lpw::inline LPW_ABI::winograd {

using simd::Lanes, simd::lanes, simd::load, simd::masked, simd::rounded, simd::store, simd::will_read, simd::will_write,
    simd::zeros;

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
    simd::detail::Integers bits;
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
