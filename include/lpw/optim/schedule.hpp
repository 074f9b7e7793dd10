// Learning-rate schedules: the factor by which an epoch's rate differs from the initial one.
#pragma once

#include <algorithm>
#include <cmath>
#include <numbers>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include <lpw/tensor/error.hpp>
#include <lpw/tensor/float_bits.hpp>
#include <lpw/tensor/parse_double.hpp>
#include <lpw/tensor/text.hpp>

namespace lpw::inline LPW_ABI::optim {

/// Always 1.
struct Constant {
  [[nodiscard]] double operator()(double) const { return 1; }
};

/// 1 until epoch `start`, then linear to `final_factor` at epoch `end`, then that.
struct LinearAnneal {
  double start = 0, end = 1, final_factor = 0;
  [[nodiscard]] double operator()(double epoch) const {
    if (epoch <= start) return 1;
    if (epoch >= end) return final_factor;
    return 1 + (final_factor - 1) * (epoch - start) / (end - start);
  }
};

/// gamma to the number of milestones reached.
struct MultiStep {
  std::vector<double> milestones;
  double gamma = 0.1;
  [[nodiscard]] double operator()(double epoch) const {
    double factor = 1;
    for (double milestone : milestones)
      if (epoch >= milestone) factor *= gamma;
    return factor;
  }
};

/// (1 + cos(pi epoch / epochs)) / 2 (Loshchilov & Hutter 2017), 0 from `epochs` on.
struct Cosine {
  double epochs = 1;
  [[nodiscard]] double operator()(double epoch) const {
    return 0.5 * (1 + std::cos(std::numbers::pi * std::min(epoch / epochs, 1.0)));
  }
};

using Schedule = std::variant<Constant, LinearAnneal, MultiStep, Cosine>;

/// The factor for an epoch, counted from 0.
[[nodiscard]] inline double factor(const Schedule& schedule, double epoch) {
  return std::visit([&](const auto& s) { return s(epoch); }, schedule);
}

/// The largest learning rate that options can ask for: beyond it there is no training, only overflow.
inline constexpr double max_learning_rate = 1e12;

namespace detail {

inline constexpr const char* schedule_forms =
    "expected constant, cosine, cosine:EPOCHS, anneal, anneal:START:END:FINAL or steps:a,b,...:gamma";

[[nodiscard]] inline double number(std::string_view text, std::string_view whole) {
  const auto value = parse_double(text);
  require<OptionError>(value && is_finite(*value), "schedule \"", whole, "\": \"", text, "\" is not a number; ",
                       schedule_forms);
  return *value;
}

[[nodiscard]] inline LinearAnneal parse_anneal(std::string_view text, const std::vector<std::string_view>& parts,
                                               double learning_rate) {
  const double start = number(parts[1], text), end = number(parts[2], text), rate = number(parts[3], text);
  const bool frozen = learning_rate == 0 && rate == 0;
  require<OptionError>(
      start >= 0 && end > start && rate >= 0 && rate <= max_learning_rate && (learning_rate > 0 || frozen),
      "schedule \"", text, "\": expected 0 <= START < END, FINAL from 0 to ", max_learning_rate,
      " and a positive learning rate");
  return {start, end, frozen ? 1 : rate / learning_rate};
}

[[nodiscard]] inline MultiStep parse_steps(std::string_view text, const std::vector<std::string_view>& parts,
                                           double learning_rate) {
  MultiStep steps{{}, number(parts[2], text)};
  for (auto part : split_text(parts[1], ',')) {
    steps.milestones.push_back(number(part, text));
    require<OptionError>(steps.milestones.back() >= 0, "schedule \"", text, "\": milestone ", part, " is negative");
  }
  require<OptionError>(steps.gamma >= 0, "schedule \"", text, "\": gamma is negative");
  const double last = learning_rate * steps(*std::max_element(steps.milestones.begin(), steps.milestones.end()));
  require<OptionError>(last <= max_learning_rate, "schedule \"", text, "\": leads to a learning rate of ", last,
                       "; expected at most ", max_learning_rate);
  return steps;
}

}  // namespace detail

/// A schedule's text with everything in it that depends on the number of epochs written out: "cosine" becomes
/// "cosine:EPOCHS", "anneal" becomes "anneal:START:END:FINAL" with START half of the epochs, END nine tenths and FINAL
/// a hundredth of the rate, as in the method's CIFAR runs. Others are returned as they are.
[[nodiscard]] inline std::string expand_schedule(std::string_view text, double learning_rate, double epochs) {
  if (text == "cosine") return "cosine:" + shortest(std::max(epochs, 1.0));
  if (text == "anneal")
    return "anneal:" + shortest(0.5 * epochs) + ':' + shortest(0.9 * epochs) + ':' + shortest(0.01 * learning_rate);
  return std::string(text);
}

/// Reads "constant", "cosine:EPOCHS", "anneal:START:END:FINAL" (epochs, and the rate reached, which is divided by
/// `learning_rate`) or "steps:a,b,...:gamma" (epochs and the factor at each); and what expand_schedule writes out.
/// Throws OptionError naming what is wrong.
[[nodiscard]] inline Schedule parse_schedule(std::string_view given, double learning_rate, double epochs) {
  const std::string text = expand_schedule(given, learning_rate, epochs);
  const auto parts = split_text(text, ':');
  if (text == "constant") return Constant{};
  if (parts[0] == "cosine" && parts.size() == 2) {
    const Cosine cosine{detail::number(parts[1], text)};
    require<OptionError>(cosine.epochs > 0, "schedule \"", text, "\": expected a positive number of epochs");
    return cosine;
  }
  if (parts[0] == "anneal" && parts.size() == 4) return detail::parse_anneal(text, parts, learning_rate);
  if (parts[0] == "steps" && parts.size() == 3) return detail::parse_steps(text, parts, learning_rate);
  fail<OptionError>("schedule \"", text, "\": ", detail::schedule_forms);
}

}  // namespace lpw::inline LPW_ABI::optim
