// How processes sum, and what they say of a minibatch that they share.
#pragma once

#include <cstdint>

#include <lpw/tensor/abi.hpp>
#include <lpw/tensor/error.hpp>

namespace lpw::inline LPW_ABI::distributed {

/// Of numbers that are summed at a time while backward runs: MPI counts bytes and numbers in int.
inline constexpr std::int64_t longest_chunk = std::int64_t{1} << 28;

/// Results do not depend on it.
struct MembersOptions {
  std::int64_t chunk = 262144;  // numbers that are summed at a time while backward runs; 0: not before it has ended
};

/// What a process cannot see of one member's minibatch of which it has a part.
struct WholeMinibatch {
  std::int64_t samples = 0;  // needed where there may be fewer than processes, each of which then has all of them
  std::int64_t steps = 1;    // of inputs [1, T, B, ...], whose T B samples lie in so many rows
};

/// Throws OptionError, by the name that it has for who chose it, for a chunk that is negative or above 2^28 numbers.
inline void require_possible_chunk(const char* name, std::int64_t chunk) {
  require<OptionError>(chunk >= 0 && chunk <= longest_chunk, name, " ", chunk, "; expected from 0 to 2^28 numbers");
}

}  // namespace lpw::inline LPW_ABI::distributed
