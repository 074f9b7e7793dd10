// What a user sees: a line that is redrawn in place on a terminal, and plain lines where the output is piped. A pipe
// also gets progress, but rarely: an epoch of a large network takes hours, and a log of a thousand lines hides the ones
// that matter.
#pragma once

#include <stdio.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <functional>
#include <string>
#include <utility>

#include <lpw/train/printable.hpp>

namespace lpw::inline LPW_ABI::train {

/// Seconds as "1:02:03" or "2:03"; "-" for what is no duration.
[[nodiscard]] inline std::string format_duration(double seconds) {
  if (!(seconds >= 0 && seconds < 1e12)) return "-";
  const auto total = static_cast<long long>(seconds + 0.5);
  char text[32];
  if (total >= 3600) {
    std::snprintf(text, sizeof text, "%lld:%02lld:%02lld", total / 3600, total / 60 % 60, total % 60);
  } else {
    std::snprintf(text, sizeof text, "%lld:%02lld", total / 60, total % 60);
  }
  return text;
}

/// A terminal or a log, and what was last shown there.
class Display {
 public:
  using Clock = std::chrono::steady_clock;
  static constexpr std::chrono::milliseconds redraw_interval{100};  // of the progress on a terminal
  static constexpr std::chrono::minutes silence{5};                 // elsewhere, the longest without a line

  /// `now` is the clock. Without a file nothing is shown: of several processes one speaks. Those that mpirun starts
  /// write to terminals of its own, which leads where its output goes: there lines are not redrawn.
  explicit Display(std::FILE* out = stdout, std::function<Clock::time_point()> now = Clock::now, bool launched = false)
      : out_(out),
        terminal_(out != nullptr && !launched && isatty(fileno(out)) != 0),
        now_(std::move(now)),
        next_(terminal_ ? now_() : now_() + silence) {}

  /// A line that stays; of what it quotes, nothing reaches a terminal but characters and ends of lines.
  void line(const std::string& text) {
    if (out_ == nullptr) return;
    if (!terminal_) next_ = now_() + silence;
    std::fprintf(out_, "%s%s\n", terminal_ ? "\r\033[K" : "", printable(text).c_str());
    std::fflush(out_);
  }

  /// A passing state of things: redrawn in place on a terminal, a line where nothing else was printed for long.
  template <class MakeText>
  void progress(MakeText&& make_text) {
    if (out_ == nullptr || now_() < next_) return;
    if (!terminal_) return line(make_text());
    next_ = now_() + redraw_interval;
    std::string text = one_line(make_text());
    winsize size{};
    if (ioctl(fileno(out_), TIOCGWINSZ, &size) == 0 && size.ws_col > 0 && text.size() >= size.ws_col)
      text.resize(size.ws_col - 1u);
    std::fprintf(out_, "\r\033[K%s", text.c_str());
    std::fflush(out_);
  }

 private:
  std::FILE* out_;
  bool terminal_;
  std::function<Clock::time_point()> now_;
  Clock::time_point next_;  // when progress is shown again
};

}  // namespace lpw::inline LPW_ABI::train
