// A training on the noisy quadratic problem as it is done with lpw: released, stepped and averaged by the library. It
// holds nothing of the theory.
#pragma once

#include <cmath>
#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

#include <lpw/cpu/base/parallel.hpp>
#include <lpw/optim/averages/exponential_average.hpp>
#include <lpw/optim/sgd.hpp>
#include <lpw/optim/weight_average.hpp>

#include "losses.hpp"

namespace quadratic {

/// Weights [d] at the time of a record; those of each member, and of averages where there are any.
struct Weights {
  std::vector<double> collapsed;
  std::vector<std::vector<double>> members;
  std::optional<std::vector<double>> swa, ema;
};

/// One repeat of a training.
class Simulation {
 public:
  Simulation(const Problem& problem, const Training& training, const Draws& draws)
      : problem_(problem), training_(training), draws_(draws), network_(problem), optimizer_(network_, options()) {}

  /// Calls observe(record, weights) at each time of recording.
  template <class Observe>
  void run(Observe&& observe) {
    for (const Iteration& iteration : iterations(training_)) {
      if (iteration.releases) release();
      if (iteration.starts_averages) {
        swa_.emplace(network_).update();
        ema_.emplace(network_, lpw::optim::EmaOptions{.decay = training_.averaging.decay, .bias_correction = false})
            .update();
      }
      step(iteration);
      if (iteration.averages) swa_->update(), ema_->update();
      if (iteration.record >= 0) observe(iteration.record, weights());
    }
  }

 private:
  [[nodiscard]] lpw::optim::SgdOptions options() const {
    return {.learning_rate = training_.learning_rate,
            .momentum = 0,
            .nesterov = false,
            .weight_decay = 0,
            .late = lpw::optim::Rates{.learning_rate = training_.late_rate},
            .base_gradient = training_.base_gradient};
  }

  void step(const Iteration& iteration) {
    const Tensor eps = draw_minibatches(problem_, draws_, iteration.first, iteration.members, training_.batch);
    lpw::Tape tape;
    const Variable loss = network_.forward(tape.input(eps));
    lpw::require_finite(loss);
    tape.backward(loss);
    optimizer_.step(iteration.factor);
  }

  void release() {
    lpw::release(network_, optimizer_, {.members = training_.members, .late = lpw::Selectors({"phi"})});
    // The library's release noise is relative to phi, which is 0; this is absolute.
    for (std::int64_t k = 0; k < training_.members; ++k) {
      double* phi = network_.phi.value().row(k);
      draws_.each(lpw::Stream::release, k, problem_.dimensions, [&](std::int64_t i, double normal) {
        phi[i] += (training_.start == Start::limit ? limit_deviation(i) : training_.sigma) * normal;
      });
    }
    if (training_.start == Start::limit) start_in_limit();
  }

  [[nodiscard]] double limit_deviation(std::int64_t direction) const {
    return std::sqrt(steady_moments(problem_, training_, direction, true).spread);
  }
  /// Draws theta such that theta + mean phi is of the limit's distribution.
  void start_in_limit() {
    const Tensor mean = lpw::mean_rows(network_.phi.value());
    double* theta = network_.theta.value().data();
    draws_.each(lpw::Stream::weights, 0, problem_.dimensions, [&](std::int64_t i, double normal) {
      theta[i] = std::sqrt(steady_moments(problem_, training_, i, true).variance) * normal - mean.data()[i];
    });
  }

  [[nodiscard]] Weights weights() const {
    Weights result{collapsed_weights(network_), {}, {}, {}};
    if (network_.phi.late_phase())
      for (std::int64_t k = 0; k < training_.members; ++k) result.members.push_back(weights_of(network_, k));
    const auto averaged = [this](const auto& average) {
      Network copy = lpw::nn::clone_module(network_);
      average.apply(copy);
      return collapsed_weights(copy);
    };
    if (swa_) result.swa = averaged(*swa_), result.ema = averaged(*ema_);
    return result;
  }

  const Problem& problem_;
  const Training& training_;
  Draws draws_;
  Network network_;
  lpw::optim::Sgd<double, Cpu> optimizer_;
  std::optional<lpw::optim::WeightAverage<double, Cpu>> swa_;
  std::optional<lpw::optim::ExponentialAverage<double, Cpu>> ema_;
};

/// The losses of weights.
[[nodiscard]] inline Readouts<double> losses_of(const Problem& problem, const Weights& weights) {
  Readouts<double> result;
  const auto put = [&](Readout readout, double loss) { result[static_cast<std::size_t>(readout)] = loss; };
  put(Readout::collapsed, problem.excess_loss(weights.collapsed.data()));
  if (weights.members.size() > 1) {
    double sum = 0;
    for (const auto& w : weights.members) sum += problem.excess_loss(w.data());
    put(Readout::member, problem.excess_loss(weights.members.front().data()));
    put(Readout::members, sum / static_cast<double>(weights.members.size()));
  }
  if (weights.swa) put(Readout::swa, problem.excess_loss(weights.swa->data()));
  if (weights.ema) put(Readout::ema, problem.excess_loss(weights.ema->data()));
  return result;
}

/// The mean over `repeats` of each loss at each time of recording.
[[nodiscard]] inline std::vector<Readouts<double>> simulated_losses(const Problem& problem, const Training& training,
                                                                    std::uint64_t seed, std::int64_t repeats) {
  std::vector<std::vector<Readouts<double>>> losses(lpw::to_size(repeats));
  constexpr std::int64_t cost = std::int64_t{1} << 40;  // each is worth a thread
  lpw::parallel_for(repeats, cost / repeats, [&](std::int64_t repeat) {
    Simulation(problem, training, {seed, repeat}).run([&](std::int64_t, const Weights& weights) {
      losses[lpw::to_size(repeat)].push_back(losses_of(problem, weights));
    });
  });
  std::vector<Readouts<double>> means = losses.front();
  for (std::size_t at = 0; at < means.size(); ++at)
    for (std::size_t readout = 0; readout < readout_names.size(); ++readout) {
      if (!means[at][readout]) continue;
      double sum = 0;
      for (const auto& repeat : losses) sum += *repeat[at][readout];
      means[at][readout] = sum / static_cast<double>(repeats);
    }
  return means;
}

/// How far a simulated mean is from the expected one, in standard errors, of `repeats` repeats.
[[nodiscard]] inline double standard_errors(double simulated, const LossMoments& expected, std::int64_t repeats) {
  const double error = std::sqrt(expected.variance / static_cast<double>(repeats)),
               difference = simulated - expected.mean;
  return error == 0 && difference == 0 ? 0 : difference / error;
}

}  // namespace quadratic
