// Dropout whose masks are not stored: each is a pure function of (random numbers, operation, member, element), the same
// on every device, which backward draws again.
//
// apply_dropout(x, mask, y): y (+)= x / (1 - rate) where kept, else 0, for x [K, ...]; applied to dy it is its own
//   backward.
#pragma once

#include <lpw/primitives/gradient.hpp>
#include <lpw/tensor/philox.hpp>

namespace lpw::inline LPW_ABI {

/// Names a dropout mask: the element that is number i of member k keeps its value iff draw(i of k) >= rate. Elements
/// are numbered as they lie, or where they are a part of a minibatch as they lie in the whole: in `runs` pieces of
/// equal length, the first from number `before` on, each `whole` behind the one before it.
struct DropoutMask {
  Philox random{0};               // of the pass
  std::uint64_t operation = 0;    // counts the dropout operations of one pass
  std::int64_t first_member = 0;  // the pass' first member: the mask does not depend on how members are chunked
  double rate = 0;                // the probability of becoming 0
  std::int64_t runs = 1;          // of a member's elements here, as many in each
  std::int64_t before = 0;        // elements of a whole run that come before those here
  std::int64_t whole = 0;         // elements of a whole run

  /// Number, in the whole, of the first element of a run.
  [[nodiscard]] std::int64_t first_of(std::int64_t run) const { return run * whole + before; }
};

}  // namespace lpw::inline LPW_ABI
