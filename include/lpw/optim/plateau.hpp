// Lower learning rates where a score no longer gets better. Unlike a schedule, which is a function of time, this one
// has a state: io::save_state keeps it.
#pragma once

#include <algorithm>
#include <cmath>
#include <concepts>
#include <cstdint>
#include <optional>

#include <lpw/tensor/error.hpp>
#include <lpw/tensor/float_bits.hpp>

namespace lpw::inline LPW_ABI::optim {

/// When a rate is lowered, and how far.
struct PlateauOptions {
  double factor = 0.1;            // by which it is multiplied
  std::int64_t patience = 10;     // scores in a row that are not better, after which the next one lowers it
  bool larger_is_better = false;  // an accuracy, not a loss
  double threshold = 1e-4;        // better is by more than that
  bool relative = true;           // as a share of the best score
  std::int64_t cooldown = 0;      // scores after a lowering that do not count as worse
  double least = 0;               // the factor stays at least that
};

/// What changes in the course of training.
struct PlateauState {
  double factor = 1;                  // what multiplies rates
  std::optional<double> best = {};    // score; none before the first
  std::int64_t bad = 0, cooling = 0;  // scores in a row that were not better; of the cooldown still to come
  [[nodiscard]] bool operator==(const PlateauState&) const = default;
};

/// As PyTorch's ReduceLROnPlateau, but of a factor, which multiplies the rates of a step beside a schedule's:
///
///     optimizer.step(optim::factor(schedule, time) * plateau.factor());
///     ...
///     plateau.observe(validation_loss);  // after an epoch
class Plateau {
 public:
  Plateau() = default;
  /// Throws OptionError for options that cannot be: a factor outside of (0, 1), negative counts or threshold. A
  /// template, so that `({})` is the default and not ambiguous.
  template <std::same_as<PlateauOptions> O = PlateauOptions>
  explicit Plateau(const O& options) : options_(options) {
    const auto& o = options;
    require<OptionError>(o.factor > 0 && o.factor < 1, "Plateau: factor ", o.factor, "; expected above 0 and below 1");
    require<OptionError>(o.patience >= 0 && o.cooldown >= 0, "Plateau: patience ", o.patience, " and cooldown ",
                         o.cooldown, "; expected 0 or more");
    require<OptionError>(is_finite(o.threshold) && o.threshold >= 0, "Plateau: threshold ", o.threshold,
                         "; expected 0 or more");
    require<OptionError>(o.least >= 0 && o.least <= 1, "Plateau: least factor ", o.least, "; expected from 0 to 1");
  }

  /// As they were given.
  [[nodiscard]] const PlateauOptions& options() const { return options_; }
  /// What multiplies rates now.
  [[nodiscard]] double factor() const { return state_.factor; }

  /// Takes a score into account, NaN as one that is not better, and returns the factor from now on.
  double observe(double score) {
    if (better(score)) {
      state_.best = score;
      state_.bad = 0;
    } else {
      ++state_.bad;
    }
    if (state_.cooling > 0) --state_.cooling, state_.bad = 0;
    if (state_.bad > options_.patience) {
      state_.factor = std::max(state_.factor * options_.factor, options_.least);
      state_.cooling = options_.cooldown;
      state_.bad = 0;
    }
    return state_.factor;
  }

  /// What a checkpoint holds.
  [[nodiscard]] const PlateauState& state() const { return state_; }
  /// As a checkpoint had it.
  void set_state(const PlateauState& state) { state_ = state; }

 private:
  [[nodiscard]] bool better(double score) const {
    if (!is_finite(score)) return false;
    if (!state_.best) return true;
    const double by = options_.relative ? std::abs(*state_.best) * options_.threshold : options_.threshold;
    return options_.larger_is_better ? score > *state_.best + by : score < *state_.best - by;
  }

  PlateauOptions options_;
  PlateauState state_;
};

}  // namespace lpw::inline LPW_ABI::optim
