// How a loop of one's own goes, for whoever looks at it: a line that is redrawn in place on a terminal, with rate and
// time to the end, and a line for each epoch, there and where the output is piped.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <functional>
#include <string>
#include <utility>

#include <lpw/tensor/tensor.hpp>
#include <lpw/train/display.hpp>
#include <lpw/train/pace.hpp>

namespace lpw::inline LPW_ABI::train {

/// What a loop is going to do.
struct LoopPlan {
  std::int64_t epochs = 1;   // in all
  std::int64_t samples = 0;  // of an epoch, of all members on all processes; 0: unknown, there is no time to the end
  const char* unit = "samples";      // what samples are called
  std::int64_t first_epoch = 0;      // where a loop that was resumed begins, from 0
  std::int64_t first_iteration = 0;  // that epoch's iterations that are done
  std::int64_t first_samples = 0;    // what these had: first_iteration * K * plan().batch(K, 0) of a loader, K members
};

/// Tells how a loop goes:
///
///     lpw::train::LoopProgress progress({.epochs = 20, .samples = train.samples(1)});
///     for (int epoch = 0; epoch < 20; ++epoch) {
///       for (...) {
///         ...
///         progress.step(labels.size(), loss.value());
///       }
///       progress.end_epoch();  // "epoch 3/20  loss 0.4127  5130 samples/s  9.7 s  ETA 2:45"
///     }
class LoopProgress {
 public:
  using Clock = Display::Clock;

  /// Throws OptionError for a plan of no epochs, or that begins nowhere. `now` is the clock.
  explicit LoopProgress(const LoopPlan& plan, std::FILE* out = stdout,
                        const std::function<Clock::time_point()>& now = Clock::now)
      : plan_(plan),
        display_(out, now),
        pace_(now),
        now_(now),
        epoch_(plan.first_epoch),
        iteration_(plan.first_iteration),
        seen_(plan.first_samples),
        mark_(now()),
        start_(mark_) {
    require<OptionError>(plan.epochs >= 1 && plan.samples >= 0, "progress: ", plan.epochs, " epochs of ", plan.samples,
                         " samples; expected at least one epoch, and 0 samples or more");
    require<OptionError>(plan.first_epoch >= 0 && plan.first_iteration >= 0 && plan.first_samples >= 0,
                         "progress: begins at epoch ", plan.first_epoch, ", iteration ", plan.first_iteration,
                         " after ", plan.first_samples, " of its samples; expected 0 or more of each");
  }

  /// An iteration over so many samples, of all members, is done, with a mean loss. Where members are in several
  /// processes, one of these tells of all (distributed::Members::together and mean).
  void step(std::int64_t samples, double loss) {
    sum_ += loss * static_cast<double>(samples), weighed_ += samples;
    step(samples);
  }
  /// The same with each member's loss, [K]: on a GPU this waits for them.
  template <class W, class D>
  void step(std::int64_t samples, const Tensor<W, D>& losses) {
    const auto host = to_host(losses);
    double sum = 0;
    for (std::int64_t k = 0; k < host.size(); ++k) sum += static_cast<double>(host.data()[k]);
    step(samples, sum / static_cast<double>(std::max<std::int64_t>(host.size(), 1)));
  }
  /// The same without a loss.
  void step(std::int64_t samples) {
    const auto now = now_();
    pace_.trained(samples, std::chrono::duration<double>(now - std::exchange(mark_, now)).count());
    seen_ += samples, ++iteration_;
    display_.progress([&] {
      return to_text("epoch ", epoch_ + 1, '/', plan_.epochs, "  iteration ", iteration_, "  ", rate(), "  ETA ",
                     left(), mean_loss());
    });
  }

  /// The epoch is over: prints its line, with `more` behind its loss ("test 0.9134", say).
  void end_epoch(const std::string& more = {}) {
    const double seconds = std::chrono::duration<double>(now_() - start_).count();
    ++epoch_;
    const std::string loss = mean_loss();
    seen_ = 0;
    line(to_text("epoch ", epoch_, '/', plan_.epochs, loss, more.empty() ? "" : "  ", more, "  ", rate(), "  ",
                 fixed(seconds, 1), " s  ETA ", left()));
    sum_ = 0, weighed_ = 0, iteration_ = 0;
    pace_.start_epoch();
    mark_ = start_ = now_();
  }
  /// A line between, which does not get in the way of the one that is redrawn.
  void line(const std::string& text) { display_.line(text); }

 private:
  [[nodiscard]] std::string rate() const {
    return to_text(fixed(pace_.samples_per_second(), 0), ' ', plan_.unit, "/s");
  }
  [[nodiscard]] std::string mean_loss() const {
    return weighed_ == 0 ? "" : "  loss " + fixed(sum_ / static_cast<double>(weighed_), 4);
  }
  [[nodiscard]] std::string left() const {
    if (plan_.samples == 0) return "-";
    return pace_.time_for(static_cast<double>((plan_.epochs - epoch_) * plan_.samples - seen_));
  }

  LoopPlan plan_;
  Display display_;
  Pace pace_;
  std::function<Clock::time_point()> now_;
  std::int64_t epoch_, iteration_, seen_, weighed_ = 0;  // of this epoch; weighed_: samples with a loss
  double sum_ = 0;
  Clock::time_point mark_, start_;  // of the last iteration, and of the epoch
};

}  // namespace lpw::inline LPW_ABI::train
