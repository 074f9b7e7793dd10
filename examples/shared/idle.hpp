// Why options of members do nothing, for the rows of all tables.
#pragma once

#include <optional>

#include "option_table.hpp"

namespace example::detail {

/// Why what concerns members does nothing.
template <class O>
std::optional<Idle> without_members(const O& o) {
  if (o.members == 1) return Idle{"members", "one member has no weights of its own"};
  if (o.late == "none") return Idle{"late", "no late-phase weights are released"};
  return std::nullopt;
}
/// The same of rates, which a network may have late-phase weights for before it is released.
template <class O>
std::optional<Idle> without_late_weights(const O& o) {
  if constexpr (requires { o.has_templates(); })
    if (o.has_templates()) return std::nullopt;
  return without_members(o);
}

}  // namespace example::detail
