// An average chosen at run time, and when it is updated.
#pragma once

#include <memory>
#include <variant>

#include <lpw/optim/averages/exponential_average.hpp>
#include <lpw/optim/averages/latest_average.hpp>
#include <lpw/optim/schedules/pieces.hpp>
#include <lpw/optim/weight_average.hpp>

namespace lpw::inline LPW_ABI::optim {

/// One of the averages over time.
using AverageOptions = std::variant<SwaOptions, EmaOptions, LatestOptions>;

/// Throws OptionError for what no average can be.
inline void validate(const AverageOptions& options) {
  std::visit([](const auto& average) { validate(average); }, options);
}

/// The average of these options for a network. Throws OptionError as its constructor does.
template <nn::Visitable M>
[[nodiscard]] std::unique_ptr<Average<nn::WeightOf<M>, typename M::device_type>> make_average(
    M& network, const AverageOptions& options) {
  using W = nn::WeightOf<M>;
  using D = typename M::device_type;
  if (const auto* ema = std::get_if<EmaOptions>(&options))
    return std::make_unique<ExponentialAverage<W, D>>(network, *ema);
  if (const auto* latest = std::get_if<LatestOptions>(&options))
    return std::make_unique<LatestAverage<W, D>>(network, *latest);
  return std::make_unique<WeightAverage<W, D>>(network);
}
/// For what is no module: says so.
template <nn::detail::NoModule M>
auto make_average(M&, const AverageOptions&) {
  return nn::detail::not_a_module<M>();
}

/// When an average is updated: after every `every`-th of a period, from epoch `start` on. A function of where training
/// stands alone.
struct AveragePlan {
  enum class Period { epochs, steps };  // What it counts

  std::int64_t start = 0;          // epochs before the first that counts
  std::int64_t every = 1;          // so many periods
  Period period = Period::epochs;  // epochs or steps

  /// After a step, which `after` counts already: steps are counted from the start of training.
  [[nodiscard]] bool due(const Time& after) const {
    return period == Period::steps && after.epoch >= start && after.step % every == 0;
  }
  /// After an epoch, counted from 0: epochs are counted from `start`, of which the `every`-th is the first.
  [[nodiscard]] bool due_after_epoch(std::int64_t epoch) const {
    return period == Period::epochs && epoch >= start && (epoch - start + 1) % every == 0;
  }
};

/// Throws OptionError for a plan that cannot be.
inline void validate(const AveragePlan& plan) {
  require<OptionError>(plan.start >= 0, "weight averaging: start ", plan.start, "; expected at least 0 epochs");
  require<OptionError>(plan.every >= 1, "weight averaging: every ", plan.every, "; expected at least 1");
}

}  // namespace lpw::inline LPW_ABI::optim
