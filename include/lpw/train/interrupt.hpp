// SIGINT, SIGTERM and SIGHUP as a question that the training loop asks at each step, and evaluations at each batch.
// Where several processes train, a signal to any of them is all's from the next question on, which they ask together.
#pragma once

#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstddef>
#include <span>
#include <string_view>
#include <vector>

#include <lpw/distributed/any_communicator.hpp>
#include <lpw/distributed/neighbours.hpp>

namespace lpw::inline LPW_ABI::train {

/// Thrown out of what a signal cuts short, such as an evaluation, which is begun anew when the run goes on. Not an
/// error.
struct Interrupted {
  int signal;  // its number
};

/// While one is alive, the first SIGINT, SIGTERM or SIGHUP is only remembered and announced on stderr; a second one of
/// its kind ends the process as usual. Of several processes the first announces it; or, since a launcher sends signals
/// to the others where one died, the first that lives says which did. A signal that is ignored when a guard is made, as
/// SIGHUP is under nohup, stays ignored. One guard at a time.
class InterruptGuard {
 public:
  /// The processes must outlive the guard. All make theirs together.
  explicit InterruptGuard(distributed::AnyCommunicator& processes = distributed::single_process()) {
    caught() = agreed() = 0;
    together() = processes.several() ? &processes : nullptr;
    rank() = processes.rank();
    neighbours() = processes.several() ? distributed::processes_here(processes) : std::vector<pid_t>();
    struct sigaction action {};
    action.sa_handler = [](int signal) {
      caught() = signal;
      const int error = errno;
      announce();
      errno = error;
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
    caught() = agreed() = 0;
    together() = nullptr;
    neighbours().clear();
  }
  InterruptGuard(const InterruptGuard&) = delete;
  InterruptGuard& operator=(const InterruptGuard&) = delete;

  /// The signal that came, or 0, as where there is no guard; of several processes, the one that they know of by ask().
  [[nodiscard]] static int signal() { return together() ? int{agreed()} : int{caught()}; }
  /// The same, when all processes ask: what came to any of them.
  [[nodiscard]] static int ask() {
    if (!together() || agreed() != 0) return signal();
    Came all = came();
    together()->sum(std::span<double>(all));
    agree(all);
    return agreed();
  }

  /// For who sums numbers of the processes anyway: how many of each signal came to this one, and what all know from
  /// then on, given the sums.
  using Came = std::array<double, 3>;
  /// How many of each signal came to this process: one or none.
  [[nodiscard]] static Came came() {
    Came here{};
    for (std::size_t i = 0; i < here.size(); ++i) here[i] = caught() == signals[i] ? 1 : 0;
    return here;
  }
  /// Takes the sums of all processes' `came()`.
  static void agree(const Came& all) {
    for (std::size_t i = 0; i < all.size() && agreed() == 0; ++i)
      if (all[i] > 0) agreed() = signals[i];
  }
  /// Asks, and throws Interrupted if a signal came.
  static void check() {
    if (const int came = ask()) throw Interrupted{came};
  }

 private:
  struct Taken {
    int signal;
    struct sigaction before {};
  };

  static constexpr std::array<int, 3> signals{SIGINT, SIGTERM, SIGHUP};

  static volatile std::sig_atomic_t& caught() {
    static volatile std::sig_atomic_t signal = 0;
    return signal;
  }
  static volatile std::sig_atomic_t& rank() {
    static volatile std::sig_atomic_t number = 0;
    return number;
  }
  static std::vector<pid_t>& neighbours() {
    static std::vector<pid_t> here;
    return here;
  }
  /// In a signal's handler.
  static void announce() {
    const std::span<const pid_t> here = neighbours();
    const int dead = distributed::first_dead(here);
    const auto before = here.first(std::min(here.size(), static_cast<std::size_t>(rank())));
    if (dead < 0) {
      // A step of a large network takes a while, and an impatient second signal would lose the work since the last
      // checkpoint.
      if (rank() == 0) write("\nstopping after this step; interrupt again to stop at once\n");
    } else if (std::none_of(before.begin(), before.end(),
                            [](pid_t other) { return other != 0 && distributed::lives(other); })) {
      std::array<char, 12> digits{};
      std::size_t first = digits.size();
      for (int left = dead; first == digits.size() || left > 0; left /= 10)
        digits[--first] = static_cast<char>('0' + left % 10);
      write("\nprocess ");
      write({digits.data() + first, digits.size() - first});
      write(" died, and the others end; resume the run to go on from its last checkpoint\n");
    }
  }
  static void write(std::string_view text) {
    [[maybe_unused]] const auto written = ::write(STDERR_FILENO, text.data(), text.size());
  }
  static int& agreed() {
    static int signal = 0;
    return signal;
  }
  static distributed::AnyCommunicator*& together() {
    static distributed::AnyCommunicator* processes = nullptr;
    return processes;
  }
  std::array<Taken, 3> before_{{{signals[0]}, {signals[1]}, {signals[2]}}};
};

}  // namespace lpw::inline LPW_ABI::train
