// How functions of elements and their sums are shared out on a GPU: by the walk over their tensors.
#pragma once

#include <algorithm>
#include <bit>
#include <cstdint>

#include <lpw/cuda/plans/launch.hpp>
#include <lpw/primitives/mapping.hpp>

namespace lpw::inline LPW_ABI {

/// How a sum is shared out: by its walk alone.
struct SumPlan {
  bool along;            // whether the last axis is summed over
  int lanes;             // threads that share a result
  int columns;           // results of a block at a time
  int length;            // terms of a part
  std::int64_t results;  // sums
  std::int64_t terms;    // of each
  std::int64_t parts;    // that a sum's terms are cut into

  /// Of a walk that sums along the axes on which the result is repeated.
  explicit SumPlan(const Walk& walk)
      : along(walk.rank > 0 && walk.stride[Walk::result][walk.rank - 1] == 0),
        results(part_of(walk, false).size()),
        terms(part_of(walk, true).size()) {
    const auto power = [](std::int64_t count, std::int64_t most) {
      return static_cast<int>(std::bit_ceil(static_cast<std::uint64_t>(std::min(count, most))));
    };
    lanes = along ? power(terms, kernels::member_threads) : kernels::member_threads / power(results, 32);
    columns = kernels::member_threads / lanes;
    length = 32 * lanes;
    parts = (terms + length - 1) / length;
  }
  /// Of blocks over results and parts.
  [[nodiscard]] LaunchPlan launch() const {
    constexpr std::int64_t most_x = 1 << 16, most_y = 65535;
    LaunchPlan plan{static_cast<unsigned>(std::min(most_x, (results + columns - 1) / columns)),
                    static_cast<unsigned>(std::min(most_y, parts))};
    plan.shared_bytes = kernels::member_threads * sizeof(float);
    return plan;
  }
};

namespace detail {

/// Whether a tensor that a function reads, or writes, may be accessed in vectors of `width` elements of 16 bytes or
/// more: `repeated`, it need not be.
[[nodiscard]] inline bool in_vectors(const Walk& walk, int tensor, const void* data, int width, bool repeated) {
  if (repeated && walk.row_stride(tensor) == 0) return true;
  bool fits = walk.row_stride(tensor) == 1 && reinterpret_cast<std::uintptr_t>(data) % 16 == 0;
  for (int axis = 0; axis + 1 < walk.rank; ++axis) fits = fits && walk.stride[tensor][axis] % width == 0;
  return fits;
}

/// The walk over vectors of `width` elements.
[[nodiscard]] inline Walk over_vectors(Walk walk, int width) {
  if (width == 1) return walk;
  walk.extent[walk.rank - 1] /= width;
  for (auto& stride : walk.stride) stride[walk.rank - 1] *= width;
  return walk;
}

/// The walk that sums [parts, results] over its first axis into a result that lies as that of `kept`.
[[nodiscard]] inline Walk over_parts(const Walk& kept, std::int64_t parts) {
  Walk walk;
  walk.extent[0] = parts;
  walk.stride[0][0] = kept.size();
  walk.rank = 1;
  std::int64_t inner = kept.size();
  for (int axis = 0; axis < kept.rank; ++axis) {
    inner /= kept.extent[axis];
    walk.extent[walk.rank] = kept.extent[axis];
    walk.stride[0][walk.rank] = inner;
    walk.stride[Walk::result][walk.rank] = kept.stride[Walk::result][axis];
    ++walk.rank;
  }
  return walk;
}

}  // namespace detail

}  // namespace lpw::inline LPW_ABI
