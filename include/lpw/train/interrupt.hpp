// SIGINT and SIGTERM as a question that the training loop asks at each step boundary.
#pragma once

#include <unistd.h>

#include <csignal>
#include <string_view>

namespace lpw::train {

/// While one is alive, the first SIGINT or SIGTERM is only remembered and announced on stderr; a second one ends the process as usual.
class InterruptGuard {
 public:
  InterruptGuard() {
    caught() = 0;
    struct sigaction action {};
    action.sa_handler = [](int signal) {
      caught() = signal;
      // A step of a large network takes a while, and an impatient second signal would lose the work since the last checkpoint.
      constexpr std::string_view text = "\nstopping after this step; interrupt again to stop at once\n";
      [[maybe_unused]] const auto written = ::write(STDERR_FILENO, text.data(), text.size());
    };
    action.sa_flags = static_cast<int>(SA_RESETHAND);
    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, &old_interrupt_);
    sigaction(SIGTERM, &action, &old_terminate_);
  }
  ~InterruptGuard() {
    sigaction(SIGINT, &old_interrupt_, nullptr);
    sigaction(SIGTERM, &old_terminate_, nullptr);
  }
  InterruptGuard(const InterruptGuard&) = delete;
  InterruptGuard& operator=(const InterruptGuard&) = delete;

  /// The signal that came, or 0.
  [[nodiscard]] static int signal() { return caught(); }

 private:
  static volatile std::sig_atomic_t& caught() {
    static volatile std::sig_atomic_t signal = 0;
    return signal;
  }
  struct sigaction old_interrupt_ {
  }, old_terminate_{};
};

}  // namespace lpw::train
