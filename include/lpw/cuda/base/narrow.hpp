// Numbers for libraries that count in 32 bits.
#pragma once

#include <cstdint>
#include <limits>

#include <lpw/tensor/error.hpp>

namespace lpw::inline LPW_ABI::cuda {

/// What a field of a primitive's operands holds, as a library takes it. Throws ShapeError past 2^31 - 1.
[[nodiscard]] inline int narrow(const char* primitive, const char* field, std::int64_t count) {
  constexpr std::int64_t most = std::numeric_limits<int>::max();
  require<ShapeError>(count <= most, primitive, ": `", field, "` is ", count, "; on the GPU it may be ", most,
                      ", so lower `member_chunk`, or take a smaller batch or layer");
  return static_cast<int>(count);
}

}  // namespace lpw::inline LPW_ABI::cuda
