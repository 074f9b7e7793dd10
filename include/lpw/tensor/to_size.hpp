// Extents and indices are signed here, and unsigned in the standard library.
#pragma once

#include <cstddef>
#include <cstdint>

#include <lpw/tensor/abi.hpp>

namespace lpw::inline LPW_ABI {

/// A count or an index, not negative, as the standard library's containers take it.
[[nodiscard]] constexpr std::size_t to_size(std::int64_t n) { return static_cast<std::size_t>(n); }

}  // namespace lpw::inline LPW_ABI
