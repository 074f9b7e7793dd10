// The losses that are read off a training, as expected and as simulated.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "moments.hpp"

namespace quadratic {

/// Which weights' loss: those that the members collapse into (a plain network's own), the first member's, the mean of
/// the members' losses, and the averages' (collapsed, too).
enum class Readout : std::size_t { collapsed, member, members, swa, ema };
inline constexpr std::array<std::string_view, 5> readout_names{"collapsed", "member", "mean of members", "swa", "ema"};

/// Something for each readout that there is at that time.
template <class X>
using Readouts = std::array<std::optional<X>, readout_names.size()>;

/// Mean and variance of a loss over repetitions of the training.
struct LossMoments {
  double mean = 0, variance = 0;

  /// Adds 1/2 h w^2 for w ~ N(mean, variance) that is independent of what is there.
  void add_square(double h, double weight_mean, double v) {
    mean += h / 2 * (weight_mean * weight_mean + v);
    variance += h * h / 4 * (2 * v * v + 4 * weight_mean * weight_mean * v);
  }
  /// Adds 1/2 h mean_k (z_k - mean z)^2 for K independent z_k ~ N(0, spread): spread / K times chi squared with K - 1
  /// degrees of freedom.
  void add_deviations(double h, double spread, std::int64_t members) {
    const double k = static_cast<double>(members);
    mean += h / 2 * spread * (k - 1) / k;
    variance += h * h / 4 * 2 * spread * spread * (k - 1) / (k * k);
  }
};

/// Adds the losses of one direction to sums that are independent of it.
inline void add_direction(Readouts<LossMoments>& sums, const Moments& moments, double h, bool released,
                          std::int64_t members, bool averaged) {
  const auto sum = [&](Readout readout) -> LossMoments& {
    auto& there = sums[static_cast<std::size_t>(readout)];
    if (!there) there.emplace();
    return *there;
  };
  sum(Readout::collapsed).add_square(h, moments.mean, moments.variance);
  if (released && members > 1) {
    sum(Readout::member).add_square(h, moments.mean, moments.member_variance(members));
    sum(Readout::members).add_square(h, moments.mean, moments.variance);
    sum(Readout::members).add_deviations(h, moments.spread, members);
  }
  if (averaged) {
    sum(Readout::swa).add_square(h, moments.swa.mean, moments.swa.variance);
    sum(Readout::ema).add_square(h, moments.ema.mean, moments.ema.variance);
  }
}

/// The losses expected at each time of recording.
struct Expected {
  std::int64_t iteration = 0, samples = 0;  // iterations done, and minibatches consumed
  bool released = false, averaged = false;
  Readouts<LossMoments> losses = {};
};

/// The times of recording, without losses.
[[nodiscard]] inline std::vector<Expected> times_of(const std::vector<Iteration>& plan) {
  std::vector<Expected> result;
  bool averaged = false;
  for (std::size_t i = 0; i < plan.size(); ++i) {
    averaged = averaged || plan[i].starts_averages;
    if (plan[i].record >= 0)
      result.push_back({static_cast<std::int64_t>(i) + 1, plan[i].consumed, plan[i].released, averaged});
  }
  return result;
}

/// By the product of all iterations' maps, at any rates.
[[nodiscard]] inline std::vector<Expected> expected_losses(const Problem& problem, const Training& training) {
  const auto plan = iterations(training);
  auto result = times_of(plan);
  for (std::int64_t direction = 0; direction < problem.dimensions; ++direction) {
    MomentsOf moments(problem, training, direction);
    for (const Iteration& iteration : plan) {
      moments.step(iteration);
      if (iteration.record < 0) continue;
      auto& at = result[lpw::to_size(iteration.record)];
      add_direction(at.losses, moments.now, problem.curvature(direction), at.released, training.members, at.averaged);
    }
  }
  return result;
}

}  // namespace quadratic
