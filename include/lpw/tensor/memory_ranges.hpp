// What a memory pool keeps books of: ranges of its segments, in use, free or absent, each knowing its neighbours, and
// lists of free ones by size, in which a good fit is found in constant time (two-level segregated fit; Masmano et al.
// 2004, "TLSF"). The books lie apart from the memory, which may be a GPU's.
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <unordered_map>
#include <vector>

#include <lpw/tensor/abi.hpp>

namespace lpw::inline LPW_ABI::detail {

/// A stretch of a segment. What is reserved belongs to recordings, which give it out among them; what is withheld is
/// nobody's as long as there are any. What lies absent is address space without memory.
struct MemoryRange {
  enum class State : std::uint8_t { used, free, reserved, withheld, absent };

  std::byte* begin = nullptr;
  std::size_t size = 0;
  MemoryRange *left = nullptr, *right = nullptr;     // its neighbours in the segment; null at the ends
  MemoryRange *previous = nullptr, *next = nullptr;  // in the list that it is in
  State state = State::used;
  bool small = false;           // serves small requests only
  bool borrowed = false;        // of the reserve, for work that is not recorded
  std::uint32_t recording = 0;  // the recording that it was handed out in: its place when free is the reserve; 0: none

  [[nodiscard]] std::byte* end() const { return begin + size; }
  [[nodiscard]] bool joins(const MemoryRange& other) const { return state == other.state && small == other.small; }
};

/// Ranges that are not in use, by size: a list for each eighth of a power of two.
class RangeList {
 public:
  void insert(MemoryRange& range) noexcept {
    const std::size_t bin = bin_of(range.size);
    MemoryRange*& head = heads_[bin];
    range.previous = nullptr;
    range.next = head;
    if (head) head->previous = &range;
    head = &range;
    occupied_[bin / 64] |= std::uint64_t{1} << bin % 64;
  }

  void remove(MemoryRange& range) noexcept {
    const std::size_t bin = bin_of(range.size);
    (range.previous ? range.previous->next : heads_[bin]) = range.next;
    if (range.next) range.next->previous = range.previous;
    if (!heads_[bin]) occupied_[bin / 64] &= ~(std::uint64_t{1} << bin % 64);
  }

  /// The smallest range of at least `size` bytes among the first of the first list that has one; null if there is none.
  [[nodiscard]] MemoryRange* find(std::size_t size) const noexcept {
    const std::size_t own = bin_of(size);
    if (MemoryRange* range = smallest(own, size)) return range;
    for (std::size_t bin = next_occupied(own + 1); bin < bins; bin = next_occupied(bin + 1))
      if (MemoryRange* range = smallest(bin, size)) return range;
    return nullptr;
  }

  /// Any range; null if there is none.
  [[nodiscard]] MemoryRange* any() const noexcept {
    const std::size_t bin = next_occupied(0);
    return bin < bins ? heads_[bin] : nullptr;
  }

  /// Calls f(range) for every range; f may remove it and insert others, which may be visited or not.
  template <class F>
  void for_each(F&& f) const {
    for (std::size_t bin = next_occupied(0); bin < bins; bin = next_occupied(bin + 1))
      for (MemoryRange *range = heads_[bin], *next; range; range = next) {
        next = range->next;
        f(*range);
      }
  }

 private:
  static constexpr std::size_t bins = 512;
  static constexpr int looked_at = 64;  // ranges of a list, so that a long one costs no more

  /// Sizes below 16 do not occur.
  [[nodiscard]] static std::size_t bin_of(std::size_t size) noexcept {
    const auto log = static_cast<std::size_t>(std::bit_width(size)) - 1;
    return log * 8 + ((size >> (log - 3)) & 7);
  }

  [[nodiscard]] std::size_t next_occupied(std::size_t bin) const noexcept {
    if (bin >= bins) return bins;
    std::size_t word = bin / 64;
    for (std::uint64_t bits = occupied_[word] >> bin % 64 << bin % 64; word < occupied_.size();
         bits = occupied_[word]) {
      if (bits != 0) return word * 64 + static_cast<std::size_t>(std::countr_zero(bits));
      if (++word == occupied_.size()) break;
    }
    return bins;
  }

  [[nodiscard]] MemoryRange* smallest(std::size_t bin, std::size_t size) const noexcept {
    MemoryRange* best = nullptr;
    int looked = 0;
    for (MemoryRange* range = heads_[bin]; range && looked < looked_at; range = range->next, ++looked) {
      if (range->size == size) return range;
      if (range->size > size &&
          (!best || range->size < best->size || (range->size == best->size && range->begin < best->begin)))
        best = range;
    }
    return best;
  }

  std::array<MemoryRange*, bins> heads_{};
  std::array<std::uint64_t, bins / 64> occupied_{};
};

/// The ranges of a pool: what is in use, and what is not in the list for its state and size.
class MemoryRanges {
 public:
  using State = MemoryRange::State;

  /// The range that begins at the address.
  [[nodiscard]] MemoryRange& at(std::byte* begin) noexcept { return ranges_.find(begin)->second; }
  /// A range, not in use, of at least `size` bytes; null if there is none.
  [[nodiscard]] MemoryRange* find(State state, bool small, std::size_t size) noexcept {
    return list(state, small).find(size);
  }
  /// Any range of a state; null if there is none.
  [[nodiscard]] MemoryRange* any(State state) noexcept {
    MemoryRange* range = list(state, false).any();
    return range ? range : list(state, true).any();
  }
  template <class F>
  void for_each_absent(F&& f) const {
    absent_.for_each(f);
  }
  [[nodiscard]] std::vector<MemoryRange*> all_free() const {
    std::vector<MemoryRange*> all;
    for (const RangeList& ranges : free_) ranges.for_each([&](MemoryRange& range) { all.push_back(&range); });
    return all;
  }

  /// A new segment, of one range that is not in use.
  void add(std::byte* begin, std::size_t size, State state, bool small) {
    MemoryRange& range = ranges_.try_emplace(begin).first->second;
    range = {.begin = begin, .size = size, .state = state, .small = small};
    list_of(range).insert(range);
  }
  /// Forgets a segment that is one range not in use.
  void remove(MemoryRange& range) noexcept {
    list_of(range).remove(range);
    ranges_.erase(range.begin);
  }

  /// The first `size` bytes of a range that is not in use, now in use.
  MemoryRange& take(MemoryRange& range, std::size_t size) {
    if (range.size > size) split(range, size);
    list_of(range).remove(range);
    range.state = State::used;
    return range;
  }
  /// Cuts what is beyond the first `size` bytes off a range that is not in use, as one of the same kind. Returns it.
  MemoryRange& split(MemoryRange& range, std::size_t size) {
    MemoryRange& rest = ranges_.try_emplace(range.begin + size).first->second;
    list_of(range).remove(range);
    rest = {.begin = range.begin + size,
            .size = range.size - size,
            .left = &range,
            .right = range.right,
            .state = range.state,
            .small = range.small};
    if (range.right) range.right->left = &rest;
    range.right = &rest;
    range.size = size;
    list_of(range).insert(range);
    list_of(rest).insert(rest);
    return rest;
  }

  /// Makes a range in use one that is not, joined with its neighbours of the same kind. Returns what it has become.
  MemoryRange& put(MemoryRange& range, State state) noexcept {
    range.state = state;
    MemoryRange* whole = &range;
    if (range.left && range.left->joins(range)) {
      whole = range.left;
      list_of(*whole).remove(*whole);
      absorb_right(*whole);
    }
    if (whole->right && whole->right->joins(*whole)) {
      list_of(*whole).remove(*whole->right);
      absorb_right(*whole);
    }
    list_of(*whole).insert(*whole);
    return *whole;
  }
  /// The same without joining, which is left to join_small(): most small blocks are soon wanted again in the same size.
  void put_apart(MemoryRange& range, State state) noexcept {
    range.state = state;
    list_of(range).insert(range);
  }
  /// Joins all neighbours among the free ranges of small blocks.
  void join_small() {
    std::vector<MemoryRange*> first;  // of each row of neighbours: it stays, and absorbs the others
    free_[true].for_each([&](MemoryRange& range) {
      if ((!range.left || !range.left->joins(range)) && range.right && range.right->joins(range))
        first.push_back(&range);
    });
    for (MemoryRange* range : first) {
      free_[true].remove(*range);
      while (range->right && range->right->joins(*range)) {
        free_[true].remove(*range->right);
        absorb_right(*range);
      }
      free_[true].insert(*range);
    }
  }
  /// Turns a range that is not in use into one of another kind, joined with its neighbours. Returns what it has become.
  MemoryRange& turn(MemoryRange& range, State state, bool small) noexcept {
    list_of(range).remove(range);
    range.small = small;
    return put(range, state);
  }

  /// Makes all that is reserved or withheld free, and forgets what was recorded.
  void release_reserved() noexcept {
    for (const State state : {State::reserved, State::withheld})
      while (MemoryRange* range = any(state)) turn(*range, State::free, range->small);
    for (auto& [begin, range] : ranges_) range.recording = 0, range.borrowed = false;
  }

 private:
  [[nodiscard]] RangeList& list(State state, bool small) noexcept {
    switch (state) {
      case State::absent:
        return absent_;
      case State::reserved:
        return reserved_[small];
      case State::withheld:
        return withheld_[small];
      default:
        return free_[small];
    }
  }
  [[nodiscard]] RangeList& list_of(const MemoryRange& range) noexcept { return list(range.state, range.small); }

  void absorb_right(MemoryRange& range) noexcept {
    MemoryRange& gone = *range.right;
    range.size += gone.size;
    range.right = gone.right;
    if (range.right) range.right->left = &range;
    ranges_.erase(gone.begin);
  }

  std::unordered_map<std::byte*, MemoryRange> ranges_;  // by where they begin
  RangeList free_[2], reserved_[2], withheld_[2];       // of large and of small blocks
  RangeList absent_;
};

}  // namespace lpw::inline LPW_ABI::detail
