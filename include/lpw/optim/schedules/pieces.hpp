// Schedules: curves one after another, over epochs or over iterations. Where training stands is all that a schedule
// needs; it has no state.
#pragma once

#include <cstdint>
#include <limits>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include <lpw/optim/schedules/curves.hpp>
#include <lpw/tensor/error.hpp>

namespace lpw::inline LPW_ABI::optim {

/// Where training stands: `iteration` iterations are done of an epoch of `iterations`, and `step` in all.
struct Time {
  std::int64_t epoch = 0;       // from 0
  std::int64_t iteration = 0;   // done of the epoch
  std::int64_t iterations = 1;  // of the epoch
  std::int64_t step = 0;        // iterations done of all epochs
};

/// A curve that begins with its piece and lasts for `length`. Without each_iteration, the rate is one for an epoch,
/// that of the epoch's start.
struct SchedulePiece {
  Curve curve;                                         // of time since the piece began
  bool each_iteration = false;                         // a rate of its own for every iteration
  double length = std::numeric_limits<double>::max();  // in the schedule's unit
};

/// The unit of a schedule's times. In iterations, every iteration has a rate of its own.
enum class ScheduleUnit { epochs, iterations };

/// What multiplies the initial learning rate in the course of training.
struct Schedule {
  std::vector<SchedulePiece> pieces;         // at least one; the last goes on to the end, whatever its length
  ScheduleUnit unit = ScheduleUnit::epochs;  // of lengths and times

  /// A curve alone: a new rate in each epoch for those over epochs, in each iteration for cycles and warm-up.
  template <class C>
    requires std::is_constructible_v<Curve, C> Schedule(C curve) : pieces{{std::move(curve), by_iteration<C>()}} {}
    /// Throws OptionError for no piece.
    explicit Schedule(std::vector<SchedulePiece> of, ScheduleUnit in = ScheduleUnit::epochs)
        : pieces(std::move(of)), unit(in) {
      require<OptionError>(!pieces.empty(), "schedule: has no curve; expected at least one");
    }

    /// Ends the compilation with one line where a text is given as it is.
    template <class Text>
      requires std::is_convertible_v<const Text&, std::string_view> Schedule(const Text&) {
        static_assert(std::is_void_v<Text>,
                      "lpw: a schedule is a curve, lpw::optim::Cosine{200}, or of a text that "
                      "lpw::optim::parse_schedule(text, learning_rate, epochs) reads");
      }

    /// Whether a curve of this type alone has a rate for each iteration.
    template <class C>
    [[nodiscard]] static constexpr bool by_iteration() {
      return requires { C::each_iteration; };
    }
};

namespace detail {

[[nodiscard]] inline double value(const Curve& curve, Moment at) {
  return std::visit(
      [&](const auto& c) {
        if constexpr (requires { c(at.time); }) {
          return c(at.time);
        } else {
          return c(at);
        }
      },
      curve);
}

[[nodiscard]] inline double cycles(const Curve& curve, double time) {
  return std::visit(
      [&](const auto& c) -> double {
        if constexpr (requires { c.cycles(time); }) {
          return c.cycles(time);
        } else {
          return 0;
        }
      },
      curve);
}

/// The piece that holds at a time, and when it began.
[[nodiscard]] inline std::pair<const SchedulePiece*, double> piece_at(const Schedule& schedule, double time) {
  double start = 0;
  const SchedulePiece* piece = schedule.pieces.data();
  for (; piece != &schedule.pieces.back() && time + cycle_slack >= start + piece->length; ++piece)
    start += piece->length;
  return {piece, start};
}

/// Epochs done; exact at the end of an epoch.
[[nodiscard]] inline double epochs_done(const Time& time) {
  return static_cast<double>(time.epoch * time.iterations + time.iteration) / static_cast<double>(time.iterations);
}

}  // namespace detail

/// The factor at a time in the schedule's unit, of steps as long as the unit.
[[nodiscard]] inline double factor(const Schedule& schedule, double time) {
  const auto [piece, start] = detail::piece_at(schedule, time);
  return detail::value(piece->curve, {time - start, 1});
}

/// The factor of the step that follows.
[[nodiscard]] inline double factor(const Schedule& schedule, const Time& time) {
  if (schedule.unit == ScheduleUnit::iterations) return factor(schedule, static_cast<double>(time.step));
  const double now = detail::epochs_done(time);
  const auto [piece, start] = detail::piece_at(schedule, now);
  if (!piece->each_iteration)
    return detail::value(piece->curve, {std::max(static_cast<double>(time.epoch) - start, 0.0), 1});
  return detail::value(piece->curve, {std::max(now - start, 0.0), 1 / static_cast<double>(time.iterations)});
}

/// How many cycles' steps of the lowest rate are done at a time in the schedule's unit: at the ends of cosine cycles
/// and of one cycle, in the middle of triangular ones.
[[nodiscard]] inline std::int64_t cycles_done(const Schedule& schedule, double time) {
  const auto [present, start] = detail::piece_at(schedule, time);
  double count = detail::cycles(present->curve, time - start);
  for (const SchedulePiece* piece = schedule.pieces.data(); piece != present; ++piece)
    count += detail::cycles(piece->curve, piece->length);
  return static_cast<std::int64_t>(count);
}
/// The same at a time of training.
[[nodiscard]] inline std::int64_t cycles_done(const Schedule& schedule, const Time& time) {
  return cycles_done(
      schedule, schedule.unit == ScheduleUnit::iterations ? static_cast<double>(time.step) : detail::epochs_done(time));
}

/// Whether the step that led from `before` to `after` was a cycle's of the lowest rate: when a snapshot is due. Where
/// an epoch ends early, `after` its last step is the start of the next epoch.
[[nodiscard]] inline bool ends_cycle(const Schedule& schedule, const Time& before, const Time& after) {
  return cycles_done(schedule, after) > cycles_done(schedule, before);
}

/// Whether the rate never changes.
[[nodiscard]] inline bool is_constant(const Schedule& schedule) {
  return std::all_of(schedule.pieces.begin(), schedule.pieces.end(),
                     [](const SchedulePiece& piece) { return std::holds_alternative<Constant>(piece.curve); });
}

/// Whether it has cycles at all.
[[nodiscard]] inline bool has_cycles(const Schedule& schedule) {
  const auto cyclic = [](const auto& curve) {
    return requires { curve.cycles(0.0); };
  };
  return std::any_of(schedule.pieces.begin(), schedule.pieces.end(),
                     [&](const SchedulePiece& piece) { return std::visit(cyclic, piece.curve); });
}

}  // namespace lpw::inline LPW_ABI::optim
