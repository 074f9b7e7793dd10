// What a memory pool keeps books of: ranges of its segments, in use, free or absent, each knowing its neighbours, and lists of free ones by
// size, in which a good fit is found in constant time (two-level segregated fit; Masmano et al. 2004, "TLSF"). The books lie apart from
// the memory, which may be a GPU's.
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>

namespace lpw::detail {

/// A stretch of a segment. What lies absent is address space without memory.
struct MemoryRange {
  enum class State : std::uint8_t { used, free, reserved, absent };

  std::byte* begin = nullptr;
  std::size_t size = 0;
  MemoryRange *left = nullptr, *right = nullptr;     // its neighbours in the segment; null at the ends
  MemoryRange *previous = nullptr, *next = nullptr;  // in the list that it is in
  State state = State::used;
  bool small = false;     // serves small requests only
  bool recorded = false;  // handed out while recording: its place when free is the reserve

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
    const int log = std::bit_width(size) - 1;
    return static_cast<std::size_t>(log) * 8 + (size >> (log - 3) & 7);
  }

  [[nodiscard]] std::size_t next_occupied(std::size_t bin) const noexcept {
    if (bin >= bins) return bins;
    std::size_t word = bin / 64;
    for (std::uint64_t bits = occupied_[word] >> bin % 64 << bin % 64; word < occupied_.size(); bits = occupied_[word]) {
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
      if (range->size > size && (!best || range->size < best->size || (range->size == best->size && range->begin < best->begin)))
        best = range;
    }
    return best;
  }

  std::array<MemoryRange*, bins> heads_{};
  std::array<std::uint64_t, bins / 64> occupied_{};
};

}  // namespace lpw::detail
