// SIGINT, SIGTERM and SIGHUP as a question that the training loop asks at each step, and evaluations at each batch.
#pragma once

#include <signal.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <string_view>

#include <lpw/tensor/abi.hpp>

namespace lpw::inline LPW_ABI::train {

/// Thrown out of what a signal cuts short, such as an evaluation, which is begun anew when the run goes on. Not an
/// error.
struct Interrupted {
  int signal;
};

/// While one is alive, the first SIGINT, SIGTERM or SIGHUP is only remembered and announced on stderr; a second one of
/// its kind ends the process as usual. A signal that is ignored when a guard is made, as SIGHUP is under nohup, stays
/// ignored. One guard at a time.
class InterruptGuard {
 public:
  InterruptGuard() {
    caught() = 0;
    struct sigaction action {};
    action.sa_handler = [](int signal) {
      caught() = signal;
      // A step of a large network takes a while, and an impatient second signal would lose the work since the last
      // checkpoint.
      constexpr std::string_view text = "\nstopping after this step; interrupt again to stop at once\n";
      [[maybe_unused]] const auto written = ::write(STDERR_FILENO, text.data(), text.size());
    };
    action.sa_flags = static_cast<int>(SA_RESETHAND | SA_RESTART);
    sigemptyset(&action.sa_mask);
    for (auto& [signal, before] : before_) {
      sigaction(signal, nullptr, &before);
      if (before.sa_handler != SIG_IGN) sigaction(signal, &action, nullptr);
    }
  }
  ~InterruptGuard() {
    for (const auto& [signal, before] : before_) sigaction(signal, &before, nullptr);
    caught() = 0;
  }
  InterruptGuard(const InterruptGuard&) = delete;
  InterruptGuard& operator=(const InterruptGuard&) = delete;

  /// The signal that came, or 0, as where there is no guard.
  [[nodiscard]] static int signal() { return caught(); }
  /// Throws Interrupted if a signal came.
  static void check() {
    if (const int came = signal()) throw Interrupted{came};
  }

 private:
  struct Taken {
    int signal;
    struct sigaction before {};
  };

  static volatile std::sig_atomic_t& caught() {
    static volatile std::sig_atomic_t signal = 0;
    return signal;
  }
  std::array<Taken, 3> before_{{{SIGINT}, {SIGTERM}, {SIGHUP}}};
};

}  // namespace lpw::inline LPW_ABI::train
