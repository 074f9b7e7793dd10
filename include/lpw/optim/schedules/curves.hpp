// Curves of a learning rate: the factor by which the rate of a step differs from the initial one. A curve is a function
// of time alone, in whatever unit its user counts (epochs, iterations), so that training goes on in the middle of a
// cycle from the number of the step. Curves of an epoch's rate take the time; those of a step's take the moment.
#pragma once

#include <algorithm>
#include <cmath>
#include <numbers>
#include <variant>
#include <vector>

#include <lpw/tensor/abi.hpp>

namespace lpw::inline LPW_ABI::optim {

/// A step: the time before it, and the time that it takes.
struct Moment {
  double time = 0, step = 1;  // in epochs or iterations, as the schedule's unit
};

/// Always 1.
struct Constant {
  /// The factor.
  [[nodiscard]] double operator()(double) const { return 1; }
};

/// 1 until epoch `start`, then linear to `final_factor` at epoch `end`, then that.
struct LinearAnneal {
  double start = 0;         // epochs
  double end = 1;           // epochs
  double final_factor = 0;  // from `end` on
  /// The factor.
  [[nodiscard]] double operator()(double epoch) const {
    if (epoch <= start) return 1;
    if (epoch >= end) return final_factor;
    return 1 + (final_factor - 1) * (epoch - start) / (end - start);
  }
};

/// gamma to the number of milestones reached.
struct MultiStep {
  std::vector<double> milestones;  // ascending, in epochs
  double gamma = 0.1;              // by which each multiplies
  /// The factor.
  [[nodiscard]] double operator()(double epoch) const {
    double factor = 1;
    for (double milestone : milestones)
      if (epoch >= milestone) factor *= gamma;
    return factor;
  }
};

/// (1 + cos(pi epoch / epochs)) / 2 (Loshchilov & Hutter 2017), 0 from `epochs` on.
struct Cosine {
  double epochs = 1;  // in all
  /// The factor.
  [[nodiscard]] double operator()(double epoch) const {
    return 0.5 * (1 + std::cos(std::numbers::pi * std::min(epoch / epochs, 1.0)));
  }
};

namespace detail {

/// Of cycles: iterations are fractions of an epoch, whose rounding must not put a step into the cycle before.
inline constexpr double cycle_slack = 1e-9;

/// Cycles that are over at `time`.
[[nodiscard]] inline double cycles_over(double time, double length) { return std::floor(time / length + cycle_slack); }
/// The part of the present cycle that is over, from 0 to below 1.
[[nodiscard]] inline double cycle_phase(double time, double length) {
  return std::max((time - cycles_over(time, length) * length) / length, 0.0);
}

}  // namespace detail

/// A cosine from 1 to `final_factor`, again and again (snapshot ensembles, Huang et al. 2017; SGDR, Loshchilov & Hutter
/// 2017). With a length of ceil(T / M) steps, and 0 at the end, the factor of step t = 1, 2, ... is
///   (cos(pi mod(t - 1, ceil(T / M)) / ceil(T / M)) + 1) / 2.
struct CosineCycles {
  static constexpr bool each_iteration = true;  // a schedule of it alone has a rate for each iteration
  double length = 1;                            // of a cycle, in epochs or iterations as the schedule's unit
  double final_factor = 0;                      // at the end of each
  /// The factor of a step.
  [[nodiscard]] double operator()(Moment at) const {
    const double wave = 0.5 * (1 + std::cos(std::numbers::pi * detail::cycle_phase(at.time, length)));
    return final_factor + (1 - final_factor) * wave;
  }
  /// Cycles whose last step, of the lowest rate, was made by that time.
  [[nodiscard]] double cycles(double time) const { return detail::cycles_over(time, length); }
};

/// From `first_factor` to `lowest_factor` in the middle of each cycle and back (fast geometric ensembling, Garipov et
/// al. 2018). With a length of c steps, the factor of step i = 1, 2, ... is, for t = (mod(i - 1, c) + 1) / c,
///   (1 - 2 t) first + 2 t lowest where t <= 1/2, else (2 - 2 t) lowest + (2 t - 1) first.
struct TriangularCycles {
  static constexpr bool each_iteration = true;  // a schedule of it alone has a rate for each iteration
  double length = 1;                            // of a cycle, in epochs or iterations as the schedule's unit
  double first_factor = 1;                      // at a cycle's ends
  double lowest_factor = 0;                     // in its middle
  /// The factor of a step.
  [[nodiscard]] double operator()(Moment at) const {
    const double t = std::min(detail::cycle_phase(at.time, length) + at.step / length, 1.0);
    return t <= 0.5 ? (1 - 2 * t) * first_factor + 2 * t * lowest_factor
                    : (2 - 2 * t) * lowest_factor + (2 * t - 1) * first_factor;
  }
  /// Cycles whose step of the lowest rate was made by that time.
  [[nodiscard]] double cycles(double time) const { return detail::cycles_over(time + 0.5 * length, length); }
};

/// From `first_factor` up to 1, then down to `final_factor` (Smith 2018), as PyTorch's OneCycleLR of two phases,
/// without its cycle of momentum: with p = time / (rise - step) up to time = rise - step, and from there on p = (time -
/// rise + step) / (length - rise), the factor goes from a to b as a + (b - a) p, or as b + (a - b) (1 + cos(pi p)) / 2:
/// the first step has the first rate, and the last step of `length` the final one.
struct OneCycle {
  static constexpr bool each_iteration = true;  // a schedule of it alone has a rate for each iteration
  double length = 1;                            // of the cycle, in epochs or iterations as the schedule's unit
  double rise = 0.3;                            // when the factor is 1, in the same unit
  double first_factor = 0.04;                   // at time 0
  double final_factor = 4e-6;                   // at the end
  bool linear = false;                          // straight lines, not halves of cosines
  /// The factor of a step.
  [[nodiscard]] double operator()(Moment at) const {
    const double peak = rise - at.step, last = length - at.step;
    if (at.time <= peak) return between(first_factor, 1, peak > 0 ? at.time / peak : 1);
    return between(1, final_factor, last > peak ? std::min((at.time - peak) / (last - peak), 1.0) : 1);
  }
  /// How many cycles end until then: one or none.
  [[nodiscard]] double cycles(double time) const { return time >= length * (1 - detail::cycle_slack) ? 1 : 0; }

 private:
  [[nodiscard]] double between(double from, double to, double share) const {
    return linear ? from + (to - from) * share : to + (from - to) / 2 * (1 + std::cos(std::numbers::pi * share));
  }
};

/// Linear from `first_factor` to 1, which the step that ends at `length` has: with none at first, step i of m has the
/// factor i / m (He et al. 2019). Then 1.
struct LinearWarmup {
  static constexpr bool each_iteration = true;  // a schedule of it alone has a rate for each iteration
  double length = 1;                            // in epochs or iterations as the schedule's unit
  double first_factor = 0;                      // at time 0
  /// The factor of a step.
  [[nodiscard]] double operator()(Moment at) const {
    return first_factor + (1 - first_factor) * std::min((at.time + at.step) / length, 1.0);
  }
};

/// One of the curves of a schedule.
using Curve =
    std::variant<Constant, LinearAnneal, MultiStep, Cosine, CosineCycles, TriangularCycles, OneCycle, LinearWarmup>;

}  // namespace lpw::inline LPW_ABI::optim
