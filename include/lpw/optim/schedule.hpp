// Learning-rate schedules: the factor by which an epoch's rate differs from the initial one.
#pragma once

#include <algorithm>
#include <charconv>
#include <cmath>
#include <numbers>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include <lpw/tensor/error.hpp>
#include <lpw/tensor/float_bits.hpp>

namespace lpw::optim {

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
  [[nodiscard]] double operator()(double epoch) const { return 0.5 * (1 + std::cos(std::numbers::pi * std::min(epoch / epochs, 1.0))); }
};

using Schedule = std::variant<Constant, LinearAnneal, MultiStep, Cosine>;

/// The factor for an epoch, counted from 0.
[[nodiscard]] inline double factor(const Schedule& schedule, double epoch) {
  return std::visit([&](const auto& s) { return s(epoch); }, schedule);
}

namespace detail {

[[nodiscard]] inline std::vector<std::string_view> split(std::string_view text, char separator) {
  std::vector<std::string_view> parts;
  for (std::size_t at = 0;;) {
    const std::size_t next = text.find(separator, at);
    parts.push_back(text.substr(at, next - at));
    if (next == std::string_view::npos) return parts;
    at = next + 1;
  }
}

[[nodiscard]] inline double number(std::string_view text, std::string_view whole) {
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  require<OptionError>(error == std::errc() && end == text.data() + text.size() && is_finite(value), "schedule \"", whole, "\": \"", text,
                       "\" is not a number; expected constant, cosine, anneal, anneal:START:END:FINAL or steps:a,b,...:gamma");
  return value;
}

}  // namespace detail

/// Reads "constant", "cosine" (over `epochs`), "anneal" (constant for half of `epochs`, then linear to a hundredth at nine tenths, as in
/// the method's CIFAR runs), "anneal:START:END:FINAL" (epochs, and the rate reached, which is divided by `learning_rate`) or
/// "steps:a,b,...:gamma" (epochs and the factor at each). Throws OptionError naming what is wrong.
[[nodiscard]] inline Schedule parse_schedule(std::string_view text, double learning_rate, double epochs) {
  const auto parts = detail::split(text, ':');
  if (text == "constant") return Constant{};
  if (text == "cosine") return Cosine{std::max(epochs, 1.0)};
  if (text == "anneal") return LinearAnneal{0.5 * epochs, 0.9 * epochs, 0.01};
  if (parts[0] == "anneal" && parts.size() == 4) {
    const LinearAnneal anneal{detail::number(parts[1], text), detail::number(parts[2], text),
                              detail::number(parts[3], text) / learning_rate};
    require<OptionError>(anneal.start >= 0 && anneal.end > anneal.start && anneal.final_factor >= 0 && learning_rate > 0, "schedule \"",
                         text, "\": expected 0 <= START < END, FINAL >= 0 and a positive learning rate");
    return anneal;
  }
  if (parts[0] == "steps" && parts.size() == 3) {
    MultiStep steps{{}, detail::number(parts[2], text)};
    for (auto part : detail::split(parts[1], ',')) steps.milestones.push_back(detail::number(part, text));
    require<OptionError>(steps.gamma >= 0, "schedule \"", text, "\": gamma is negative");
    return steps;
  }
  fail<OptionError>("schedule \"", text, "\": expected constant, cosine, anneal, anneal:START:END:FINAL or steps:a,b,...:gamma");
}

}  // namespace lpw::optim
