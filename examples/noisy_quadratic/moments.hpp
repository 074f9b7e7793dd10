// What training on the noisy quadratic problem does to the distribution of the weights, direction by direction: exact
// moments after each iteration, at any rates. All weights are normal, and the moments are all there is to know.
#pragma once

#include <cmath>
#include <cstdint>
#include <vector>

#include "training.hpp"

namespace quadratic {

/// Of one direction: an average A of the mean weights w = theta + mean_k phi_k.
struct AverageMoments {
  double mean = 0, variance = 0, covariance = 0;  // E A, Var A, Cov(A, w)
};

/// Of one direction: w = theta + mean_k phi_k, and the deviations phi_k - mean phi, which are independent of w. They
/// are z_k - mean_k z with independent z_k ~ N(0, spread), so that each has variance spread (1 - 1/K).
struct Moments {
  double mean = 0, variance = 0;  // of w
  double spread = 0;
  AverageMoments swa, ema;

  /// Variance of theta + phi_k, a member's weights.
  [[nodiscard]] double member_variance(std::int64_t members) const {
    return variance + spread * (1 - 1 / static_cast<double>(members));
  }
};

/// The limit of w and of the deviations under constant rates: their variances at rate x with curvature h and gradients
/// of noise h^2 q. That is x h q / (2 - x h).
[[nodiscard]] inline double steady_variance(double rate, double curvature, double noise_variance) {
  return rate * curvature * noise_variance / (2 - rate * curvature);
}

/// The moments in the limit of constant rates, after release; averages are not part of it.
[[nodiscard]] inline Moments steady_moments(const Problem& problem, const Training& training, std::int64_t direction,
                                            bool released) {
  const double h = problem.curvature(direction), members = released ? static_cast<double>(training.members) : 1.0,
               q = problem.noise_variance(direction) / static_cast<double>(training.batch);
  Moments result;
  result.variance = steady_variance(training.rate_of_mean(released), h, q / members);
  if (released && training.members > 1) result.spread = steady_variance(training.late_rate, h, q);
  return result;
}

/// A' = kept A + taken w.
inline void update_average(AverageMoments& average, const Moments& w, double kept, double taken) {
  average.mean = kept * average.mean + taken * w.mean;
  average.variance =
      kept * kept * average.variance + 2 * kept * taken * average.covariance + taken * taken * w.variance;
  average.covariance = kept * average.covariance + taken * w.variance;
}

/// Release: phi_k = sigma eps_k.
inline void release(Moments& moments, std::int64_t members, double sigma) {
  moments.variance += sigma * sigma / static_cast<double>(members);
  moments.spread = members > 1 ? sigma * sigma : 0;
}

/// The moments of one direction in the course of a training. They begin at release where the training starts in the
/// limit.
class MomentsOf {
 public:
  MomentsOf(const Problem& problem, const Training& training, std::int64_t direction)
      : training_(training),
        curvature_(problem.curvature(direction)),
        noise_(problem.noise_variance(direction) / static_cast<double>(training.batch)) {
    if (training.start == Start::limit) {
      now = steady_moments(problem, training, direction, true);
    } else {
      now.mean = problem.start;
    }
  }

  /// One iteration. w' = (1 - alpha h) w - alpha h mean_k eps_k, and for deviations the same with beta = eta_phi and
  /// eps_k - mean eps.
  void step(const Iteration& iteration) {
    const double members = static_cast<double>(iteration.members);
    if (iteration.releases && training_.start == Start::point) release(now, training_.members, training_.sigma);
    if (iteration.starts_averages) {
      now.swa = now.ema = {now.mean, now.variance, now.variance};
      averaged_ = 1;
    }
    const double moved = training_.rate_of_mean(iteration.released) * iteration.factor * curvature_, kept = 1 - moved;
    const double late_moved = training_.late_rate * iteration.factor * curvature_, late_kept = 1 - late_moved;
    now.mean *= kept;
    now.variance = kept * kept * now.variance + moved * moved * noise_ / members;
    now.swa.covariance *= kept, now.ema.covariance *= kept;
    if (iteration.members > 1) now.spread = late_kept * late_kept * now.spread + late_moved * late_moved * noise_;
    if (iteration.averages) {
      ++averaged_;
      update_average(now.swa, now, 1 - 1 / averaged_, 1 / averaged_);
      update_average(now.ema, now, training_.averaging.decay, 1 - training_.averaging.decay);
    }
  }

  Moments now;

 private:
  const Training& training_;
  double curvature_, noise_, averaged_ = 0;
};

}  // namespace quadratic
