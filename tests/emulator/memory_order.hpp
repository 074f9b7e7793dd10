// What a block of a launch may know of the stores of the others. A GPU promises nothing of the order in which a store
// reaches them but through fences: the writer's, then an atomic operation by which it tells of the store, then the
// reader's. So a store that is made for other blocks (kernels::store_fresh) stays apart until the launch ends: of it
// only kernels::load_fresh knows, which is an Error unless the two fences are there, and memory itself holds NaN, as
// stale as a cache may be. Unlike an order of threads that happens to go well, a fence that is missing shows always.
//
// Not seen: what blocks hand each other by plain stores and plain loads alone, though load_fresh refuses what a plain
// store has written; and a load that is overtaken by a store (a word that is read in one round and stored in the next).
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <iterator>
#include <optional>
#include <source_location>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include <lpw/tensor/error.hpp>

#include "emulator/cuda_types.hpp"

namespace lpw::emulator {

using Site = std::source_location;

[[nodiscard]] inline std::string name_of(uint3 index) {
  return to_text('(', index.x, ", ", index.y, ", ", index.z, ')');
}

[[nodiscard]] inline std::string name_of(const Site& site) {
  const std::string_view path = site.file_name();
  return to_text(path.substr(path.rfind('/') + 1), ':', site.line());
}

/// Of each word that blocks count on, how many of the operations on it are known.
using Knowledge = std::vector<std::size_t>;

/// A block's phases are what __syncthreads() divides it into; its time goes on with every fence.
struct BlockOrder {
  unsigned phase = 1, time = 1;
  Knowledge acquired = {}, observed = {};  // by all of its threads, and by any
};

struct ThreadOrder {
  unsigned fenced_phase = 0, fenced_time = 0;  // its last fence covers the phases and its warp's times before these
  Knowledge observed = {}, acquired = {};      // before and after a fence
};

/// The running thread, as a word or an operation remembers it.
struct Actor {
  std::uint64_t block;  // its number
  unsigned warp;
  uint3 block_index, thread_index;
  BlockOrder& in_block;
  ThreadOrder& in_thread;
};

class MemoryOrder {
 public:
  static constexpr std::size_t word_bytes = 4;

  /// __threadfence().
  static void fence(const Actor& actor) {
    actor.in_thread.fenced_phase = actor.in_block.phase;
    actor.in_thread.fenced_time = ++actor.in_block.time;
    join(actor.in_thread.acquired, actor.in_thread.observed);
  }
  /// After a __syncthreads(), for each thread of the block, and once for the block.
  static void pass_barrier(BlockOrder& block, ThreadOrder& thread) {
    join(block.acquired, std::exchange(thread.acquired, {}));
  }
  static void pass_barrier(BlockOrder& block) { ++block.phase; }

  /// An atomic operation: the thread tells of what it has fenced, and sees what the operations before told.
  void count(const void* address, const Actor& actor) {
    if (words_.contains(address))
      fail(who(actor), "an atomic operation on a word that store_fresh has written in this launch");
    const std::size_t number = number_of(address);
    Counter& counter = counters_[number];
    observe(actor, number);
    Knowledge known = actor.in_block.acquired;
    join(known, actor.in_thread.acquired);
    counter.of_block[actor.block].push_back(counter.operations.size());
    counter.operations.push_back(
        {actor.in_thread.fenced_phase, actor.warp, actor.in_thread.fenced_time, std::move(known)});
  }

  /// store_fresh of some words. Memory is given them by finish(); until then it holds NaN.
  void store(void* to, const void* from, std::size_t bytes, const Actor& actor, const Site& site) {
    for (std::size_t at = 0; at < bytes; at += word_bytes) {
      auto* const address = static_cast<std::byte*>(to) + at;
      if (number_if_any(address))
        fail(who(actor), "store_fresh at ", name_of(site), " to a word that blocks count on in this launch");
      const auto [word, first] = words_.try_emplace(address);
      if (!first) check_known(word->second, actor, "writes", site);
      word->second = {.block = actor.block,
                      .warp = actor.warp,
                      .phase = actor.in_block.phase,
                      .time = actor.in_block.time,
                      .site = site,
                      .block_index = actor.block_index,
                      .thread_index = actor.thread_index};
      std::memcpy(&word->second.value, static_cast<const std::byte*>(from) + at, word_bytes);
      std::memset(address, 0xff, word_bytes);
      const auto place = reinterpret_cast<std::uintptr_t>(address);
      first_ = std::min(first_, place);
      end_ = std::max(end_, place + word_bytes);
    }
  }

  /// load_fresh of some words.
  void load(void* to, const void* from, std::size_t bytes, const Actor& actor, const Site& site) {
    if (const auto number = number_if_any(from)) {
      observe(actor, *number);
      std::memcpy(to, from, bytes);
      return;
    }
    for (std::size_t at = 0; at < bytes; at += word_bytes) {
      const auto word = words_.find(static_cast<const std::byte*>(from) + at);
      if (word == words_.end())
        fail(who(actor), "load_fresh at ", name_of(site),
             " of a word that no thread has written by store_fresh or an atomic operation in this launch");
      check_known(word->second, actor, "reads", site);
      std::memcpy(static_cast<std::byte*>(to) + at, &word->second.value, word_bytes);
    }
  }

  /// False for what lies apart from all words that store_fresh has written.
  [[nodiscard]] bool may_hold(const void* address, std::size_t bytes) const {
    const auto first = reinterpret_cast<std::uintptr_t>(address);
    return first < end_ && first + bytes > first_;
  }
  /// A load or store of other kinds, by vectors.
  void check_plain(const char* what, const void* address, std::size_t bytes, const Actor& actor,
                   const Site& site) const {
    const auto* const first = static_cast<const std::byte*>(address);
    for (std::size_t at = 0; at < bytes; at += word_bytes)
      if (const auto word = words_.find(first + at); word != words_.end())
        fail(who(actor), what, " at ", name_of(site), " of what ", writer(word->second),
             " for other blocks; what a launch hands from block to block is written by store_fresh and read by "
             "load_fresh, or as Cache::fresh");
  }

  /// The launch is over: everybody sees everything.
  void finish() const {
    for (const auto& [address, word] : words_) std::memcpy(const_cast<void*>(address), &word.value, word_bytes);
  }

  [[nodiscard]] static std::string who(const Actor& actor) {
    return to_text("block ", name_of(actor.block_index), ", thread ", name_of(actor.thread_index), ": ");
  }

 private:
  struct Word {
    std::uint32_t value = 0;
    std::uint64_t block = 0;
    unsigned warp = 0, phase = 0, time = 0;
    Site site = {};
    uint3 block_index = {}, thread_index = {};
  };
  struct Operation {
    unsigned fenced_phase, warp, fenced_time;
    Knowledge known;  // what the thread that made it had acquired itself

    [[nodiscard]] bool tells_of(const Word& word) const {
      return word.phase < fenced_phase || (word.warp == warp && word.time < fenced_time);
    }
  };
  /// A word that blocks count on.
  struct Counter {
    std::vector<Operation> operations;
    std::unordered_map<std::uint64_t, std::vector<std::size_t>> of_block;  // its operations' numbers
  };

  static void raise(Knowledge& knowledge, std::size_t number, std::size_t count) {
    if (knowledge.size() <= number) knowledge.resize(number + 1);
    knowledge[number] = std::max(knowledge[number], count);
  }
  static void join(Knowledge& knowledge, const Knowledge& other) {
    for (std::size_t number = 0; number < other.size(); ++number) raise(knowledge, number, other[number]);
  }

  [[nodiscard]] std::size_t number_of(const void* address) {
    const auto [at, first] = numbers_.try_emplace(address, counters_.size());
    if (first) counters_.emplace_back();
    return at->second;
  }
  [[nodiscard]] std::optional<std::size_t> number_if_any(const void* address) const {
    const auto at = numbers_.find(address);
    return at == numbers_.end() ? std::nullopt : std::optional(at->second);
  }
  void observe(const Actor& actor, std::size_t number) const {
    raise(actor.in_thread.observed, number, counters_[number].operations.size());
    raise(actor.in_block.observed, number, counters_[number].operations.size());
  }

  /// Whether some operation that is known tells of the word, and with `fenced` by way of its writer's fence.
  [[nodiscard]] bool tells(const Knowledge& knowledge, const Word& word, bool fenced) const {
    for (std::size_t number = 0; number < knowledge.size(); ++number) {
      const Counter& counter = counters_[number];
      const auto mine = counter.of_block.find(word.block);
      if (mine == counter.of_block.end()) continue;
      const auto end = std::lower_bound(mine->second.begin(), mine->second.end(), knowledge[number]);
      if (end == mine->second.begin()) continue;
      if (!fenced || counter.operations[*std::prev(end)].tells_of(word)) return true;
    }
    return false;
  }
  /// The same, also by way of what other blocks had acquired. `explored`: operations that have been looked at.
  [[nodiscard]] bool reaches(const Knowledge& knowledge, const Word& word, Knowledge& explored) const {
    if (tells(knowledge, word, true)) return true;
    explored.resize(counters_.size());
    for (std::size_t number = 0; number < knowledge.size(); ++number)
      while (explored[number] < knowledge[number])
        if (reaches(counters_[number].operations[explored[number]++].known, word, explored)) return true;
    return false;
  }

  /// Throws unless `word` is known to the actor.
  void check_known(const Word& word, const Actor& actor, const char* does, const Site& site) const {
    if (word.block == actor.block) {
      if (word.warp == actor.warp || word.phase < actor.in_block.phase) return;
      fail(who(actor), does, " at ", name_of(site), " what ", writer(word), ", without a __syncthreads() between");
    }
    Knowledge acquired = actor.in_block.acquired;
    join(acquired, actor.in_thread.acquired);
    if (tells(acquired, word, true)) return;
    Knowledge explored, seen = acquired;
    if (reaches(acquired, word, explored)) return;
    join(seen, actor.in_block.observed);
    explored.clear();
    const char* const missing =
        reaches(seen, word, explored)
            ? "a __threadfence() is missing in this block, between the atomic operation or load_fresh by which it "
              "learned of the store, and this"
        : tells(seen, word, false)
            ? "a __threadfence() is missing in the block that wrote, between the store (of other warps: the "
              "__syncthreads() after it) and the atomic operation by which it told of it"
            : "nothing says that it has done so: it is to tell of it by an atomic operation after a __threadfence(), "
              "and this block to see that and fence as well";
    fail(who(actor), does, " at ", name_of(site), " what ", writer(word), "; ", missing);
  }

  [[nodiscard]] static std::string writer(const Word& word) {
    return to_text("block ", name_of(word.block_index), ", thread ", name_of(word.thread_index), " has written at ",
                   name_of(word.site));
  }

  std::unordered_map<const void*, Word> words_;
  std::unordered_map<const void*, std::size_t> numbers_;
  std::vector<Counter> counters_;
  std::uintptr_t first_ = ~std::uintptr_t{0}, end_ = 0;  // the words' range
};

}  // namespace lpw::emulator
