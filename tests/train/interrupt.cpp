#include <lpw/train/interrupt.hpp>

#include <sys/wait.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <span>
#include <string>

#include "catch.hpp"

using lpw::train::InterruptGuard;

namespace {

/// The wait status of a child process that runs `body`.
template <class Body>
int status_of_child(Body body) {
  const pid_t child = fork();
  if (child == 0) {
    close(STDERR_FILENO);
    std::signal(SIGINT, SIG_DFL);  // the test program has handlers of its own
    std::signal(SIGTERM, SIG_DFL);
    std::signal(SIGHUP, SIG_DFL);
    body();
    _exit(7);
  }
  int status = 0;
  REQUIRE(waitpid(child, &status, 0) == child);
  return status;
}

/// So many processes of another machine, this one, and another one of its machine.
struct TwoHere : lpw::distributed::SingleProcess {
  int elsewhere = 0;
  pid_t other = 0;
  [[nodiscard]] int rank() const { return elsewhere; }
  [[nodiscard]] int size() const { return elsewhere + 2; }
  void gather(std::span<const std::byte> own, std::span<std::byte> all) const {
    for (auto to = all; !to.empty(); to = to.subspan(own.size())) std::copy(own.begin(), own.end(), to.begin());
    for (std::size_t rank = 0; rank < static_cast<std::size_t>(elsewhere); ++rank)
      all[rank * own.size()] ^= std::byte{1};  // a host's name, then a process' number
    std::memcpy(all.data() + all.size() - sizeof other, &other, sizeof other);
  }
};

}  // namespace

TEST_CASE("the first signal is remembered, the second ends the process") {
  for (const int signal : {SIGINT, SIGTERM, SIGHUP}) {
    const int once = status_of_child([&] {
      const InterruptGuard guard;
      if (InterruptGuard::signal() != 0) _exit(1);
      raise(signal);
      _exit(InterruptGuard::signal() == signal ? 0 : 2);
    });
    CHECK((WIFEXITED(once) && WEXITSTATUS(once) == 0));
    const int twice = status_of_child([&] {
      const InterruptGuard guard;
      raise(signal);
      raise(signal);
    });
    CHECK((WIFSIGNALED(twice) && WTERMSIG(twice) == signal));
  }
}

TEST_CASE("signals end the process again after the guard") {
  const int status = status_of_child([] {
    { const InterruptGuard guard; }
    raise(SIGTERM);
  });
  CHECK((WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM));
}

TEST_CASE("a new guard knows nothing of earlier signals") {
  const int status = status_of_child([] {
    {
      const InterruptGuard guard;
      raise(SIGINT);
    }
    const InterruptGuard guard;
    _exit(InterruptGuard::signal() == 0 ? 0 : 1);
  });
  CHECK((WIFEXITED(status) && WEXITSTATUS(status) == 0));
}

TEST_CASE("a signal that is ignored stays ignored, as SIGHUP under nohup") {
  for (const int signal : {SIGINT, SIGTERM, SIGHUP}) {
    const int status = status_of_child([&] {
      std::signal(signal, SIG_IGN);
      {
        const InterruptGuard guard;
        raise(signal);
        raise(signal);
        if (InterruptGuard::signal() != 0) _exit(1);
      }
      raise(signal);
      _exit(0);
    });
    CHECK((WIFEXITED(status) && WEXITSTATUS(status) == 0));
  }
}

TEST_CASE("what a signal cuts short says which it was, and does so no more after the guard") {
  const int status = status_of_child([] {
    {
      const InterruptGuard guard;
      InterruptGuard::check();
      raise(SIGTERM);
      try {
        InterruptGuard::check();
        _exit(1);
      } catch (const lpw::train::Interrupted& interrupted) {
        if (interrupted.signal != SIGTERM) _exit(2);
      }
    }
    InterruptGuard::check();
    _exit(0);
  });
  CHECK((WIFEXITED(status) && WEXITSTATUS(status) == 0));
}

/// What a process says that has so many before it on another machine, of a signal, and of another that comes when its
/// neighbour has been killed.
std::string said_beside(int elsewhere) {
  int ends[2];
  REQUIRE(pipe(ends) == 0);
  const int status = status_of_child([&] {
    dup2(ends[1], STDERR_FILENO);
    TwoHere two;
    two.elsewhere = elsewhere;
    two.other = fork();
    if (two.other == 0) {
      pause();
      _exit(0);
    }
    lpw::distributed::AnyCommunicatorOf<TwoHere> processes(two);
    const InterruptGuard guard(processes);
    raise(SIGTERM);
    kill(two.other, SIGKILL);
    waitpid(two.other, nullptr, 0);
    raise(SIGINT);
    _exit(0);
  });
  CHECK((WIFEXITED(status) && WEXITSTATUS(status) == 0));
  std::array<char, 300> said{};
  CHECK(read(ends[0], said.data(), said.size() - 1) > 0);
  close(ends[0]), close(ends[1]);
  return said.data();
}

TEST_CASE("a signal says that it stops after the step, or which of the processes died") {
  CHECK(said_beside(0) ==
        "\nstopping after this step; interrupt again to stop at once\n"
        "\nprocess 1 died, and the others end; resume the run to go on from its last checkpoint\n");
  // Rank 0, which says the former, is on another machine, from where this one's dead are not seen.
  CHECK(said_beside(1) == "\nprocess 2 died, and the others end; resume the run to go on from its last checkpoint\n");
}
