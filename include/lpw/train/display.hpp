// What a user sees: a line that is redrawn in place on a terminal, and plain lines where the output is piped.
#pragma once

#include <sys/ioctl.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <string>

namespace lpw::train {

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

class Display {
 public:
  explicit Display(std::FILE* out = stdout) : out_(out), terminal_(isatty(fileno(out)) != 0) {}

  /// A line that stays.
  void line(const std::string& text) {
    std::fprintf(out_, "%s%s\n", terminal_ ? "\r\033[K" : "", text.c_str());
    std::fflush(out_);
  }

  /// A passing state of things: redrawn at most ten times a second on a terminal, not shown elsewhere.
  template <class MakeText>
  void progress(MakeText&& make_text) {
    if (!terminal_) return;
    const auto now = std::chrono::steady_clock::now();
    if (now - last_ < std::chrono::milliseconds(100)) return;
    last_ = now;
    std::string text = make_text();
    winsize size{};
    if (ioctl(fileno(out_), TIOCGWINSZ, &size) == 0 && size.ws_col > 0 && text.size() >= size.ws_col) text.resize(size.ws_col - 1u);
    std::fprintf(out_, "\r\033[K%s", text.c_str());
    std::fflush(out_);
  }

 private:
  std::FILE* out_;
  bool terminal_;
  std::chrono::steady_clock::time_point last_{};
};

}  // namespace lpw::train
