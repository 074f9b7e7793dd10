// The machine's own memory as a source of a pool: address space is taken in large pieces, and what lies in it comes and
// goes by pages.
#pragma once

#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <utility>

#include <lpw/tensor/control_groups.hpp>
#include <lpw/tensor/error.hpp>

#if defined(__SANITIZE_ADDRESS__)
#define LPW_POISONS_MEMORY 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define LPW_POISONS_MEMORY 1
#endif
#endif
#if LPW_POISONS_MEMORY
#include <sanitizer/asan_interface.h>
#endif

namespace lpw::inline LPW_ABI {

/// The machine's own memory, of which no more is taken than there is, where the system would promise more and kill the
/// process later; where a control group limits it, no more than that leaves beside what the process holds itself, as a
/// data set.
class HostMemory {
 public:
  static constexpr std::size_t alignment = 64;                 // of blocks, in bytes
  static constexpr std::size_t small = std::size_t{64} << 10;  // smaller requests have pages of their own
  static constexpr std::size_t granule =
      std::size_t{2} << 20;  // a huge page: fewer page faults, and fewer misses of address translation
#if LPW_POISONS_MEMORY
  static constexpr std::size_t guard = 64;  // after each block, for AddressSanitizer
#else
  static constexpr std::size_t guard = 0;  // bytes behind a block that nobody may touch
#endif

  /// At most so many bytes.
  explicit HostMemory(std::size_t limit) : limit_(limit) {}
  /// What there is. `root` is put before the paths of the system's files, for tests.
  explicit HostMemory(std::string root = "") : root_(std::move(root)) {
    const auto physical = static_cast<std::size_t>(sysconf(_SC_PHYS_PAGES)) * page();
    limit_ = usable_memory(physical, group_limits(root_));
    grouped_ = limit_ < physical;
  }

  /// What memory is given and taken back in, at least.
  [[nodiscard]] static std::size_t page() {
    static const auto size = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
    return size;
  }

  /// Address space of `size` bytes or more, without memory; empty if there is none.
  [[nodiscard]] std::span<std::byte> reserve(std::size_t size) const {
    if (size > limit_) return {};
    const auto whole = [](std::size_t length) { return (length + granule - 1) / granule * granule; };
    const std::size_t least = whole(size);
    for (std::size_t length = std::max(least, whole(preferred_reservation()));;
         length = std::max(least, whole(length / 2))) {
      void* block = mmap(nullptr, length + granule, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
      if (block == MAP_FAILED) {
        if (length == least) return {};
        continue;
      }
      auto* begin = static_cast<std::byte*>(block);
      const std::size_t lead = (granule - reinterpret_cast<std::uintptr_t>(begin) % granule) % granule;
      if (lead > 0) munmap(begin, lead);
      munmap(begin + lead + length, granule - lead);
      return {begin + lead, length};
    }
  }
  /// Gives address space back, and what memory is in it.
  static void release(std::span<std::byte> reserved) noexcept {
    unpoison(reserved.data(), reserved.size());  // for who gets these addresses next
    munmap(reserved.data(), reserved.size());
  }

  /// Puts memory where address space was reserved, in whole pages, beside `held` bytes that are there. False if there
  /// is no more.
  [[nodiscard]] bool commit(std::byte* begin, std::size_t size, std::size_t held) const {
    if (size > limit_ || held > limit_ - size) return false;
    if (grouped_) {
      // What tensors hold may be untouched yet, so that of a later difference less is others': the largest counts.
      const std::size_t all = anonymous_memory(page(), root_);
      others_ = std::max(others_, all - std::min(all, held));
      if (others_ > limit_ - size - held) return false;
    }
    if (mprotect(begin, size, PROT_READ | PROT_WRITE) != 0) return false;
    madvise(begin, size, MADV_HUGEPAGE);
    return true;
  }
  /// Gives pages back to the system. False where they stay for want of room in its own books.
  [[nodiscard]] static bool decommit(std::byte* begin, std::size_t size) noexcept {
    return mmap(begin, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0) != MAP_FAILED;
  }

  /// What may not, and may, be read and written, for AddressSanitizer.
  static void poison([[maybe_unused]] std::byte* begin, [[maybe_unused]] std::size_t size) noexcept {
#if LPW_POISONS_MEMORY
    __asan_poison_memory_region(begin, size);
#endif
  }
  /// For AddressSanitizer: the bytes may be used again.
  static void unpoison([[maybe_unused]] std::byte* begin, [[maybe_unused]] std::size_t size) noexcept {
#if LPW_POISONS_MEMORY
    __asan_unpoison_memory_region(begin, size);
#endif
  }

  /// The end of a message that there is no more.
  [[nodiscard]] static std::string shortage(std::size_t used) {
    return to_text("with ", used, " in use; take a smaller batch, member chunk or model");
  }

 private:
  /// Several times what can be held, so that gaps do not matter, in one piece: addresses cost nothing. Little where
  /// they are rationed (ulimit -v), or where AddressSanitizer keeps books of each.
  [[nodiscard]] std::size_t preferred_reservation() const {
    rlimit addresses{};
    const bool rationed = getrlimit(RLIMIT_AS, &addresses) != 0 || addresses.rlim_cur != RLIM_INFINITY || guard > 0;
    return rationed ? std::size_t{64} << 20 : std::min(limit_, std::size_t{1} << 44) * 4;
  }

  std::string root_;
  std::size_t limit_ = 0;
  bool grouped_ = false;            // limit_ is a group's, which others' memory counts to as well
  mutable std::size_t others_ = 0;  // the most that was seen of it; a pool commits one at a time
};

}  // namespace lpw::inline LPW_ABI
