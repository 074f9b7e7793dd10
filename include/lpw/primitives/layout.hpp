// How primitives see tensors of any rank: as members, rows and channels.
#pragma once

#include <lpw/tensor/tensor.hpp>

namespace lpw::inline LPW_ABI {

/// A tensor [K, ..., C] as [K, M, C]: K members, M rows (pixels of a minibatch) each, C channels.
struct MemberRows {
  std::int64_t members, rows, channels;  // K, M and C

  /// Of a shape [K, ..., C].
  [[nodiscard]] static MemberRows of(const Shape& shape) {
    const std::int64_t members = shape[0], channels = shape[-1];
    const std::int64_t outer = members * channels;
    return {members, outer ? shape.size() / outer : 0, channels};
  }
  /// Elements.
  [[nodiscard]] std::int64_t size() const { return members * rows * channels; }
};

/// A cut of M rows into blocks of about 64 KB. It depends on the shape alone, so that block-wise sums do not depend on
/// the threads.
struct RowBlocks {
  std::int64_t rows, length, count;  // M, rows of a block, and blocks

  /// Of all members' rows alike.
  [[nodiscard]] static RowBlocks of(const MemberRows& view) {
    const std::int64_t length = std::max<std::int64_t>(16, 16384 / std::max<std::int64_t>(view.channels, 1));
    return {view.rows, length, (view.rows + length - 1) / length};
  }
  /// Row of a block.
  [[nodiscard]] std::int64_t first(std::int64_t block) const { return block * length; }
  /// Row behind a block.
  [[nodiscard]] std::int64_t last(std::int64_t block) const { return std::min(rows, (block + 1) * length); }
};

/// The row of a per-member parameter that member k reads: parameters have one row (shared) or a row per member.
template <class T, class D>
[[nodiscard]] const T* member_row(const Tensor<T, D>& parameter, std::int64_t member) {
  return parameter.dim(0) == 1 ? parameter.data() : parameter.row(member);
}

}  // namespace lpw::inline LPW_ABI
