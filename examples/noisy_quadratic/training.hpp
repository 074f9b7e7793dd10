// A training on the noisy quadratic problem: which iterations there are, what each does, and at which rates. The
// simulation runs through them with the library; moments.hpp, with expectations.
#pragma once

#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

#include <lpw/optim/optimizer.hpp>
#include <lpw/optim/schedule.hpp>
#include <lpw/tensor/text.hpp>

#include "problem.hpp"

namespace quadratic {

/// Where weights start: at the problem's start, or, for released networks, in the limit: drawn from the distribution
/// that constant rates lead to.
enum class Start { point, limit };

/// Averages of the weights in the course of training, stochastic weight averaging and the exponential moving average,
/// each taken every `every` iterations from the first iteration on that begins after `start` minibatches or more.
struct Averaging {
  std::int64_t start = -1, every = 1;  // -1: none
  double decay = 0.99;                 // of the exponential moving average
};

/// One unit of data is a minibatch. Until `release` of them are consumed an iteration takes `batch` minibatches, of
/// which it averages the gradients; afterwards it takes as many for each of K members.
struct Training {
  std::string name = "sgd";
  std::int64_t samples = 1000;           // minibatches in all
  std::int64_t batch = 1, release = -1;  // T0; -1: never
  std::int64_t members = 1;              // K, from release on
  double learning_rate = 0.1;            // eta, of theta
  double late_rate = 0.1;                // eta_phi, of phi
  lpw::optim::BaseGradient base_gradient = lpw::optim::BaseGradient::sum;
  double sigma = 0;                                        // sigma_0: phi_k = sigma_0 eps_k at release
  lpw::optim::Schedule schedule = lpw::optim::Constant{};  // in minibatches
  Averaging averaging = {};
  Start start = Start::point;
  std::int64_t records = 20;  // times at which losses are recorded, about; the end is one

  [[nodiscard]] bool constant_rates() const { return lpw::optim::is_constant(schedule); }
  [[nodiscard]] bool late_phase() const { return release >= 0 && late_rate > 0; }
  /// gamma_theta.
  [[nodiscard]] double base_scale() const {
    return base_gradient == lpw::optim::BaseGradient::mean ? 1 / static_cast<double>(members) : 1;
  }
  /// alpha before a schedule's factor: the rate of theta + mean phi. It is stepped by the mean of the members'
  /// gradients.
  [[nodiscard]] double rate_of_mean(bool released) const {
    return released ? learning_rate * base_scale() * static_cast<double>(members) + late_rate : learning_rate;
  }
};

/// What one iteration is.
struct Iteration {
  std::int64_t first = 0;                          // minibatches consumed before it
  std::int64_t members = 1;                        // that see one minibatch, or `batch` of them, each
  double factor = 1;                               // of the rates
  bool released = false, releases = false;         // has members; begins with their release
  bool starts_averages = false, averages = false;  // begins with averages of the present weights; updates them
  std::int64_t record = -1;                        // at its end losses are recorded, as the how-manieth
  std::int64_t consumed = 0;                       // minibatches, at its end
};

/// About `count` times at which losses are recorded: powers of two first, then evenly spaced, to the last.
[[nodiscard]] inline std::vector<std::int64_t> record_times(std::int64_t samples, std::int64_t count) {
  std::vector<std::int64_t> times;
  for (std::int64_t n = 1; n < samples / count; n *= 2) times.push_back(n);
  for (std::int64_t i = 1; i <= count; ++i)
    if (const auto n = samples * i / count; n > 0 && (times.empty() || n > times.back())) times.push_back(n);
  return times;
}

/// All iterations of a training. What is left of the data at the end and does not fill an iteration is not used.
[[nodiscard]] inline std::vector<Iteration> iterations(const Training& training) {
  std::vector<Iteration> result;
  const auto times = record_times(training.samples, training.records);
  const auto& averaging = training.averaging;
  std::size_t next_time = 0;
  std::int64_t records = 0, averaged = -1;  // iterations since averages began
  Iteration now;
  for (;;) {
    now.factor = lpw::optim::factor(training.schedule, static_cast<double>(now.first));
    now.releases = !now.released && training.release >= 0 && now.first >= training.release;
    if (now.releases) now.released = true, now.members = training.members;
    now.consumed = now.first + now.members * training.batch;
    if (now.consumed > training.samples) break;
    now.starts_averages = averaged < 0 && averaging.start >= 0 && now.first >= averaging.start;
    if (now.starts_averages) averaged = 0;
    now.averages = averaged >= 0 && ++averaged % averaging.every == 0;
    now.record = next_time < times.size() && now.consumed >= times[next_time] ? records++ : -1;
    while (next_time < times.size() && now.consumed >= times[next_time]) ++next_time;
    result.push_back(now);
    now.first = now.consumed;
  }
  if (!result.empty() && result.back().record < 0) result.back().record = records;
  return result;
}

/// Throws OptionError for what cannot be simulated, and for rates with which a direction's weights would grow without
/// bound.
inline void validate(const Problem& problem, const Training& training) {
  using lpw::require, lpw::OptionError;
  const auto& t = training;
  const double h = problem.largest_curvature();
  require<OptionError>(t.samples >= 1 && t.batch >= 1 && t.members >= 1 && t.records >= 1 && t.averaging.every >= 1,
                       t.name, ": `samples`, `batch`, `members`, `records` and `average_every` are at least 1");
  require<OptionError>(t.sigma >= 0, t.name, ": `sigma` ", t.sigma, "; expected 0 or more");
  require<OptionError>(t.averaging.start < 0 || t.averaging.start >= t.release, t.name, ": `average_start` ",
                       t.averaging.start, " is before `release` ", t.release,
                       "; averages begin with the members or after");
  require<OptionError>(t.start == Start::point || (t.release == 0 && t.constant_rates() && t.learning_rate > 0), t.name,
                       ": only constant rates above 0 from a `release` at 0 on have a limit to start from");
  const auto refuse = [&](const char* whose, const char* symbol, double rate) {
    require<OptionError>(rate * h < 2, t.name, ": ", whose, " has the rate ", symbol, " = ", lpw::significant(rate, 4),
                         ", so that ", symbol, " h = ", lpw::significant(rate * h, 4),
                         " in the steepest direction; expected less than 2: each step "
                         "would overshoot the minimum by as much as the weights were away from it, or more, and they "
                         "would never come to rest; lower ",
                         symbol[0] == 'b' ? "`late_lr`"
                         : t.release >= 0 ? "`lr` or `late_lr`, or take fewer `members`"
                                          : "`lr`");
  };
  const auto plan = iterations(t);
  require<OptionError>(!plan.empty(), t.name, ": `samples` ", t.samples,
                       " are fewer minibatches than one iteration takes; train for more, or with fewer `members`");
  double last_factor = -1;
  bool last_released = false;
  for (const Iteration& iteration : plan) {
    if (iteration.factor == last_factor && iteration.released == last_released) continue;
    last_factor = iteration.factor, last_released = iteration.released;
    refuse(iteration.released ? "the members' mean" : "SGD", "alpha", t.rate_of_mean(iteration.released) * last_factor);
    if (iteration.released && t.members > 1) refuse("a member's deviation", "beta", t.late_rate * last_factor);
  }
}

}  // namespace quadratic
