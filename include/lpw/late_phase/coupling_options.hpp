// Which coupling of members there is, how strong, and how often: what `Coupling` does (coupling.hpp).
#pragma once

#include <algorithm>
#include <cmath>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include <lpw/tensor/error.hpp>
#include <lpw/tensor/float_bits.hpp>
#include <lpw/tensor/parse_double.hpp>
#include <lpw/tensor/patterns.hpp>
#include <lpw/tensor/philox.hpp>

namespace lpw::inline LPW_ABI {

/// phi_k <- phi_k + alpha_n (mean_j phi_j - phi_k), alpha_n = min(1, alpha growth^n) for the n-th pull from 0 on. PAPA
/// (Jolicoeur-Martineau et al. 2023) with alpha = 1 - alpha_PAPA; with a growth above 1 the replicas of replicated and
/// entropic SGD (Pittorino et al. 2020), which end as one.
struct PullToMean {
  double alpha = 0.01;  // 1: all become the mean
  double growth = 1;    // of alpha, from pull to pull
};

/// With d_k = phi_k - c: phi_k <- phi_k - rho d_k, c <- c + rho sum_k d_k: elastic averaging (Zhang, Choromanska, LeCun
/// 2015), all members at once. The centre c starts at the members' mean.
struct Elastic {
  std::optional<double> rho = {};  // none: 0.9 / K, theirs
};

/// Every coordinate is permuted among the members with a probability (WASH, Fournier et al. 2024, with one probability
/// for all layers).
struct Swap {
  double share = 0.001;  // the probability
  bool states = false;   // the optimizer's states go with the weights
};

/// One of the ways in which members pull on each other.
using CouplingRule = std::variant<PullToMean, Elastic, Swap>;

/// How members pull on each other, and after how many of their steps.
struct CouplingOptions {
  CouplingRule rule = PullToMean{};  // what a coupling does
  std::int64_t every = 10;           // steps
  Philox random{0};                  // for Swap
};

namespace detail {

/// alpha, rho or share of the n-th coupling of so many members, from 0 on, times `factor`. Throws OptionError where
/// that is none.
[[nodiscard]] inline double coupling_strength(const CouplingRule& rule, std::int64_t members, std::int64_t n,
                                              double factor) {
  const auto within = [](const char* name, double value, double most, const std::string& why = {}) {
    require<OptionError>(is_finite(value) && value >= 0 && value <= most, "coupling: ", name, ' ', value,
                         "; expected 0 to ", most, why);
    return value;
  };
  if (const auto* pull = std::get_if<PullToMean>(&rule)) {
    const double alpha = within("alpha", pull->alpha, 1);
    const double grown = alpha == 0 ? 0 : alpha * std::pow(pull->growth, static_cast<double>(n));  // not 0 * infinity
    return within("alpha", std::min(1.0, grown) * factor, 1);
  }
  if (const auto* swap = std::get_if<Swap>(&rule)) return within("share", swap->share * factor, 1);
  const auto count = static_cast<double>(members);
  return within("rho", std::get<Elastic>(rule).rho.value_or(0.9 / count) * factor, 1 / count,
                to_text(", 1 / ", members, " members, beyond which the centre overshoots their mean"));
}

}  // namespace detail

/// Throws OptionError for what cannot couple so many members: alpha, share or K rho outside of [0, 1], a growth below
/// 1, every < 1.
inline void require_possible(const CouplingOptions& options, std::int64_t members) {
  require<OptionError>(options.every >= 1, "coupling: every ", options.every, " steps; expected at least 1");
  if (const auto* pull = std::get_if<PullToMean>(&options.rule))
    require<OptionError>(is_finite(pull->growth) && pull->growth >= 1, "coupling: growth ", pull->growth,
                         "; expected at least 1");
  static_cast<void>(detail::coupling_strength(options.rule, members, 0, 1));
}

/// "none" for nothing, "pull:ALPHA", "pull:ALPHA:GROWTH", "elastic", "elastic:RHO", "swap:SHARE" or
/// "swap:SHARE:states". Throws OptionError for another text.
[[nodiscard]] inline std::optional<CouplingRule> parse_coupling(std::string_view text) {
  const auto parts = split_text(text, ':');
  const std::size_t numbers = parts.size() - 1 - (parts.size() == 3 && parts[2] == "states");
  std::vector<double> values;
  for (std::size_t i = 1; i <= numbers; ++i)
    if (const auto value = parse_double(parts[i])) values.push_back(*value);
  const bool states = numbers + 2 == parts.size(), all_read = values.size() == numbers;
  if (text == "none") return std::nullopt;
  if (parts[0] == "pull" && all_read && !states && (numbers == 1 || numbers == 2))
    return PullToMean{.alpha = values[0], .growth = numbers == 2 ? values[1] : 1};
  if (parts[0] == "elastic" && all_read && !states && numbers <= 1)
    return Elastic{.rho = numbers == 1 ? std::optional(values[0]) : std::nullopt};
  if (parts[0] == "swap" && all_read && numbers == 1) return Swap{.share = values[0], .states = states};
  fail<OptionError>("coupling: \"", text,
                    "\"; expected none, pull:ALPHA, pull:ALPHA:GROWTH, elastic, elastic:RHO, swap:SHARE or "
                    "swap:SHARE:states");
}

}  // namespace lpw::inline LPW_ABI
