// The pace of training, of which progress tells a user.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <functional>
#include <string>
#include <utility>

#include <lpw/train/display.hpp>

namespace lpw::inline LPW_ABI::train {

/// How fast this process trains: samples a second within the current epoch, evaluation and files apart, and the time to
/// the end at the pace so far, with all that training includes.
class Pace {
 public:
  using Clock = std::chrono::steady_clock;

  /// `now` is the clock.
  Pace(std::function<Clock::time_point()> now = Clock::now) : now_(std::move(now)), start_(now_()) {}

  /// What was trained before counts for the time to the end only.
  void start_epoch() { epoch_samples_ = 0, epoch_seconds_ = 0; }
  /// So many samples of the epoch more, in so many seconds.
  void trained(std::int64_t samples, double seconds) {
    epoch_samples_ += samples;
    epoch_seconds_ += seconds;
    samples_ += samples;
  }

  /// Of this process, in this epoch.
  [[nodiscard]] double samples_per_second() const {
    return static_cast<double>(epoch_samples_) / std::max(epoch_seconds_, 1e-9);
  }
  /// For `samples` still to train; "-" while nothing is known.
  [[nodiscard]] std::string time_for(double samples) const {
    if (samples_ == 0) return "-";
    const double elapsed = std::chrono::duration<double>(now_() - start_).count();
    return format_duration(elapsed * std::max(samples, 0.0) / static_cast<double>(samples_));
  }

 private:
  std::function<Clock::time_point()> now_;
  Clock::time_point start_;
  std::int64_t samples_ = 0, epoch_samples_ = 0;
  double epoch_seconds_ = 0;
};

}  // namespace lpw::inline LPW_ABI::train
