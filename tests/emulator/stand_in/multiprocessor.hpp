// What a multiprocessor of the stand-in has room for, and what kernels were allowed of it: an H100's figures, by the
// rules of CUDA's occupancy calculator.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <map>

namespace lpw::emulator {

class Multiprocessor {
 public:
  static constexpr std::int64_t kilobyte = 1024;
  static constexpr std::int64_t shared = 228 * kilobyte, shared_per_block = 227 * kilobyte, reserved = kilobyte,
                                always_allowed = 48 * kilobyte;
  static constexpr int threads = 2048;

  [[nodiscard]] static Multiprocessor& instance() {
    static Multiprocessor& multiprocessor = *new Multiprocessor;
    return multiprocessor;
  }

  /// These return false where CUDA refuses the value.
  [[nodiscard]] bool allow_shared(const void* kernel, int bytes) {
    if (bytes < 0 || bytes > shared_per_block) return false;
    kernels_[kernel].allowed = std::max<std::int64_t>(bytes, always_allowed);
    return true;
  }
  [[nodiscard]] bool prefer_carveout(const void* kernel, int percent) {
    if (percent < -1 || percent > 100) return false;
    kernels_[kernel].carveout = percent;
    return true;
  }

  [[nodiscard]] bool allows(const void* kernel, std::size_t bytes) {
    return static_cast<std::int64_t>(bytes) <= kernels_[kernel].allowed;
  }

  /// Blocks of the kernel that are resident at once.
  [[nodiscard]] int resident(const void* kernel, int block_threads, std::size_t bytes) {
    if (!allows(kernel, bytes)) return 0;
    const std::int64_t block = (static_cast<std::int64_t>(bytes) + reserved + 127) / 128 * 128;
    const int by_shared = static_cast<int>(configured(kernels_[kernel].carveout, block) / block);
    return std::min({by_shared, threads / block_threads, by_registers_});
  }

 private:
  struct Kernel {
    std::int64_t allowed = always_allowed;
    int carveout = -1;  // of `shared`, in percent
  };

  /// The amounts that can be shared memory, the rest of 256 KB being L1 cache: the preferred one, rounded up, or what
  /// one block needs. Without a preference, which leaves it to the driver, one block's: code is not to rely on more.
  [[nodiscard]] static std::int64_t configured(int carveout, std::int64_t block) {
    const std::int64_t preferred = carveout < 0 ? 0 : (shared * carveout + 99) / 100;
    for (const std::int64_t amount : {0, 8, 16, 32, 64, 100, 132, 164, 196})
      if (amount * kilobyte >= std::max(preferred, block)) return amount * kilobyte;
    return shared;
  }

  /// What the registers of batch norm's kernels leave room for by their launch bounds; or fewer, as the environment's
  /// LPW_STAND_IN_BLOCKS says.
  Multiprocessor() {
    if (const char* blocks = std::getenv("LPW_STAND_IN_BLOCKS")) by_registers_ = std::atoi(blocks);
  }

  std::map<const void*, Kernel> kernels_;
  int by_registers_ = 2;
};

}  // namespace lpw::emulator
