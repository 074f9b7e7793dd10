// Names chosen by patterns ("layer3.*"), and names that were meant where one is unknown: for parameters and for files'
// tensors alike.
#pragma once

#include <algorithm>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <lpw/tensor/text.hpp>

namespace lpw::inline LPW_ABI {

namespace detail {

/// What each `*` of a pattern stands for in a name, from left to right: as little as possible, the last one what is
/// left. Nothing where the name does not match.
[[nodiscard]] inline std::optional<std::vector<std::string_view>> match_runs(std::string_view name,
                                                                             std::string_view pattern) {
  std::vector<std::string_view> runs;
  auto star = pattern.find('*');
  if (star == pattern.npos) return name == pattern ? std::optional(runs) : std::nullopt;
  if (!name.starts_with(pattern.substr(0, star))) return std::nullopt;
  name.remove_prefix(star);
  for (pattern.remove_prefix(star + 1); (star = pattern.find('*')) != pattern.npos; pattern.remove_prefix(star + 1)) {
    const auto found = name.find(pattern.substr(0, star));
    if (found == name.npos) return std::nullopt;
    runs.push_back(name.substr(0, found));
    name.remove_prefix(found + star);
  }
  if (!name.ends_with(pattern)) return std::nullopt;
  runs.push_back(name.substr(0, name.size() - pattern.size()));
  return runs;
}

/// Levenshtein's distance: how many characters must be put in, left out or replaced to make `known` of `name`, whose
/// `*` are any run of characters at no cost.
[[nodiscard]] inline std::size_t edit_distance(std::string_view name, std::string_view known) {
  std::vector<std::size_t> row(known.size() + 1);
  for (std::size_t j = 0; j < row.size(); ++j) row[j] = j;
  for (const char c : name) {
    const bool any = c == '*';
    std::size_t diagonal = std::exchange(row[0], row[0] + !any);
    for (std::size_t j = 1; j < row.size(); ++j) {
      const std::size_t replaced = diagonal + (!any && known[j - 1] != c);
      diagonal = row[j];
      row[j] = std::min({replaced, row[j] + !any, row[j - 1] + !any});
    }
  }
  return row.back();
}

}  // namespace detail

/// Whether a name is as a pattern says, in which `*` stands for any run of characters, also for none.
[[nodiscard]] inline bool matches(std::string_view name, std::string_view pattern) {
  return detail::match_runs(name, pattern).has_value();
}

/// Whether a name is as one of some patterns says.
[[nodiscard]] inline bool matches_any(std::string_view name, const std::vector<std::string>& patterns) {
  return std::any_of(patterns.begin(), patterns.end(), [&](const auto& pattern) { return matches(name, pattern); });
}
/// Whether one of some names is as a pattern says.
[[nodiscard]] inline bool any_matches(const std::vector<std::string>& names, std::string_view pattern) {
  return std::any_of(names.begin(), names.end(), [&](const auto& name) { return matches(name, pattern); });
}

/// The name that `to` makes of one that matches `pattern`: each `*` of `to` stands for what the `*` in its place of
/// `pattern` matched, as little as possible from the left ("module.*" and "*": "module.fc.weight" becomes "fc.weight").
/// Nothing where `name` does not match.
[[nodiscard]] inline std::optional<std::string> renamed(std::string_view name, std::string_view pattern,
                                                        std::string_view to) {
  const auto runs = detail::match_runs(name, pattern);
  if (!runs) return std::nullopt;
  std::string result;
  std::size_t next = 0;
  for (const char c : to) {
    if (c != '*') {
      result += c;
    } else if (next < runs->size()) {
      result += (*runs)[next++];
    }
  }
  return result;
}

/// Those of `known` that may have been meant by `name` (a name or a pattern), the likeliest first, at most three: names
/// that differ in up to a third of its characters, and names that one is a first or last part of, as "layer3" of
/// "layer3.0.conv1.weight".
[[nodiscard]] inline std::vector<std::string> close_names(std::string_view name,
                                                          const std::vector<std::string>& known) {
  constexpr std::size_t most = 3;
  const auto is_part = [](const std::string& part, const std::string& whole) {
    return !part.empty() && (whole.starts_with(part + '.') || whole.ends_with('.' + part));
  };
  const auto letters = name.size() - static_cast<std::size_t>(std::count(name.begin(), name.end(), '*'));
  const std::size_t limit = std::max<std::size_t>(1, letters / 3);
  const std::string text(name);
  std::vector<std::pair<std::size_t, const std::string*>> found;
  for (const std::string& other : known) {
    const std::size_t distance = is_part(text, other) || is_part(other, text) ? 1 : detail::edit_distance(name, other);
    if (letters > 0 && distance <= limit) found.emplace_back(distance, &other);
  }
  std::stable_sort(found.begin(), found.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
  std::vector<std::string> result;
  for (std::size_t i = 0; i < std::min(most, found.size()); ++i) result.push_back(*found[i].second);
  return result;
}

/// "'a', 'b' and 'c'", for messages; of more than `most` names, how many there are besides.
[[nodiscard]] inline std::string quoted_list(const std::vector<std::string>& names, std::size_t most = 8) {
  const std::size_t shown = std::min(most, names.size());
  std::string text;
  for (std::size_t i = 0; i < shown; ++i) {
    if (i > 0) text += i + 1 == names.size() ? " and " : ", ";
    text += "'" + names[i] + "'";
  }
  if (shown < names.size()) text += to_text(" and ", names.size() - shown, " more");
  return text;
}

}  // namespace lpw::inline LPW_ABI
