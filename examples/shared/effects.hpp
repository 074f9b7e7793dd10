// Parts of an option's value that do nothing: selectors of --late beside others, which are refused, and what schedules
// say of times after the end, which is remarked upon, since a run may be resumed with more epochs.
#pragma once

#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <lpw/late_phase/release.hpp>
#include <lpw/optim/schedule.hpp>
#include <lpw/tensor/text.hpp>

#include "parameter_groups.hpp"

namespace example {

namespace detail {

/// What a release makes of a network: the parameters that get rows for members, factors, deviations.
template <class Network>
[[nodiscard]] std::set<std::pair<int, const void*>> released(Network& network, const lpw::Selectors& selectors) {
  std::set<std::pair<int, const void*>> result;
  lpw::nn::for_each_parameter(network, [&](const std::string& name, const auto& parameter) {
    if (selectors.selects(name, parameter)) result.emplace(0, parameter.id());
  });
  lpw::detail::for_each_factored_weight(network, selectors,
                                        [&](const std::string&, auto& weight) { result.emplace(1, weight.id()); });
  lpw::detail::for_each_additive(network, selectors,
                                 [&](const std::string&, auto& parameter) { result.emplace(2, parameter.id()); });
  return result;
}

/// What a schedule's text says of times from the last epoch's end on: "" for nothing. Iterations are not counted.
[[nodiscard]] inline std::string after_the_end(const std::string& text, double rate, double epochs) {
  const std::string whole = lpw::optim::expand_schedule(text, rate, epochs);
  const auto parts = lpw::optim::detail::split_schedule(whole);
  if (parts.iterations()) return {};
  double start = 0;
  for (const std::string_view part : parts.pieces) {
    const auto piece = lpw::optim::detail::split_piece(part);
    if (start >= epochs) return lpw::to_text("the curve ", piece.curve, " begins at ", lpw::shortest(start));
    const auto words = lpw::split_text(piece.curve, ':');
    if (words[0] == "steps" && words.size() > 1)
      for (const auto milestone : lpw::split_text(words[1], ','))
        if (const auto at = lpw::parse_double(milestone); at && start + *at >= epochs)
          return lpw::to_text("the step at ", milestone);
    if (words[0] == "anneal" && words.size() > 1)
      if (const auto at = lpw::parse_double(words[1]); at && start + *at >= epochs)
        return lpw::to_text("the rate begins to fall at ", words[1]);
    start += lpw::optim::detail::stated_length(piece).value_or(0);
  }
  return {};
}

}  // namespace detail

/// Throws OptionError for a selector of --late that others leave nothing to.
template <class Options, class Network>
void require_each_selects(const Options& o, Network& network) {
  if (o.late == "none" || (o.members == 1 && !o.release_one)) return;
  const auto all = detail::released(network, lpw::Selectors::parse(o.late));
  const auto parts = lpw::split_text(o.late, ',');
  for (std::size_t i = parts.size(); i-- > 0 && parts.size() > 1;) {
    std::vector<std::string> others(parts.begin(), parts.end());
    others.erase(others.begin() + static_cast<std::ptrdiff_t>(i));
    // One that selects nothing by itself is refused as that.
    lpw::require<lpw::OptionError>(detail::released(network, lpw::Selectors::parse(parts[i])).empty() ||
                                       detail::released(network, lpw::Selectors(others)) != all,
                                   "--late ", o.late, ": the others leave nothing to ", parts[i], "; leave that out");
  }
}

/// A line for each schedule that says something of times after the end.
template <class Options>
[[nodiscard]] std::vector<std::string> remarks_on_schedules(const Options& o) {
  std::vector<std::string> lines;
  const auto remark = [&](const std::string& option, const std::string& text, double rate) {
    const std::string late = detail::after_the_end(text, rate, static_cast<double>(o.epochs));
    if (!late.empty())
      lines.push_back(lpw::to_text("note: ", option, ' ', text, ": ", late, ", and training ends after ", o.epochs,
                                   o.epochs == 1 ? " epoch" : " epochs"));
  };
  remark("--schedule", o.schedule, o.lr);
  if (!o.late_schedule.empty()) remark("--late-schedule", o.late_schedule, o.late_rate());
  if (!o.coefficient_schedule.empty()) remark("--coefficient-schedule", o.coefficient_schedule, o.coefficient_rate());
  for (const GroupText& group : parse_groups(o.groups))
    if (group.schedule) remark("--group", *group.schedule, group.learning_rate.value_or(o.lr));
  return lines;
}

}  // namespace example
