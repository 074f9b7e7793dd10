// The memory pool of the CPU. Freed blocks are kept and handed out again, because touching fresh pages costs more than
// most of a training step's arithmetic. Sizes are rounded up to eighths of a power of two, so a block fits its class exactly.
#pragma once

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdlib>
#include <map>
#include <mutex>
#include <vector>

#include <lpw/tensor/error.hpp>

namespace lpw {

/// Bytes handed out by a pool: now, at most since the last reset_peak, and held in total (handed out or kept for reuse).
struct PoolUsage {
  std::size_t used = 0, peak = 0, held = 0;
};

class CpuPool {
 public:
  static constexpr std::size_t alignment = 64;

  /// Holds at most `limit` bytes; by default the machine's memory, where the system would promise more and kill the process later.
  explicit CpuPool(std::size_t limit = physical_memory()) : limit_(limit) {}
  CpuPool(const CpuPool&) = delete;
  CpuPool& operator=(const CpuPool&) = delete;
  ~CpuPool() { release_free(); }

  /// A block of at least `bytes`, aligned to 64. Throws OutOfMemory naming the request.
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

  /// The size a request is served with: the next eighth of a power of two, at least one cache line.
  [[nodiscard]] static constexpr std::size_t round_up(std::size_t bytes) {
    const std::size_t step = std::max(alignment, std::bit_floor(std::max<std::size_t>(bytes, 1)) / 8);
    return (std::max<std::size_t>(bytes, 1) + step - 1) / step * step;
  }

 private:
  void* fresh(std::size_t size) {
    constexpr std::size_t huge_page = std::size_t{2} << 20;
    const bool huge = size >= huge_page;
    const std::size_t align = huge ? huge_page : alignment;
    const std::size_t padded = (size + align - 1) / align * align;
    void* block = from_system(align, padded);
    if (!block) {
      release_free();
      block = from_system(align, padded);
    }
    if (!block)
      fail<OutOfMemory>("out of memory: ", size, " bytes requested with ", usage_.used,
                        " in use; take a smaller batch, member chunk or model");
    if (huge) madvise(block, padded, MADV_HUGEPAGE);
    return block;
  }

  /// Null past the limit.
  [[nodiscard]] void* from_system(std::size_t align, std::size_t size) const {
    return size <= limit_ && usage_.held <= limit_ - size ? std::aligned_alloc(align, size) : nullptr;
  }

  void release_free() noexcept {
    for (auto& [size, blocks] : classes_) {
      for (void* block : blocks.free) std::free(block);
      usage_.held -= size * blocks.free.size();
      blocks.total -= blocks.free.size();
      blocks.free.clear();
    }
  }

  static std::size_t physical_memory() {
    return static_cast<std::size_t>(sysconf(_SC_PHYS_PAGES)) * static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
  }

  std::size_t limit_;
  mutable std::mutex mutex_;
  struct SizeClass {
    std::vector<void*> free;
    std::size_t total = 0;  // blocks of this size, handed out or free
  };
  std::map<std::size_t, SizeClass> classes_;
  PoolUsage usage_;
};

/// The process's pool. Never destroyed: tensors with static lifetime may be freed after it would be.
inline CpuPool& cpu_pool() {
  static CpuPool& pool = *new CpuPool;
  return pool;
}

}  // namespace lpw
