// --group and --freeze: parameters that are stepped otherwise than the rest (optim/parameter_groups.hpp), by their
// names.
#pragma once

#include <algorithm>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <lpw/optim/parameter_groups.hpp>
#include <lpw/optim/schedule.hpp>
#include <lpw/tensor/patterns.hpp>
#include <lpw/tensor/text.hpp>

#include "checks.hpp"
#include "numbers.hpp"

namespace example {

/// What --group says once: names, and the settings that differ from the rest's.
struct GroupText {
  std::vector<std::string> names;
  std::optional<double> learning_rate = {}, weight_decay = {};
  std::optional<std::string> schedule = {};
  bool frozen = false;
};

namespace detail {

/// A number of a setting, from 0 on.
inline double group_number(const std::string& setting, std::string_view text, double highest) {
  const auto value = read_number<double>(std::string(text));
  lpw::require<lpw::OptionError>(value && *value >= 0 && *value <= highest, setting, ": expected a number from 0 to ",
                                 lpw::shortest(highest), ", found ", text.empty() ? "nothing" : text);
  return *value;
}

}  // namespace detail

/// "NAME,NAME", where * stands for any part of a name. Throws OptionError for what can be no parameter's.
inline std::vector<std::string> parse_names(const std::string& text) {
  constexpr std::string_view letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.*-";
  const auto names = lpw::split_text(text, ',');
  for (const auto name : names)
    lpw::require<lpw::OptionError>(!name.empty() && name.find_first_not_of(letters) == name.npos,
                                   "expected names of parameters joined by commas, such as conv1.*,fc.bias, found ",
                                   text.empty() ? "nothing" : text);
  for (auto name = names.begin(); name != names.end(); ++name)
    lpw::require<lpw::OptionError>(std::find(names.begin(), name, *name) == name, "names ", *name, " twice");
  return {names.begin(), names.end()};
}

/// "NAMES:SETTING,SETTING": lr=NUMBER, weight-decay=NUMBER and, as the last one, schedule=SCHEDULE; or frozen alone.
/// Throws OptionError.
inline GroupText parse_group(const std::string& text) {
  const auto colon = text.find(':');
  lpw::require<lpw::OptionError>(colon != text.npos,
                                 "expected NAMES:SETTINGS, such as fc.*:lr=0.01,weight-decay=0, found ",
                                 text.empty() ? "nothing" : text);
  GroupText group{.names = parse_names(text.substr(0, colon))};
  const auto once = [&](bool is_new, const std::string& name) {
    lpw::require<lpw::OptionError>(is_new, name, " is there twice");
  };
  int settings = 0;
  for (std::size_t begin = colon + 1; begin <= text.size(); ++settings) {
    const auto comma = std::min(text.find(',', begin), text.size()), sign = std::min(text.find('=', begin), comma);
    const std::string name = text.substr(begin, sign - begin);
    const bool has_value = sign < comma;
    const std::string_view value = has_value ? std::string_view(text).substr(sign + 1, comma - sign - 1) : "";
    if (name == "lr" && has_value) {
      once(!group.learning_rate, name);
      group.learning_rate = detail::group_number(name, value, lpw::optim::max_learning_rate);
    } else if (name == "weight-decay" && has_value) {
      once(!group.weight_decay, name);
      group.weight_decay = detail::group_number(name, value, 1e12);
    } else if (name == "schedule" && has_value) {
      group.schedule = text.substr(sign + 1);  // to the end: it may have commas
      return group;
    } else {
      lpw::require<lpw::OptionError>(name == "frozen" && !has_value,
                                     "expected lr=NUMBER, weight-decay=NUMBER, frozen, or as the last one "
                                     "schedule=SCHEDULE, found ",
                                     comma == begin ? "nothing" : text.substr(begin, comma - begin));
      once(!group.frozen, name);
      group.frozen = true;
    }
    begin = comma + 1;
  }
  lpw::require<lpw::OptionError>(!group.frozen || settings == 1, "what is frozen has no rates; leave out the others");
  return group;
}

/// Such a text, such names.
[[nodiscard]] inline Check group_text() { return read_by(parse_group); }
[[nodiscard]] inline Check parameter_names() { return read_by(parse_names); }

/// The groups of an option that may be repeated.
inline std::vector<GroupText> parse_groups(const std::string& lines) {
  std::vector<GroupText> groups;
  if (lines.empty()) return groups;
  for (const auto line : lpw::split_text(lines, '\n')) groups.push_back(parse_group(std::string(line)));
  return groups;
}

/// The groups of a run's options as its checkpoint records them: each schedule with the number of epochs written out.
template <class Options>
[[nodiscard]] std::string recorded_groups(const Options& o) {
  std::string lines;
  if (o.groups.empty()) return lines;
  for (const auto line : lpw::split_text(o.groups, '\n')) {
    const GroupText group = parse_group(std::string(line));
    if (!lines.empty()) lines += '\n';
    if (!group.schedule) {
      lines += line;
      continue;
    }
    lines += line.substr(0, line.size() - group.schedule->size());
    lines +=
        lpw::optim::expand_schedule(*group.schedule, group.learning_rate.value_or(o.lr), static_cast<double>(o.epochs));
  }
  return lines;
}

/// What the optimizer is told: first what is frozen. Throws OptionError for a schedule that is none.
template <class Options>
[[nodiscard]] std::vector<lpw::optim::ParameterGroup> parameter_groups(const Options& o) {
  std::vector<lpw::optim::ParameterGroup> groups;
  if (!o.freeze.empty()) groups.push_back({.names = parse_names(o.freeze), .frozen = true});
  for (const GroupText& text : parse_groups(o.groups)) {
    lpw::optim::ParameterGroup group{.names = text.names,
                                     .learning_rate = text.learning_rate,
                                     .weight_decay = text.weight_decay,
                                     .frozen = text.frozen};
    if (text.schedule) try {
        group.schedule = lpw::optim::parse_schedule(*text.schedule, text.learning_rate.value_or(o.lr),
                                                    static_cast<double>(o.epochs));
      } catch (const lpw::OptionError& error) {
        lpw::fail<lpw::OptionError>("--group: ", error.what());
      }
    groups.push_back(std::move(group));
  }
  return groups;
}

namespace detail {

/// What is left of names after those that patterns have taken.
inline void take(std::vector<std::string>& names, const std::vector<std::string>& patterns) {
  std::erase_if(names, [&](const std::string& name) { return lpw::matches_any(name, patterns); });
}

/// Throws OptionError for names of a list of which another of the list has all parameters.
inline void require_each_names(const std::string& option, const std::vector<std::string>& patterns,
                               const std::vector<std::string>& names) {
  for (auto pattern = patterns.rbegin(); pattern != patterns.rend(); ++pattern) {
    auto others = patterns, left = names;
    std::erase(others, *pattern);
    take(left, others);
    lpw::require<lpw::OptionError>(lpw::any_matches(left, *pattern), option,
                                   ": other names there have all parameters '", *pattern, "'; leave that out");
  }
}

}  // namespace detail

/// Throws OptionError, naming the option and what is close, for names that no parameter of the network has, nor what a
/// release may attach to one, and for those that change nothing: of which --freeze, a group before, or another name of
/// the list has all parameters.
template <class Options, class Network>
void require_parameters(const Options& o, Network& network) {
  if (o.freeze.empty() && o.groups.empty()) return;
  const auto names = lpw::optim::detail::possible_names(network);
  auto left = names;
  const auto check = [&](const std::string& option, const std::vector<std::string>& patterns) {
    lpw::optim::detail::require_valid(option.c_str(), lpw::optim::ParameterGroup{.names = patterns}, names);
    detail::require_each_names(option, patterns, names);
    const std::size_t before = left.size();
    detail::take(left, patterns);
    lpw::require<lpw::OptionError>(left.size() < before, option, " ", patterns.front(),
                                   patterns.size() > 1 ? ",..." : "",
                                   ": --freeze or groups before it have all these parameters; leave it out, or put it "
                                   "before them");
  };
  if (!o.freeze.empty()) check("--freeze", parse_names(o.freeze));
  for (const GroupText& text : parse_groups(o.groups)) check("--group", text.names);
}

}  // namespace example
