// The memory pool of a device. Freed blocks are kept and handed out again, because touching fresh pages costs more than
// most of a training step's arithmetic on the CPU, and asking the driver for memory stops a GPU. Blocks are cut out of
// free ranges of segments, the best fit, and join their free neighbours when they are given back, so that what served
// one shape serves any other. Memory goes back to the system when trim() is called, at the end of a phase, or when more
// than there is is asked for. Small blocks lie in ranges of their own: a few that last must not keep large ranges
// apart. Where the memory comes from is the Source's business.
#pragma once

#include <algorithm>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <span>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include <lpw/tensor/error.hpp>
#include <lpw/tensor/host_memory.hpp>
#include <lpw/tensor/memory_ranges.hpp>

namespace lpw::inline LPW_ABI {

/// Bytes of a pool.
struct PoolUsage {
  std::size_t used = 0;  // handed out now
  std::size_t peak = 0;  // most handed out since the last reset_peak
  std::size_t held = 0;  // handed out, or kept for reuse
};

/// A Source whose memory comes and goes by pages within address space that it reserves.
template <class Source>
concept PagedSource = requires(const Source& source, std::byte* begin, std::size_t size) {
  { source.reserve(size) } -> std::same_as<std::span<std::byte>>;
  { source.commit(begin, size, size) } -> std::same_as<bool>;
  { source.decommit(begin, size) } -> std::same_as<bool>;
};

/// A Source says `alignment` of blocks, below which size they are `small`, and in what `granule` it had best be asked;
/// shortage(used) completes "out of memory: N bytes requested". It is a PagedSource, or has allocate(size, held), a
/// segment or null, and release(segment).
template <class Source>
class Pool {
 public:
  static constexpr std::size_t alignment = Source::alignment;  // of blocks, in bytes

  /// Of a source that is made with these.
  template <class... Arguments>
    requires std::is_constructible_v<Source, Arguments...>
  explicit Pool(Arguments&&... arguments) : source_(std::forward<Arguments>(arguments)...) {}
  Pool(const Pool&) = delete;
  Pool& operator=(const Pool&) = delete;
  ~Pool() {
    for (const auto segment : segments_) release_segment(segment);
  }

  /// A block of at least `bytes`, aligned to `alignment`. Throws OutOfMemory naming the request.
  [[nodiscard]] void* allocate(std::size_t bytes) {
    const std::size_t size = round_up(bytes) + guard();
    std::lock_guard lock(mutex_);
    Range& found = find_or_grow(size, bytes);
    const bool borrowed = borrowing_ && found.state == State::reserved;
    Range& range = ranges_.take(found, size);
    range.recording = lasting_ ? 0 : recording_;
    range.borrowed = borrowed;
    borrowed_ += borrowed;
    usage_.used += size - guard();
    usage_.peak = std::max(usage_.peak, usage_.used);
    allow(range.begin, size - guard());
    return range.begin;
  }

  /// Gives back a block; `bytes` as in its allocate.
  void deallocate(void* block, std::size_t bytes) noexcept {
    std::lock_guard lock(mutex_);
    Range& range = ranges_.at(static_cast<std::byte*>(block));
    forbid(range.begin, range.size);
    const State state = place_of(range);
    borrowed_ -= std::exchange(range.borrowed, false);
    range.recording = 0;
    if (range.small && state == State::free) {
      ranges_.put_apart(range, state);
    } else {
      ranges_.put(range, state);
    }
    usage_.used -= round_up(bytes);
  }

  /// What is handed out and held now.
  [[nodiscard]] PoolUsage usage() const {
    std::lock_guard lock(mutex_);
    return usage_;
  }
  /// Begins a new peak.
  void reset_peak() {
    std::lock_guard lock(mutex_);
    usage_.peak = usage_.used;
  }
  /// Returns unused memory to the system, in whole granules: for the end of a phase, since the next one pays for fresh
  /// memory.
  void trim() {
    std::lock_guard lock(mutex_);
    give_back(Source::granule);
  }

  /// Begins and ends a recording of work that will be repeated with the memory it now gets. The blocks handed out
  /// meanwhile are reserved when they are free: only later recordings get them, and work that borrows, until the
  /// reserve is dropped, or forget_recording() was called for each of them. What the work frees of what was handed out
  /// before, and will read again, is withheld as long.
  void begin_recording() {
    std::lock_guard lock(mutex_);
    recording_ = ++last_recording_;
    ++recordings_;
  }
  /// Ends what begin_recording began.
  void end_recording() {
    std::lock_guard lock(mutex_);
    recording_ = 0;
  }
  /// Begins and ends work that is not recorded but done instead of the recorded, whose memory it may use meanwhile.
  /// Where it keeps some of that, the reserve is dropped.
  void begin_borrowing() {
    std::lock_guard lock(mutex_);
    borrowing_ = true;
  }
  /// Ends what begin_borrowing began.
  void end_borrowing() noexcept {
    std::lock_guard lock(mutex_);
    borrowing_ = false;
    if (borrowed_ > 0) drop();
  }
  /// The repeated work of one recording is over.
  void forget_recording() noexcept {
    std::lock_guard lock(mutex_);
    if (--recordings_ > 0) return;
    borrowed_ = 0;
    ranges_.release_reserved();
  }

  /// While it lives, blocks are handed out as if nothing were recorded or borrowed: for what a step finds missing, and
  /// what then stays. Holds a reference to the pool.
  class Lasting {
   public:
    /// From now on.
    explicit Lasting(Pool& pool) : pool_(pool) { count(1); }
    ~Lasting() { count(-1); }
    Lasting(const Lasting&) = delete;
    Lasting& operator=(const Lasting&) = delete;

   private:
    void count(int more) noexcept {
      std::lock_guard lock(pool_.mutex_);
      pool_.lasting_ += more;
    }
    Pool& pool_;
  };

  /// How often the reserve was dropped for lack of other memory: recordings made before must not be repeated.
  [[nodiscard]] std::uint64_t drops() const {
    std::lock_guard lock(mutex_);
    return drops_;
  }
  /// Drops the reserve.
  void drop_reserve() {
    std::lock_guard lock(mutex_);
    drop();
  }

  /// The size a request is served with.
  [[nodiscard]] static constexpr std::size_t round_up(std::size_t bytes) {
    return multiple(std::max<std::size_t>(bytes, 1), alignment);
  }

 private:
  using Range = detail::MemoryRange;
  using State = Range::State;
  static constexpr bool paged = PagedSource<Source>;

  [[nodiscard]] static constexpr std::size_t multiple(std::size_t size, std::size_t of) {
    return (size + of - 1) / of * of;
  }
  [[nodiscard]] static constexpr std::size_t guard() {
    if constexpr (requires { Source::guard; }) return Source::guard;
    return 0;
  }
  static void allow(std::byte* begin, std::size_t size) noexcept {
    if constexpr (requires { Source::unpoison(begin, size); }) Source::unpoison(begin, size);
  }
  static void forbid(std::byte* begin, std::size_t size) noexcept {
    if constexpr (requires { Source::poison(begin, size); }) Source::poison(begin, size);
  }

  /// Where a block goes that is given back.
  [[nodiscard]] State place_of(const Range& range) const noexcept {
    if (recording_ && range.recording != recording_) return State::withheld;
    return range.recording || range.borrowed ? State::reserved : State::free;
  }

  [[nodiscard]] Range* find(std::size_t size) noexcept {
    const bool small = size < Source::small;
    const bool shares = (recording_ || borrowing_) && !lasting_;
    Range* range = shares ? ranges_.find(State::reserved, small, size) : nullptr;
    return range ? range : ranges_.find(State::free, small, size);
  }

  [[nodiscard]] Range& find_or_grow(std::size_t size, std::size_t bytes) {
    Range* range = find(size);
    if (!range && size < Source::small) {
      ranges_.join_small();
      range = find(size);
    }
    if (!range) range = grow(size);
    if (!range) {
      give_back(page());
      range = grow(size);
    }
    if (!range && recordings_ > 0 && !recording_) {
      drop();
      range = find(size);
      if (!range) {
        give_back(page());
        range = grow(size);
      }
    }
    if (!range)
      fail<OutOfMemory>("out of memory: ", round_up(bytes), " bytes requested ", source_.shortage(usage_.used));
    return *range;
  }

  void add_segment(std::byte* begin, std::size_t size, State state, bool small) {
    segments_.emplace_back(begin, size);
    ranges_.add(begin, size, state, small);
  }
  void release_segment(std::span<std::byte> segment) noexcept {
    if constexpr (paged) {
      source_.release(segment);
    } else {
      source_.release(segment.data());
    }
  }

  [[nodiscard]] static std::size_t page() {
    if constexpr (paged) return Source::page();
    return Source::granule;
  }

  /// A free range of at least `size` bytes with memory from the source; null if that has no more.
  [[nodiscard]] Range* grow(std::size_t size) {
    if (size > std::size_t{1} << 62) return nullptr;
    if constexpr (paged) {
      if (Range* range = grow_in_segments(size)) return range;
      auto reserved = source_.reserve(size);
      if (reserved.empty() && release_absent_segments()) reserved = source_.reserve(size);
      if (reserved.empty()) return nullptr;
      add_segment(reserved.data(), reserved.size(), State::absent, false);
      return grow_in_segments(size);
    } else {
      return grow_by_segment(size);
    }
  }

  /// Returns the addresses of segments without memory, where these are rationed; whether there were any.
  bool release_absent_segments() {
    std::vector<Range*> whole;
    ranges_.for_each_absent([&](Range& range) {
      if (!range.left && !range.right) whole.push_back(&range);
    });
    for (Range* range : whole) {
      const auto segment =
          std::find_if(segments_.begin(), segments_.end(), [&](const auto& s) { return s.data() == range->begin; });
      release_segment(*segment);
      segments_.erase(segment);
      ranges_.remove(*range);
    }
    return !whole.empty();
  }

  /// Small ranges share a granule, medium ones ten of them; a large one has a segment as long as itself, to be given
  /// back with it.
  [[nodiscard]] Range* grow_by_segment(std::size_t size) {
    const bool small = size < Source::small;
    const std::size_t exact = multiple(size, Source::granule), shared = small ? exact : 10 * Source::granule;
    for (const std::size_t length : {2 * size < shared ? shared : exact, exact}) {
      void* segment = source_.allocate(length, usage_.held);
      if (!segment) continue;
      add_segment(static_cast<std::byte*>(segment), length, State::free, small);
      usage_.held += length;
      return ranges_.find(State::free, small, size);
    }
    return nullptr;
  }

  /// Where memory can be put for a free range to become long enough: into the absent range, at its end for small
  /// blocks.
  struct Growth {
    Range* absent = nullptr;
    std::size_t missing = 0;
  };

  [[nodiscard]] Growth cheapest_growth(std::size_t size, bool small) const {
    Growth best;
    ranges_.for_each_absent([&](Range& absent) {
      const Range* beside = small ? absent.right : absent.left;
      const bool longer = beside && beside->state == State::free && beside->small == small;
      const std::size_t there = longer ? std::min(beside->size, size - 1) : 0;
      const std::size_t missing = multiple(size - there, page());
      if (missing > absent.size) return;
      const bool lower = best.absent && absent.begin < best.absent->begin;
      if (!best.absent || missing < best.missing || (missing == best.missing && lower != small))
        best = {&absent, missing};
    });
    return best;
  }

  /// Whole granules where there are as many, else pages.
  [[nodiscard]] Range* grow_in_segments(std::size_t size) {
    const bool small = size < Source::small;
    const Growth growth = cheapest_growth(size, small);
    if (!growth.absent) return nullptr;
    for (const std::size_t length :
         {std::min(multiple(growth.missing, Source::granule), growth.absent->size), growth.missing}) {
      std::byte* begin = small ? growth.absent->end() - length : growth.absent->begin;
      if (!source_.commit(begin, length, usage_.held)) continue;
      usage_.held += length;
      forbid(begin, length);
      Range* fresh = growth.absent;
      if (fresh->size > length && small) fresh = &ranges_.split(*fresh, fresh->size - length);
      if (fresh->size > length) ranges_.split(*fresh, length);
      return &ranges_.turn(*fresh, State::free, small);
    }
    return nullptr;
  }

  /// Returns free memory to the system: whole units of pages, or segments that are free from end to end.
  void give_back(std::size_t unit) {
    ranges_.join_small();
    for (Range* range : ranges_.all_free()) give_back(*range, unit);
  }

  void give_back(Range& range, std::size_t unit) {
    if constexpr (paged) {
      const auto address = reinterpret_cast<std::uintptr_t>(range.begin);
      const std::size_t lead = multiple(address, unit) - address;
      if (lead + unit > range.size) return;
      const std::size_t length = (range.size - lead) / unit * unit;
      Range& middle = lead > 0 ? ranges_.split(range, lead) : range;
      if (middle.size > length) ranges_.split(middle, length);
      const bool gone = source_.decommit(middle.begin, length);
      if (gone) usage_.held -= length;
      ranges_.turn(middle, gone ? State::absent : State::free, !gone && middle.small);
    } else {
      if (range.left || range.right) return;
      usage_.held -= range.size;
      std::erase_if(segments_, [&](const auto& segment) { return segment.data() == range.begin; });
      source_.release(range.begin);
      ranges_.remove(range);
    }
  }

  void drop() noexcept {
    ++drops_;
    borrowed_ = 0;
    ranges_.release_reserved();
  }

  Source source_;
  mutable std::mutex mutex_;
  detail::MemoryRanges ranges_;
  std::vector<std::span<std::byte>> segments_;
  PoolUsage usage_;
  std::uint32_t recording_ = 0, last_recording_ = 0;  // the one under way, 0 for none
  bool borrowing_ = false;
  int lasting_ = 0;           // how many Lasting there are
  std::size_t borrowed_ = 0;  // blocks of the reserve that work in between has
  std::size_t recordings_ = 0;
  std::uint64_t drops_ = 0;
};

/// The pool of host memory.
using CpuPool = Pool<HostMemory>;

/// The process's pool. Never destroyed: tensors with static lifetime may be freed after it would be.
inline CpuPool& cpu_pool() {
  static CpuPool& pool = *new CpuPool;
  return pool;
}

}  // namespace lpw::inline LPW_ABI
