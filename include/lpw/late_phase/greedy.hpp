// A greedy choice of members (as of models in Wortsman et al. 2022, "Model soups"): they are taken in the order of what
// they score on held-out data, and one stays among those that are averaged unless it makes their average worse.
#pragma once

#include <algorithm>
#include <cstdint>
#include <numeric>
#include <vector>

#include <lpw/late_phase/mixed_members.hpp>
#include <lpw/tensor/float_bits.hpp>

namespace lpw::inline LPW_ABI {

/// The members that were chosen, and what their mean scores.
struct GreedyChoice {
  std::vector<std::int64_t> members;  // in the order in which they were taken
  double quality = 0;                 // of their average, as it was scored
  std::vector<double> coefficients;   // [K]: 1 / |members| for those, else 0
};

/// Chooses members by what each scores, the higher the better, and by what quality_of(coefficients), an average of some
/// of them, does: the best first, then each whose average with the chosen ones is not worse than theirs. A score of NaN
/// comes last, and never wins. Of equal members the first is first. quality_of is called for the best alone, too: its
/// average may have statistics of its own. Throws OptionError for no members.
template <class QualityOf>
[[nodiscard]] GreedyChoice choose_members(const std::vector<double>& qualities, QualityOf&& quality_of) {
  const std::int64_t members = std::ssize(qualities);
  require<OptionError>(members > 0, "choose_members: there are no members");
  std::vector<std::int64_t> order(qualities.size());
  std::iota(order.begin(), order.end(), std::int64_t{0});
  std::stable_sort(order.begin(), order.end(), [&](std::int64_t a, std::int64_t b) {
    const double one = qualities[to_size(a)], other = qualities[to_size(b)];
    return is_nan(other) ? !is_nan(one) : one > other;
  });
  const auto coefficients_of = [&](const std::vector<std::int64_t>& chosen) {
    std::vector<double> result(qualities.size(), 0.0);
    for (const std::int64_t k : chosen) result[to_size(k)] = 1.0 / static_cast<double>(chosen.size());
    return result;
  };
  GreedyChoice best{.members = {order.front()}, .coefficients = coefficients_of({order.front()})};
  best.quality = quality_of(best.coefficients);
  for (std::size_t i = 1; i < order.size(); ++i) {
    auto chosen = best.members;
    chosen.push_back(order[i]);
    const auto coefficients = coefficients_of(chosen);
    const double quality = quality_of(coefficients);
    if (is_nan(quality) || quality < best.quality) continue;
    best = {std::move(chosen), quality, coefficients};
  }
  return best;
}

}  // namespace lpw::inline LPW_ABI
