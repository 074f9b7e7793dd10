// Why options of members do nothing, for the rows of all tables.
#pragma once

#include <optional>

#include "option_table.hpp"

namespace example::detail {

/// Why what concerns members does nothing.
template <class O>
std::optional<Idle> without_members(const O& o) {
  if (o.members == 1 && !o.release_one) return Idle{"members", "one member has no weights of its own"};
  if (o.late == "none") return Idle{"late", "no late-phase weights are released"};
  return std::nullopt;
}
/// Why what several members do, or have of their own, does nothing.
template <class O>
std::optional<Idle> without_others(const O& o) {
  if (o.members == 1 && o.release_one) return Idle{"release-one", "there is one member, without others"};
  return without_members(o);
}
/// Why what concerns members between their release and the end does nothing.
template <class O>
std::optional<Idle> without_release(const O& o) {
  if (auto why = without_members(o)) return why;
  if (o.release_step < 0 && o.release_epoch >= o.epochs)
    return Idle{"release-epoch", "no members are released before the last epoch ends", "epochs"};
  return std::nullopt;
}
/// Why what several members do between their release and the end does nothing.
template <class O>
std::optional<Idle> without_released_others(const O& o) {
  if (auto why = without_others(o)) return why;
  return without_release(o);
}
/// Why what concerns coefficients of templates does nothing.
template <class O>
std::optional<Idle> without_templates(const O& o) {
  if (o.has_templates()) return std::nullopt;
  return Idle{"model", "no weights are made of templates"};
}
/// Why rates do nothing, which a network may have late-phase weights for before it is released.
template <class O>
std::optional<Idle> without_late_weights(const O& o) {
  if constexpr (requires { o.has_templates(); })
    if (o.has_templates()) return std::nullopt;
  return without_release(o);
}
/// Why what processes do together does nothing. A run of several goes on in one with what its options say.
template <auto member, class O>
std::optional<Idle> without_processes(const O& o) {
  const O defaults;
  if (o.processes->several() || (o.resume && o.*member != defaults.*member)) return std::nullopt;
  return Idle{"resume", "one process trains; start several by mpirun"};
}

}  // namespace example::detail
