// Dropout whose masks are functions of (random numbers, operation, member, element).
#pragma once

#include <lpw/primitives/gradient.hpp>
#include <lpw/tensor/philox.hpp>

namespace lpw::inline LPW_ABI {

/// Names a dropout mask: element i of member k keeps its value iff draw(i of k) >= rate.
struct DropoutMask {
  Philox random{0};
  std::uint64_t operation = 0;    // counts the dropout operations of one pass
  std::int64_t first_member = 0;  // the pass' first member: the mask does not depend on how members are chunked
  double rate = 0;
};

}  // namespace lpw::inline LPW_ABI
