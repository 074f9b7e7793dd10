// The threads that loops share. A loop's items are taken from a counter by whoever comes, its caller included: a thread
// that gets no processor takes none, and nobody waits for it. Threads wait for the next loop in a short spin, which
// costs the others nothing on a machine of our own, and then sleep; where the system takes processors from us, they
// sleep at once. Nothing here looks at the environment.
//
// Whether helpers pay is measured where they are used: on a machine that others use too, a loop may wait longer for a
// thread that lost its processor than it would have taken alone. The pool keeps account of time won and lost, and does
// without helpers for a while after losses.
#pragma once

#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <memory>
#include <mutex>
#include <new>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include <lpw/cpu/base/openmp.hpp>
#include <lpw/tensor/error.hpp>

namespace lpw::inline LPW_ABI::detail {

using Clock = std::chrono::steady_clock;
using Time = std::chrono::nanoseconds;

[[nodiscard]] inline Time now() { return Clock::now().time_since_epoch(); }

/// Tells the processor that this thread spins.
inline void pause_spinning() {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

/// How often the system has taken the processor from this thread to give it to another.
[[nodiscard]] inline long processor_losses() {
  rusage usage{};
  return getrusage(RUSAGE_THREAD, &usage) == 0 ? usage.ru_nivcsw : 0;
}

/// One loop: `run(body, first, last)` for runs of at most `chunk` of its items.
struct Loop {
  void (*run)(const void* body, std::int64_t first, std::int64_t last);
  const void* body;
  std::int64_t count, chunk;
  int threads;
  alignas(64) std::atomic<std::int64_t> next = 0;
  alignas(64) std::atomic<bool> failed = false;
  std::exception_ptr error = nullptr;  // of whoever set `failed`

  /// Takes runs until there are none left; returns how many items these were. After an exception nobody takes another.
  std::int64_t work() noexcept {
    std::int64_t done = 0;
    while (!failed.load(std::memory_order_relaxed)) {
      const std::int64_t first = next.fetch_add(chunk, std::memory_order_relaxed);
      if (first >= count) break;
      const std::int64_t last = std::min(count, first + chunk);
      try {
        run(body, first, last);
      } catch (...) {
        if (!failed.exchange(true)) error = std::current_exception();
      }
      done += last - first;
    }
    return done;
  }
};

/// What a loop must cost to be shared, in passes: waking threads that sleep takes some ten microseconds. 0, for tests,
/// shares every loop, whether that pays or not.
[[nodiscard]] inline std::atomic<std::int64_t>& least_shared_cost() {
  static std::atomic<std::int64_t> cost = 1 << 16;
  return cost;
}

/// Where a thread is: inside of a loop (its own, or one that it helps with) or not, and its number among those of the
/// loop.
struct ThreadPlace {
  bool in_loop = false;
  int number = 0;
};
[[nodiscard]] inline ThreadPlace& thread_place() {
  static thread_local ThreadPlace place;
  return place;
}

/// The calling thread is inside of a loop while this lives.
class InLoop {
 public:
  InLoop() { thread_place().in_loop = true; }
  InLoop(const InLoop&) = delete;
  InLoop& operator=(const InLoop&) = delete;
  ~InLoop() { thread_place().in_loop = false; }
};

/// Time that helpers won and lost, of which older times count less and less. What was lost on balance is waited for ten
/// times over before they are called again: so losses stay below a tenth of all time.
class Account {
 public:
  /// Whether the next loop is to have helpers.
  [[nodiscard]] bool shares(Time time) const { return time >= closed_until_; }
  /// Of a loop that ended at `time`.
  void enter(Time won, Time time) {
    balance_ += won - balance_ / 16;
    if (balance_ >= Time(0)) return;
    closed_until_ = time - std::max(10 * balance_, -longest);
    balance_ = Time(0);
  }

 private:
  static constexpr Time longest = std::chrono::milliseconds(100);
  Time balance_{}, closed_until_{};
};

class ThreadPool {
 public:
  /// Runs the loop on the calling thread and helpers, unless another thread's loop has them; returns when all of it is
  /// done. Rethrows what an item threw.
  void run(Loop& loop) {
    {
      const InLoop scope;
      const std::unique_lock lock(owner_, std::try_to_lock);
      const Time begin = now();
      if (lock && (account_.shares(begin) || least_shared_cost() == 0)) {
        run_shared(loop, begin);
      } else {
        loop.work();
      }
    }
    if (loop.error) std::rethrow_exception(loop.error);
  }

  /// Loops that were offered to helpers so far.
  [[nodiscard]] std::int64_t shared_loops() const { return shared_loops_.load(std::memory_order_relaxed); }

 private:
  // A helper's signal: nothing since it last looked, a loop, or nothing and it sleeps.
  enum Signal : int { nothing, offered, asleep };
  struct alignas(64) Helper {
    std::atomic<int> signal = nothing;
    long losses = 0;
  };
  // The gate's bits: the loop may be entered; its caller sleeps until all have left; and times `one_inside`, the
  // helpers inside.
  static constexpr std::uint32_t open = 1, waiting = 2, one_inside = 4;

  /// Spinning ends after this, or soon where processors are taken from us.
  static constexpr Time patience = std::chrono::microseconds(200), impatience = std::chrono::microseconds(2);
  /// How long a loss of the processor is remembered.
  static constexpr Time memory = std::chrono::milliseconds(20);

  void run_shared(Loop& loop, Time begin) {
    const int helpers =
        std::min<int>(loop.threads - 1, static_cast<int>((loop.count + loop.chunk - 1) / loop.chunk) - 1);
    start(helpers);
    shared_loops_.fetch_add(1, std::memory_order_relaxed);
    loop_ = &loop;
    gate_.store(open);
    for (std::size_t i = 0; i < static_cast<std::size_t>(helpers); ++i)
      if (helpers_[i]->signal.exchange(offered) == asleep) helpers_[i]->signal.notify_one();
    const Time offered_all = now();
    const std::int64_t own = loop.work();
    const Time worked = now();
    wait_for_helpers();
    const Time end = now();
    if (!loop.failed)
      account_.enter(saved(loop, own, offered_all - begin, worked - offered_all, end - worked, helpers), end);
  }

  /// The time that helpers saved: alone the caller would have done their items at its own pace, which it may have lost
  /// the processor at, and neither called nor waited for anybody.
  [[nodiscard]] static Time saved(const Loop& loop, std::int64_t own, Time calling, Time working, Time lingering,
                                  int helpers) {
    if (own == 0) return Time(0);
    const double pace = static_cast<double>(working.count()) / static_cast<double>(own);
    const Time theirs(static_cast<Time::rep>(pace * static_cast<double>(loop.count - own)));
    return std::min(theirs, helpers * (working + lingering)) - lingering - calling;
  }

  void wait_for_helpers() {
    if ((gate_.fetch_and(~open) & ~open) == 0) return;
    if (spin([&] { return gate_.load() == 0; }, losses_)) return;
    std::uint32_t gate = gate_.load();
    while (gate >= one_inside) {
      if (!(gate & waiting) && !gate_.compare_exchange_strong(gate, gate | waiting)) continue;
      gate_.wait(gate | waiting);
      gate = gate_.load();
    }
    gate_.store(0);
  }

  /// What a helper does for ever.
  void help(Helper& self, int number) {
    thread_place() = {true, number};
    const SerialOpenMp serial;
    for (;;) {
      if (!spin([&] { return self.signal.load() == offered; }, self.losses)) {
        int expected = nothing;
        if (self.signal.compare_exchange_strong(expected, asleep)) self.signal.wait(asleep);
      }
      if (self.signal.exchange(nothing) == offered) enter(number);
    }
  }

  /// Helps with the loop, if it is not over yet and asks for so many.
  void enter(int number) {
    std::uint32_t gate = gate_.load();
    do {
      if (!(gate & open)) return;
    } while (!gate_.compare_exchange_weak(gate, gate + one_inside));
    Loop& loop = *loop_;
    if (number < loop.threads) loop.work();
    if (gate_.fetch_sub(one_inside) == (one_inside | waiting)) gate_.notify_one();
  }

  /// Spins until `done`, or patience ends; returns done.
  template <class Done>
  bool spin(Done&& done, long& losses) {
    const Time begin = now();
    bool looked = false;
    for (;;) {
      for (int i = 0; i < 16; ++i) {
        if (done()) return true;
        pause_spinning();
      }
      const Time time = now();
      if (time - begin > impatience && !looked) {
        looked = true;
        const long count = processor_losses();
        if (count != losses) contended_until_.store((time + memory).count(), std::memory_order_relaxed);
        losses = count;
        if (time.count() < contended_until_.load(std::memory_order_relaxed)) return done();
      }
      if (time - begin > patience) return done();
    }
  }

  /// Makes the helpers up to that many. They take no signals: those are for the program's own threads.
  void start(int helpers) {
    if (std::ssize(helpers_) >= helpers) return;
    sigset_t all, before;
    sigfillset(&all);
    for (const int fault : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGTRAP}) sigdelset(&all, fault);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    try {
      helpers_.reserve(
          static_cast<std::size_t>(helpers));  // a helper that runs must not be lost to a failing push_back
      while (std::ssize(helpers_) < helpers) {
        auto helper = std::make_unique<Helper>();
        std::thread([this, self = helper.get(), number = static_cast<int>(helpers_.size()) + 1] {
          help(*self, number);
        }).detach();
        helpers_.push_back(std::move(helper));
      }
    } catch (const std::bad_alloc&) {
      pthread_sigmask(SIG_SETMASK, &before, nullptr);
      throw;
    } catch (const std::system_error& error) {
      pthread_sigmask(SIG_SETMASK, &before, nullptr);
      fail<Error>("cannot start thread ", helpers_.size() + 2, " of ", helpers + 1, ": ", error.code().message(),
                  "; the system's limit on processes or memory is reached, take fewer threads");
    }
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
  }

  std::mutex owner_;  // held by the thread whose loop has the helpers; guards what follows but for the atomics
  std::vector<std::unique_ptr<Helper>> helpers_;
  Account account_;
  long losses_ = 0;
  std::atomic<std::int64_t> shared_loops_ = 0;
  std::atomic<Time::rep> contended_until_ = 0;
  Loop* loop_ = nullptr;
  alignas(64) std::atomic<std::uint32_t> gate_ = 0;
};

[[nodiscard]] inline std::atomic<ThreadPool*>& current_thread_pool() {
  static std::atomic<ThreadPool*> pool = nullptr;
  return pool;
}

/// The process's pool. Never destroyed: helpers sleep in it until the process ends. A child of fork() has none of its
/// parent's threads, so it gets a pool of its own.
[[nodiscard]] inline ThreadPool& thread_pool() {
  static const bool made = [] {
    current_thread_pool() = new ThreadPool;
    pthread_atfork(nullptr, nullptr, [] {
      current_thread_pool() = new ThreadPool;
      thread_place() = {};
    });
    return true;
  }();
  (void)made;
  return *current_thread_pool().load(std::memory_order_acquire);
}

}  // namespace lpw::inline LPW_ABI::detail
