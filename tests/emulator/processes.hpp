// Several processes on the emulator, each with a GPU of its own: copies of the test's, which tell each other what they
// sum in memory that they share.
#pragma once

#include <sched.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <memory>
#include <new>
#include <span>
#include <vector>

#include <lpw/distributed/communicator.hpp>
#include <lpw/tensor/to_size.hpp>

#include "support/threads.hpp"

namespace lpw::test {

inline constexpr int most_processes = 3;

/// Where those of a group meet.
struct MeetingPlace {
  std::atomic<int> arrived{0};
  std::atomic<unsigned> round{0};
  std::uint64_t sizes[most_processes];
  std::byte bytes[most_processes][1 << 20];

  /// Returns when `size` processes have come here. Ends the process after a minute.
  void wait(int size) {
    const unsigned before = round;
    if (++arrived == size) {
      arrived = 0;
      ++round;
      return;
    }
    const auto until = std::chrono::steady_clock::now() + std::chrono::minutes(1);
    while (round == before) {
      sched_yield();
      if (std::chrono::steady_clock::now() > until) std::fputs("a process does not come\n", stderr), _exit(3);
    }
  }
};

/// A group of them, and the groups that it splits into: no two of a size, by which each has its place to meet.
class Forked {
 public:
  Forked(int rank, int size, MeetingPlace* places) : rank_(rank), size_(size), places_(places) {}
  [[nodiscard]] int rank() const { return rank_; }
  [[nodiscard]] int size() const { return size_; }
  template <class W>
  void sum(std::span<W> values) const {
    if (size_ == 1) return;
    const std::span<std::byte> bytes = std::as_writable_bytes(values);
    give(bytes);
    for (std::size_t i = 0; i < values.size(); ++i) {
      double sum = 0;
      for (int from = 0; from < size_; ++from) {
        W value;
        std::memcpy(&value, place().bytes[from] + i * sizeof(W), sizeof(W));
        sum += static_cast<double>(value);
      }
      values[i] = static_cast<W>(sum);
    }
    place().wait(size_);
  }
  void broadcast(std::span<std::byte> bytes, int from) const {
    give(bytes);
    std::memcpy(bytes.data(), place().bytes[from], bytes.size());
    place().wait(size_);
  }
  void gather(std::span<const std::byte> own, std::span<std::byte> all) const {
    give(own);
    std::byte* to = all.data();
    for (int from = 0; from < size_; ++from) {
      if (place().sizes[from] > 0) std::memcpy(to, place().bytes[from], place().sizes[from]);
      to += place().sizes[from];
    }
    place().wait(size_);
  }
  void barrier() const { place().wait(size_); }
  [[nodiscard]] std::unique_ptr<Forked> split(int group) const {
    std::vector<int> groups(to_size(size_));
    gather(std::as_bytes(std::span(&group, 1)), std::as_writable_bytes(std::span(groups)));
    const auto before = std::count(groups.begin(), groups.begin() + rank_, group);
    const auto all = std::count(groups.begin(), groups.end(), group);
    return std::make_unique<Forked>(static_cast<int>(before), static_cast<int>(all), places_);
  }
  /// A process of a group of another size.
  [[nodiscard]] Forked of(int rank, int size) const { return {rank, size, places_}; }

 private:
  [[nodiscard]] MeetingPlace& place() const { return places_[size_ - 1]; }
  void give(std::span<const std::byte> bytes) const {
    require(bytes.size() <= sizeof place().bytes[0], "the processes have no room for ", bytes.size(), " bytes");
    place().sizes[rank_] = bytes.size();
    if (!bytes.empty()) std::memcpy(place().bytes[rank_], bytes.data(), bytes.size());
    place().wait(size_);
  }

  int rank_, size_;
  MeetingPlace* places_;
};

/// Calls body(processes) in so many, of which this is the first. Returns whether the others came to its end.
template <class Body>
[[nodiscard]] bool in_processes(int size, Body&& body) {
  const ThreadScope one(1);  // a copy has no other threads
  void* const shared =
      mmap(nullptr, most_processes * sizeof(MeetingPlace), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  require(shared != MAP_FAILED, "no memory to share");
  auto* const places = static_cast<MeetingPlace*>(shared);
  for (int i = 0; i < most_processes; ++i) new (places + i) MeetingPlace;
  std::vector<pid_t> others;
  for (int rank = 1; rank < size; ++rank) {
    const pid_t process = fork();
    if (process > 0) {
      others.push_back(process);
      continue;
    }
    try {
      body(Forked(rank, size, places));
      _exit(0);
    } catch (const std::exception& error) {
      std::fprintf(stderr, "process %d: %s\n", rank, error.what());
      _exit(1);
    }
  }
  body(Forked(0, size, places));
  bool well = true;
  for (const pid_t process : others) {
    int status = 1;
    well = waitpid(process, &status, 0) == process && status == 0 && well;
  }
  munmap(shared, most_processes * sizeof(MeetingPlace));
  return well;
}

}  // namespace lpw::test
