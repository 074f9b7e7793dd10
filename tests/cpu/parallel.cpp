#include <lpw/cpu/base/parallel.hpp>

#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <numeric>
#include <thread>
#include <vector>

#include <lpw/cpu/elementwise.hpp>

#include "catch.hpp"
#include "support/threads.hpp"

using namespace lpw::test;

namespace lpw {
namespace {

constexpr std::int64_t large = 1 << 20;  // passes: worth sharing

[[nodiscard]] std::int64_t shared_loops() { return detail::thread_pool().shared_loops(); }

/// How often each of `count` items of the given cost was visited.
[[nodiscard]] std::vector<int> visits(std::int64_t count, std::int64_t cost) {
  std::vector<int> times(static_cast<std::size_t>(count));
  parallel_for(count, cost, [&](std::int64_t item) { ++times[static_cast<std::size_t>(item)]; });
  return times;
}

/// Exit code of a child process that runs `body`; -1 if it did not end within ten seconds.
template <class Body>
[[nodiscard]] int exit_code_of_child(Body&& body) {
  const pid_t child = fork();
  if (child == 0) _exit(body());
  for (int wait = 0; wait < 1000; ++wait) {
    int status = 0;
    if (waitpid(child, &status, WNOHANG) == child) return WIFEXITED(status) ? WEXITSTATUS(status) : 128;
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  kill(child, SIGKILL);
  waitpid(child, nullptr, 0);
  return -1;
}

TEST_CASE("a parallel loop visits every item once, on any number of threads") {
  for (const int threads : {1, 2, 5}) {
    const test::ThreadScope scope(threads);
    for (const std::int64_t count : {0, 1, 2, 63, 1000})
      for (const std::int64_t cost : {std::int64_t{1}, large}) {
        INFO(threads << " threads, " << count << " items of cost " << cost);
        CHECK(visits(count, cost) == std::vector<int>(static_cast<std::size_t>(count), 1));
      }
  }
}

TEST_CASE("runs of elements begin at multiples of 4096, whatever the threads") {
  const test::ThreadScope scope(3);
  std::vector<int> times(200'001);
  std::atomic<bool> aligned = true;
  parallel_elements(std::ssize(times), 1, [&](std::int64_t first, std::int64_t last) {
    if (first % 4096 != 0) aligned = false;
    for (std::int64_t i = first; i < last; ++i) ++times[static_cast<std::size_t>(i)];
  });
  CHECK(aligned);
  CHECK(times == std::vector<int>(times.size(), 1));
}

TEST_CASE("a loop that is too small to share wakes nobody, and one on one thread neither") {
  const test::ThreadScope scope(2);
  std::int64_t before = shared_loops();
  (void)visits(100, 100);
  (void)visits(1, large);
  const auto x = full<float, Cpu>({1, 1000}, 1.f);
  (void)relu_forward(x);
  CHECK(shared_loops() == before);

  set_max_threads(1);
  (void)visits(100, large);
  CHECK(shared_loops() == before);
}

TEST_CASE("threads have numbers of their own below the number of threads") {
  constexpr int threads = 4;
  const test::ThreadScope scope(threads);
  for (int repeat = 0; repeat < 50; ++repeat) {
    std::vector<std::atomic<int>> inside(threads);
    std::atomic<bool> alone = true;
    parallel_for(64, large, [&](std::int64_t) {
      const int number = thread_number();
      if (number < 0 || number >= threads || inside[static_cast<std::size_t>(number)]++ != 0) alone = false;
      std::this_thread::yield();
      --inside[static_cast<std::size_t>(number)];
    });
    REQUIRE(alone);
  }
  CHECK(thread_number() == 0);
}

TEST_CASE("threads that were made for a larger loop stay out of a smaller one") {
  {
    const test::ThreadScope scope(6);
    (void)visits(100, large);
  }
  const test::ThreadScope scope(2);
  for (int repeat = 0; repeat < 200; ++repeat) {
    std::atomic<int> largest = 0;
    parallel_for(16, large, [&](std::int64_t) {
      if (thread_number() > largest) largest = thread_number();
    });
    REQUIRE(largest < 2);
  }
}

TEST_CASE("an exception leaves a parallel loop, and the next loop is whole again") {
  for (const int threads : {1, 3}) {
    const test::ThreadScope scope(threads);
    for (const std::int64_t bad : {0, 50, 99}) {
      const auto loop = [&] {
        parallel_for(100, large, [&](std::int64_t item) {
          if (item == bad) fail<ShapeError>("item ", item);
        });
      };
      CHECK_THROWS_AS(loop(), ShapeError);
      CHECK(visits(100, large) == std::vector<int>(100, 1));
    }
  }
}

TEST_CASE("a loop inside of a parallel loop runs on the thread that it is on") {
  const test::ThreadScope scope(3);
  std::vector<int> sums(64);
  std::atomic<bool> stays = true;
  parallel_for(std::ssize(sums), large, [&](std::int64_t outer) {
    const auto self = std::this_thread::get_id();
    parallel_for(10, large, [&](std::int64_t inner) {
      if (std::this_thread::get_id() != self) stays = false;
      sums[static_cast<std::size_t>(outer)] += static_cast<int>(inner);
    });
  });
  CHECK(stays);
  CHECK(sums == std::vector<int>(sums.size(), 45));
}

TEST_CASE("several threads of a program may run loops at the same time") {
  const test::ThreadScope scope(3);
  std::vector<int> whole(4);
  std::vector<std::thread> callers;
  for (int& result : whole)
    callers.emplace_back([&result] {
      for (int repeat = 0; repeat < 100; ++repeat) result += visits(200, large) == std::vector<int>(200, 1);
    });
  for (std::thread& caller : callers) caller.join();
  CHECK(whole == std::vector<int>(whole.size(), 100));
}

TEST_CASE("a child of fork computes, with threads of its own") {
  const test::ThreadScope scope(3);
  (void)visits(100, large);  // the parent has its threads
  CHECK(exit_code_of_child(
            [] { return visits(100, large) == std::vector<int>(100, 1) && shared_loops() == 1 ? 0 : 1; }) == 0);
  CHECK(visits(100, large) == std::vector<int>(100, 1));
}

TEST_CASE("a system without another thread is told so") {
  const int code = exit_code_of_child([] {
    if (geteuid() == 0 && setuid(65534) != 0) return 2;  // limits on processes are not for root
    const rlimit none{0, 0};
    if (setrlimit(RLIMIT_NPROC, &none) != 0) return 2;
    set_max_threads(2);
    try {
      (void)visits(100, large);
    } catch (const Error& error) {
      const std::string message = error.what();
      if (message.find("cannot start thread 2 of 2: ") != 0 || message.find("threads") == std::string::npos) return 3;
      set_max_threads(1);
      return visits(100, large) == std::vector<int>(100, 1) ? 0 : 4;
    }
    return 5;
  });
  if (code == 2) {
    WARN("SKIPPED: the number of processes cannot be limited here");
    return;
  }
  CHECK(code == 0);
}

TEST_CASE("threads by default follow OMP_NUM_THREADS, else mask and quota") {
  const GroupLimits unlimited{}, one_and_a_half{.processors = 1.5, .memory = {}},
      tenth{.processors = 0.1, .memory = {}};
  CHECK(default_threads(nullptr, 8, unlimited) == 8);
  CHECK(default_threads(nullptr, 8, one_and_a_half) == 2);
  CHECK(default_threads(nullptr, 8, tenth) == 1);
  CHECK(default_threads(nullptr, 1, one_and_a_half) == 1);
  CHECK(default_threads("3", 8, one_and_a_half) == 3);
  CHECK(default_threads("4,2", 8, unlimited) == 4);
  for (const char* text : {"", "0", "-2", "many", "3x", "99999999999999999999"}) {
    INFO(text);
    CHECK(default_threads(text, 8, unlimited) == 8);
  }
  CHECK(detail::processors_in_mask() >= 1);
}

TEST_CASE("time lost with helpers is waited for ten times over") {
  using namespace std::chrono_literals;
  detail::Account account;
  CHECK(account.shares(0s));
  account.enter(1ms, 1ms);
  CHECK(account.shares(1ms));
  account.enter(-3ms, 10ms);
  CHECK_FALSE(account.shares(11ms));
  CHECK_FALSE(account.shares(28ms));
  CHECK(account.shares(32ms));
  account.enter(-1s, 40ms);
  CHECK_FALSE(account.shares(130ms));
  CHECK(account.shares(141ms));
}

}  // namespace
}  // namespace lpw
