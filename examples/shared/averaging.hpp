// What the options of averages over time say, and mean for the library. Their rows are in averaging_rows.hpp.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include <lpw/optim/averages/make_average.hpp>
#include <lpw/tensor/text.hpp>

#include "numbers.hpp"

namespace example {

/// What --average asks for; nothing for none. Throws OptionError naming what is wrong.
inline std::optional<lpw::optim::AverageOptions> parse_average(const std::string& text) {
  using namespace lpw::optim;
  const auto parts = lpw::split_text(text, ':');
  const auto number = [&]<class T>(std::size_t i, T) {
    const auto value = i < parts.size() ? read_number<T>(parts[i]) : std::nullopt;
    lpw::require<lpw::OptionError>(value.has_value(), "--average ", text,
                                   ": expected none, swa, ema:DECAY, ema:DECAY:LATE_DECAY or lawa:N, such as "
                                   "ema:0.999");
    return *value;
  };
  if (text == "none") return std::nullopt;
  AverageOptions average;
  if (parts[0] == "ema" && (parts.size() == 2 || parts.size() == 3)) {
    EmaOptions ema{.decay = number(1, 0.0)};
    if (parts.size() == 3) ema.late_decay = number(2, 0.0);
    average = ema;
  } else if (parts[0] == "lawa" && parts.size() == 2) {
    average = LatestOptions{number(1, std::int64_t{})};
  } else if (text != "swa") {
    static_cast<void>(number(parts.size(), 0));  // refuses
  }
  try {
    validate(average);
  } catch (const lpw::OptionError& error) {
    lpw::fail<lpw::OptionError>("--average ", text, ": ", error.what());
  }
  return average;
}

/// When that average is updated: after epochs, or steps where it is an exponential one, unless --average-by says which.
template <class Options>
lpw::optim::AveragePlan average_plan(const Options& o) {
  using Period = lpw::optim::AveragePlan::Period;
  const bool by_steps = o.average_by.empty() ? o.average.starts_with("ema") : o.average_by == "steps";
  return {.start = o.average_start, .every = o.average_every, .period = by_steps ? Period::steps : Period::epochs};
}

}  // namespace example
