// The GPU that launches are planned for.
#pragma once

#include <utility>

#include <lpw/cuda/base/runtime.hpp>
#include <lpw/cuda/plans/launch.hpp>

namespace lpw::inline LPW_ABI::cuda {

namespace detail {

[[nodiscard]] inline int attribute(cudaDeviceAttr which) {
  int device = 0, value = 0;
  check(cudaGetDevice(&device), "cudaGetDevice");
  check(cudaDeviceGetAttribute(&value, which, device), "cudaDeviceGetAttribute");
  return value;
}

/// Null unless plans are made for a smaller GPU.
inline const GpuLimits*& smaller_limits() {
  static const GpuLimits* limits = nullptr;
  return limits;
}

}  // namespace detail

/// The GPU's own figures.
[[nodiscard]] inline const GpuLimits& device_limits() {
  using detail::attribute;
  static const GpuLimits limits{.multiprocessors = attribute(cudaDevAttrMultiProcessorCount),
                                .shared_per_multiprocessor = attribute(cudaDevAttrMaxSharedMemoryPerMultiprocessor),
                                .shared_per_block = attribute(cudaDevAttrMaxSharedMemoryPerBlockOptin),
                                .l2_bytes = attribute(cudaDevAttrL2CacheSize),
                                .reserved_shared = attribute(cudaDevAttrReservedSharedMemoryPerBlock)};
  return limits;
}

/// What launches are planned for: the GPU's own figures, or those of a ScopedLimits.
[[nodiscard]] inline const GpuLimits& limits() {
  return detail::smaller_limits() ? *detail::smaller_limits() : device_limits();
}

/// While it lives, launches are planned as for a smaller GPU, so that small tensors reach every plan. For tests, in one
/// thread.
class ScopedLimits {
 public:
  /// Throws Error if any figure is above the GPU's own.
  explicit ScopedLimits(const GpuLimits& limits) : limits_(limits), before_(detail::smaller_limits()) {
    require(limits.within(device_limits()), "ScopedLimits: more than this GPU has");
    detail::smaller_limits() = &limits_;
  }
  ~ScopedLimits() { detail::smaller_limits() = before_; }
  ScopedLimits(const ScopedLimits&) = delete;
  ScopedLimits& operator=(const ScopedLimits&) = delete;

 private:
  GpuLimits limits_;
  const GpuLimits* before_;
};

}  // namespace lpw::inline LPW_ABI::cuda
