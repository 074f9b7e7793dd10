// The same moments under constant rates, in closed form: at every time, and in the limit. docs/noisy_quadratic.md has
// the derivation; the program and the tests hold moments.hpp against it.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include "losses.hpp"
#include "moments.hpp"

namespace quadratic {

/// x^n for any sign of x.
[[nodiscard]] inline double power(double x, std::int64_t n) { return std::pow(x, static_cast<double>(n)); }

/// sum_{k < n} a^k b^(n-1-k) for -1 < a < 1 and 0 <= b < 1: (a^n - b^n) / (a - b), without its cancellation where a
/// and b are close, and n a^(n-1) where they are equal.
[[nodiscard]] inline double mixed_sum(double a, double b, std::int64_t n) {
  if (a <= 0 || b <= 0) return (power(a, n) - power(b, n)) / (a - b);
  const double log_ratio = std::log1p((a - b) / b);
  if (log_ratio == 0) return static_cast<double>(n) * power(b, n - 1);
  return power(b, n - 1) * std::expm1(static_cast<double>(n) * log_ratio) / std::expm1(log_ratio);
}

/// A weight w' = r w + xi of stationary variance v, from mean m_0 and variance v_0 on.
struct Process {
  double r = 0, v = 0;

  [[nodiscard]] double mean(double m0, std::int64_t n) const { return power(r, n) * m0; }
  [[nodiscard]] double variance(double v0, std::int64_t n) const { return v + power(r, 2 * n) * (v0 - v); }

  /// The average of w_0, w_c, ..., w_{nc}, and its covariance with w_{nc}.
  [[nodiscard]] AverageMoments swa(double m0, double v0, std::int64_t n, std::int64_t every) const {
    const double rho = power(r, every), count = static_cast<double>(n + 1);
    const double sum = (1 - power(rho, n + 1)) / (1 - rho);  // of rho^j, j = 0..n
    return {m0 * sum / count,
            (v * (count * (1 + rho) - 2 * rho * sum) / (1 - rho) + (v0 - v) * sum * sum) / (count * count),
            (v + (v0 - v) * power(rho, n)) * sum / count};
  }

  /// A_0 = w_0, A_j = decay A_{j-1} + (1 - decay) w_{jc}, after n updates, and its covariance with w_{nc}.
  [[nodiscard]] AverageMoments ema(double m0, double v0, std::int64_t n, std::int64_t every, double decay) const {
    const AverageMoments limit = ema_limit(every, decay);
    const double rho = power(r, every), rho_n = power(rho, n), decay_n = power(decay, n);
    const double carried = (1 - decay) * rho * (n == 0 ? 0 : mixed_sum(rho, decay, n));  // of w_0 in A_n
    const double w = v0 - v, both = v0 - limit.covariance, a = v0 - limit.variance;      // at the start less the limit
    return {(decay_n + carried) * m0,
            limit.variance + carried * carried * w + 2 * carried * decay_n * both + decay_n * decay_n * a,
            limit.covariance + rho_n * (carried * w + decay_n * both)};
  }

  [[nodiscard]] AverageMoments ema_limit(std::int64_t every, double decay) const {
    const double rho = power(r, every), taken = 1 - decay;
    return {0, v * taken / (1 + decay) * (1 + decay * rho) / (1 - decay * rho), v * taken / (1 - decay * rho)};
  }
};

/// The moments of a direction after so many iterations, in closed form, for constant rates. `plan`:
/// iterations(training).
[[nodiscard]] inline Moments closed_form(const Problem& problem, const Training& training,
                                         const std::vector<Iteration>& plan, std::int64_t direction,
                                         std::int64_t done) {
  const double h = problem.curvature(direction);
  const auto first = [&](bool Iteration::*flag) -> std::int64_t {
    return std::find_if(plan.begin(), plan.end(), [&](const Iteration& at) { return at.*flag; }) - plan.begin();
  };
  const auto process = [&](bool released) {
    return Process{1 - training.rate_of_mean(released) * h,
                   steady_moments(problem, training, direction, released).variance};
  };
  const std::int64_t release_at = first(&Iteration::releases), averages_at = first(&Iteration::starts_averages);
  std::int64_t at = 0;  // iterations that `now` has behind it
  Process w = process(false), deviation;
  Moments now;
  now.mean = problem.start;
  if (training.start == Start::limit) now = steady_moments(problem, training, direction, true);
  const auto advance_to = [&](std::int64_t iteration) {
    const std::int64_t n = iteration - at;
    now.mean = w.mean(now.mean, n), now.variance = w.variance(now.variance, n);
    if (training.members > 1) now.spread = deviation.variance(now.spread, n);
    at = iteration;
  };
  if (done > release_at) {
    advance_to(release_at);
    if (training.start == Start::point) release(now, training.members, training.sigma);
    w = process(true);
    deviation = {1 - training.late_rate * h, steady_moments(problem, training, direction, true).spread};
  }
  if (done <= averages_at) return advance_to(done), now;
  advance_to(averages_at);
  const auto& [start, every, decay] = training.averaging;
  const std::int64_t updates = (done - at) / every, rest = (done - at) % every;
  now.swa = w.swa(now.mean, now.variance, updates, every);
  now.ema = w.ema(now.mean, now.variance, updates, every, decay);
  now.swa.covariance *= power(w.r, rest), now.ema.covariance *= power(w.r, rest);
  return advance_to(done), now;
}

/// What expected_losses says, by closed forms.
[[nodiscard]] inline std::vector<Expected> closed_form_losses(const Problem& problem, const Training& training) {
  const auto plan = iterations(training);
  auto result = times_of(plan);
  for (std::int64_t direction = 0; direction < problem.dimensions; ++direction)
    for (Expected& at : result)
      add_direction(at.losses, closed_form(problem, training, plan, direction, at.iteration),
                    problem.curvature(direction), at.released, training.members, at.averaged);
  return result;
}

/// The limits of the expected losses under constant rates. That of stochastic weight averaging is 0.
[[nodiscard]] inline Readouts<LossMoments> limit_losses(const Problem& problem, const Training& training) {
  Readouts<LossMoments> sums;
  const bool released = training.release >= 0;
  for (std::int64_t direction = 0; direction < problem.dimensions; ++direction) {
    const double h = problem.curvature(direction);
    Moments moments = steady_moments(problem, training, direction, released);
    const Process w{1 - training.rate_of_mean(released) * h, moments.variance};
    moments.ema = w.ema_limit(training.averaging.every, training.averaging.decay);
    add_direction(sums, moments, h, released, training.members, training.averaging.start >= 0);
  }
  return sums;
}

}  // namespace quadratic
