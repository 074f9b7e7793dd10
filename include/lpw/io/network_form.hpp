// What a network's stores are made of: its parameters and running statistics in their order, with their shapes, and
// what a release made of them. A file that keeps the stores as they lie records it, so that the network that they are
// put into is released as theirs was, and one that they do not fit is refused by the name of what differs.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include <lpw/late_phase/release.hpp>

namespace lpw::inline LPW_ABI::io {

/// A parameter or running statistic.
struct FormEntry {
  std::string name, shape;  // of one member, "[10 64]"
  bool late = false;        // a late-phase weight
  std::string added = {};   // what a release attached it as, "factor" or "deviations"; "" for the network's own

  /// How many numbers a member has of it.
  [[nodiscard]] std::int64_t size() const {
    std::int64_t size = 1, extent = 0;
    bool number = false;
    for (const char c : shape) {
      if (const bool digit = c >= '0' && c <= '9'; digit) {
        extent = 10 * extent + (c - '0'), number = true;
      } else if (std::exchange(number, false)) {
        size *= std::exchange(extent, 0);
      }
    }
    return size;
  }
};
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(FormEntry, name, shape, late, added)

/// A network's.
struct NetworkForm {
  std::string dtype;                           // of the weights
  std::int64_t members = 1;                    // K
  bool released = false;                       // whether there are late-phase weights
  std::vector<FormEntry> parameters, buffers;  // one that layers share once, by its first name

  /// What a release of the plain network makes this form by.
  [[nodiscard]] Selectors selectors() const {
    constexpr std::string_view suffix = ".additive";
    Selectors late;
    for (const FormEntry& entry : parameters) {
      if (entry.added == "factor") late.groups = late.groups | Group::rank_one;
      if (entry.added == "deviations") late.additive.push_back(entry.name.substr(0, entry.name.size() - suffix.size()));
      if (entry.added.empty() && entry.late) late.patterns.push_back(entry.name);
    }
    return late;
  }
  /// The columns of the base store, or of the late-phase one.
  [[nodiscard]] std::int64_t columns(bool late) const {
    std::int64_t columns = 0;
    for (const FormEntry& entry : parameters) columns += entry.late == late ? entry.size() : 0;
    return columns;
  }
};
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(NetworkForm, dtype, members, released, parameters, buffers)

namespace detail {

inline void require_distinct(const std::vector<FormEntry>& entries, const char* what) {
  std::set<std::string> names;
  for (const FormEntry& entry : entries)
    require(names.insert(entry.name).second, "state: two ", what, " of the network are called '", entry.name,
            "'; visit() is to give each a name of its own");
}

}  // namespace detail

/// The form of a network as it is. Throws Error where two parameters, or two running statistics, have one name.
template <nn::Visitable M>
[[nodiscard]] NetworkForm form_of(M& network) {
  NetworkForm form{
      std::string(dtype_name<nn::WeightOf<M>>()), nn::members(network), lpw::detail::is_released(network), {}, {}};
  std::set<const void*> seen, deviations;
  const nn::FormIds ids = nn::form_ids(network);
  nn::for_each_parameter(network, [&](const std::string& name, auto& parameter) {
    if (auto* phi = parameter.deviations()) deviations.insert(phi->id());
    if (!seen.insert(parameter.id()).second) return;
    const bool deviates = deviations.contains(parameter.id()), factor = ids.factors.contains(parameter.id());
    form.parameters.push_back({name, to_text(parameter.shape()), parameter.late_phase(),
                               deviates ? "deviations"
                               : factor ? "factor"
                                        : ""});
  });
  nn::for_each_buffer(network, [&](const std::string& name, auto& buffer) {
    form.buffers.push_back({name, to_text(buffer.shape())});
  });
  detail::require_distinct(form.parameters, "parameters");
  detail::require_distinct(form.buffers, "running statistics");
  return form;
}
/// For what is no module: says so.
template <nn::detail::NoModule M>
auto form_of(M&, auto&&...) {
  return nn::detail::not_a_module<M>();
}

namespace detail {

[[nodiscard]] inline bool has_entry(const std::vector<FormEntry>& entries, const std::string& name) {
  return std::any_of(entries.begin(), entries.end(), [&](const FormEntry& entry) { return entry.name == name; });
}

/// Throws FileError about the first entry of a file's that is not the network's.
inline void require_same_entries(const std::vector<FormEntry>& stored, const std::vector<FormEntry>& present,
                                 const char* what, const std::string& source) {
  for (const FormEntry& entry : stored)
    require<FileError>(has_entry(present, entry.name), source, ": holds the ", what, " '", entry.name, "' ",
                       entry.shape, ", which the network has not");
  for (const FormEntry& entry : present)
    require<FileError>(has_entry(stored, entry.name), source, ": has no ", what, " '", entry.name, "' ", entry.shape,
                       ", which the network has");
  require<FileError>(stored.size() == present.size(), source, ": damaged: names a ", what, " twice");
  for (std::size_t i = 0; i < stored.size(); ++i) {
    const FormEntry &one = stored[i], &other = present[i];
    require<FileError>(one.name == other.name, source, ": holds '", one.name, "' where the network has '", other.name,
                       "': visit() names them in another order");
    require<FileError>(one.shape == other.shape, source, ": the ", what, " '", one.name, "' is ", one.shape,
                       ", the network's ", other.shape);
    require<FileError>(one.late == other.late, source, ": '", one.name, "' is a ", one.late ? "late-phase" : "base",
                       " weight, the network's a ", other.late ? "late-phase" : "base", " one");
  }
}

}  // namespace detail

namespace detail {

/// The factors and deviations that a release with these selectors would attach, in no order.
template <nn::Visitable M>
[[nodiscard]] std::vector<FormEntry> attached_by(M& network, const Selectors& selectors) {
  std::vector<FormEntry> entries;
  lpw::detail::for_each_factored_weight(network, selectors, [&](const std::string& weight, auto& dense) {
    const Shape shape = dense.shape();
    entries.push_back({nn::detail::name_beside(weight, "rank_one_r"), to_text(Shape{shape[0]}), true, "factor"});
    entries.push_back({nn::detail::name_beside(weight, "rank_one_s"), to_text(Shape{shape[-1]}), true, "factor"});
  });
  lpw::detail::for_each_additive(network, selectors, [&](const std::string& name, const auto& parameter) {
    entries.push_back({name + ".additive", to_text(parameter.shape()), true, "deviations"});
  });
  return entries;
}

/// Throws FileError about the first entry of one kind that a release has attached and would not attach again.
inline void require_attached(const std::vector<FormEntry>& stored, const std::vector<FormEntry>& attached,
                             const char* added, const char* what, const std::string& source) {
  const auto is_kind = [&](const FormEntry& entry) { return entry.added == added; };
  for (const FormEntry& entry : stored) {
    require<FileError>(entry.added.empty() || entry.added == "factor" || entry.added == "deviations", source,
                       ": damaged: '", entry.name, "' was attached as '", entry.added, "'");
    if (!is_kind(entry)) continue;
    const auto found = std::find_if(attached.begin(), attached.end(),
                                    [&](const FormEntry& some) { return is_kind(some) && some.name == entry.name; });
    require<FileError>(found != attached.end(), source, ": holds the ", what, " '", entry.name,
                       "', which a release does not give the network");
    require<FileError>(found->shape == entry.shape && entry.late, source, ": the ", what, " '", entry.name, "' is ",
                       entry.shape, ", the network's ", found->shape);
  }
  for (const FormEntry& entry : attached)
    require<FileError>(!is_kind(entry) || has_entry(stored, entry.name), source, ": has no ", what, " '", entry.name,
                       "', which a release gives the network");
}

/// As require_fits, of a plain network and what is recorded of a released one.
template <nn::Visitable M>
void require_becomes(const NetworkForm& stored, NetworkForm present, M& network, const std::string& source) {
  NetworkForm plain = stored;
  std::erase_if(plain.parameters, [](const FormEntry& entry) { return !entry.added.empty(); });
  for (auto* form : {&plain, &present})
    for (FormEntry& entry : form->parameters) entry.late = false;
  require_same_entries(plain.parameters, present.parameters, "parameter", source);
  const auto attached = attached_by(network, stored.selectors());
  require_attached(stored.parameters, attached, "factor", "rank-1 factor", source);
  require_attached(stored.parameters, attached, "deviations", "deviations", source);
}

}  // namespace detail

/// Throws FileError, naming what differs, unless a network can take what a file records of the form `stored`: it has
/// that form, or is plain and becomes it by a release.
template <nn::Visitable M>
void require_fits(const NetworkForm& stored, M& network, const std::string& source) {
  const NetworkForm present = form_of(network);
  require<FileError>(stored.dtype == present.dtype, source, ": its weights are ", stored.dtype, ", the network's ",
                     present.dtype);
  require<FileError>(stored.released || !present.released, source, ": was saved before a release, and the network has ",
                     present.members, " members; load it into the network as it was made");
  require<FileError>(!present.released || stored.members == present.members, source, ": holds ", stored.members,
                     " members, the network ", present.members);
  detail::require_same_entries(stored.buffers, present.buffers, "running statistic", source);
  if (stored.released != present.released) return detail::require_becomes(stored, present, network, source);
  detail::require_same_entries(stored.parameters, present.parameters, "parameter", source);
}

/// Whether a network is as it was made, of templates, and a file's had folded them in a collapse.
template <nn::Visitable M>
[[nodiscard]] bool templates_were_folded(const NetworkForm& stored, M& network) {
  const nn::FormIds ids = nn::form_ids(network);
  bool kept = lpw::detail::is_released(network) || ids.coefficients.empty();
  nn::for_each_parameter(network, [&](const std::string& name, auto& parameter) {
    kept = kept || (ids.coefficients.contains(parameter.id()) && detail::has_entry(stored.parameters, name));
  });
  return !kept;
}

}  // namespace lpw::inline LPW_ABI::io
