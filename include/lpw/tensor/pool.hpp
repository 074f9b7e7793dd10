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
  ~Pool() { release_free(); }

  /// A block of at least `bytes`, aligned to `alignment`. Throws OutOfMemory naming the request.
  [[nodiscard]] void* allocate(std::size_t bytes) {
    const std::size_t size = round_up(bytes);
    std::lock_guard lock(mutex_);
    SizeClass& blocks = classes_[size];
    void* block = nullptr;
    if (!blocks.free.empty()) {
      block = blocks.free.back();
      blocks.free.pop_back();
    } else {
      blocks.free.reserve(blocks.total + 1);  // so that giving back never allocates
      block = fresh(size);
      ++blocks.total;
      usage_.held += size;
    }
    usage_.used += size;
    usage_.peak = std::max(usage_.peak, usage_.used);
    return block;
  }

  /// Gives back a block; `bytes` as in its allocate.
  void deallocate(void* block, std::size_t bytes) noexcept {
    const std::size_t size = round_up(bytes);
    std::lock_guard lock(mutex_);
    classes_.find(size)->second.free.push_back(block);
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
  /// How often unused blocks were returned: addresses seen before that may no longer be the pool's.
  [[nodiscard]] std::uint64_t trims() const {
    std::lock_guard lock(mutex_);
    return trims_;
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
    if (!block) fail<OutOfMemory>("out of memory: ", size, " bytes requested ", source_.shortage(usage_.used));
    return block;
  }

  void release_free() noexcept {
    ++trims_;
    for (auto& [size, blocks] : classes_) {
      for (void* block : blocks.free) source_.release(block);
      usage_.held -= size * blocks.free.size();
      blocks.total -= blocks.free.size();
      blocks.free.clear();
    }
  }

  Source source_;
  mutable std::mutex mutex_;
  struct SizeClass {
    std::vector<void*> free;
    std::size_t total = 0;  // blocks of this size, handed out or free
  };
  std::map<std::size_t, SizeClass> classes_;
  PoolUsage usage_;
  std::uint64_t trims_ = 0;
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
