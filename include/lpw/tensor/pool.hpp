// The memory pool of a device. Freed blocks are kept and handed out again, because touching fresh pages costs more than most of a
// training step's arithmetic on the CPU, and asking the driver for memory stops a GPU. Sizes are rounded up to eighths of a power of two,
// so a block fits its class exactly. Where the memory comes from is the Source's business.
#pragma once

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <map>
#include <mutex>
#include <string>
#include <unordered_set>
#include <utility>
#include <vector>

#include <lpw/tensor/error.hpp>

namespace lpw {

/// Bytes handed out by a pool: now, at most since the last reset_peak, and held in total (handed out or kept for reuse).
struct PoolUsage {
  std::size_t used = 0, peak = 0, held = 0;
};

/// A Source has allocate(size), null if there is no more, release(block), and shortage(), which completes "out of memory: N bytes
/// requested".
template <class Source>
class Pool {
 public:
  static constexpr std::size_t alignment = Source::alignment;

  template <class... Arguments>
    requires std::is_constructible_v<Source, Arguments...>
  explicit Pool(Arguments&&... arguments) : source_(std::forward<Arguments>(arguments)...) {}
  Pool(const Pool&) = delete;
  Pool& operator=(const Pool&) = delete;
  ~Pool() {
    release_reserved();
    release_free();
  }

  /// A block of at least `bytes`, aligned to `alignment`. Throws OutOfMemory naming the request.
  [[nodiscard]] void* allocate(std::size_t bytes) {
    const std::size_t size = round_up(bytes);
    std::lock_guard lock(mutex_);
    SizeClass& blocks = classes_[size];
    void* block = recording_ ? take(blocks.reserved) : nullptr;
    if (!block) block = take(blocks.free);
    if (!block) {
      blocks.free.reserve(blocks.total + 1);  // so that giving back never allocates
      block = fresh(size);
      ++blocks.total;
      usage_.held += size;
    }
    if (recording_) {
      blocks.reserved.reserve(blocks.total);
      recorded_.insert(block);
    }
    usage_.used += size;
    usage_.peak = std::max(usage_.peak, usage_.used);
    return block;
  }

  /// Gives back a block; `bytes` as in its allocate.
  void deallocate(void* block, std::size_t bytes) noexcept {
    const std::size_t size = round_up(bytes);
    std::lock_guard lock(mutex_);
    SizeClass& blocks = classes_.find(size)->second;
    (recorded_.contains(block) ? blocks.reserved : blocks.free).push_back(block);
    usage_.used -= size;
  }

  [[nodiscard]] PoolUsage usage() const {
    std::lock_guard lock(mutex_);
    return usage_;
  }
  void reset_peak() {
    std::lock_guard lock(mutex_);
    usage_.peak = usage_.used;
  }
  /// Returns all unused blocks to the system.
  void trim() {
    std::lock_guard lock(mutex_);
    release_free();
  }

  /// Begins and ends a recording of work that will be repeated with the memory it now gets. The blocks handed out meanwhile are reserved
  /// when they are free: only later recordings get them, until the reserve is dropped, or forget_recording() was called
  /// for each of them.
  void begin_recording() {
    std::lock_guard lock(mutex_);
    recording_ = true;
    ++recordings_;
  }
  void end_recording() {
    std::lock_guard lock(mutex_);
    recording_ = false;
  }
  void forget_recording() noexcept {
    std::lock_guard lock(mutex_);
    if (--recordings_ == 0) release_reserved();
  }
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

  /// The size a request is served with: the next eighth of a power of two, at least the alignment.
  [[nodiscard]] static constexpr std::size_t round_up(std::size_t bytes) {
    const std::size_t step = std::max(alignment, std::bit_floor(std::max<std::size_t>(bytes, 1)) / 8);
    return (std::max<std::size_t>(bytes, 1) + step - 1) / step * step;
  }

 private:
  void* fresh(std::size_t size) {
    void* block = source_.allocate(size, usage_.held);
    if (!block) {
      release_free();
      block = source_.allocate(size, usage_.held);
    }
    if (!block && recordings_ > 0 && !recording_) {
      drop();
      release_free();
      block = source_.allocate(size, usage_.held);
    }
    if (!block) fail<OutOfMemory>("out of memory: ", size, " bytes requested ", source_.shortage(usage_.used));
    return block;
  }

  struct SizeClass {
    std::vector<void*> free, reserved;
    std::size_t total = 0;  // blocks of this size, handed out, free or reserved
  };

  /// A block out of a list; null if it is empty.
  [[nodiscard]] static void* take(std::vector<void*>& blocks) noexcept {
    if (blocks.empty()) return nullptr;
    void* block = blocks.back();
    blocks.pop_back();
    return block;
  }

  void drop() noexcept {
    ++drops_;
    release_reserved();
  }

  void release_reserved() noexcept {
    for (auto& [size, blocks] : classes_) {
      blocks.free.insert(blocks.free.end(), blocks.reserved.begin(), blocks.reserved.end());  // within its capacity
      blocks.reserved.clear();
    }
    recorded_.clear();
  }

  void release_free() noexcept {
    for (auto& [size, blocks] : classes_) {
      for (void* block : blocks.free) source_.release(block);
      usage_.held -= size * blocks.free.size();
      blocks.total -= blocks.free.size();
      blocks.free.clear();
    }
  }

  Source source_;
  mutable std::mutex mutex_;
  std::map<std::size_t, SizeClass> classes_;
  PoolUsage usage_;
  bool recording_ = false;
  std::size_t recordings_ = 0;
  std::unordered_set<const void*> recorded_;  // handed out while recording: their place when free is the reserve
  std::uint64_t drops_ = 0;
};

/// The machine's own memory, of which at most `limit` bytes are taken; by default what there is, where the system would promise more and
/// kill the process later.
class HostMemory {
 public:
  static constexpr std::size_t alignment = 64;

  explicit HostMemory(std::size_t limit = physical_memory()) : limit_(limit) {}

  [[nodiscard]] void* allocate(std::size_t size, std::size_t held) const {
    constexpr std::size_t huge_page = std::size_t{2} << 20;
    const bool huge = size >= huge_page;
    const std::size_t align = huge ? huge_page : alignment;
    const std::size_t padded = (size + align - 1) / align * align;
    if (padded > limit_ || held > limit_ - padded) return nullptr;
    void* block = std::aligned_alloc(align, padded);
    if (block && huge) madvise(block, padded, MADV_HUGEPAGE);
    return block;
  }
  static void release(void* block) noexcept { std::free(block); }
  [[nodiscard]] static std::string shortage(std::size_t used) {
    return concat("with ", used, " in use; take a smaller batch, member chunk or model");
  }

 private:
  static std::size_t physical_memory() {
    return static_cast<std::size_t>(sysconf(_SC_PHYS_PAGES)) * static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
  }

  std::size_t limit_;
};

using CpuPool = Pool<HostMemory>;

/// The process's pool. Never destroyed: tensors with static lifetime may be freed after it would be.
inline CpuPool& cpu_pool() {
  static CpuPool& pool = *new CpuPool;
  return pool;
}

}  // namespace lpw
