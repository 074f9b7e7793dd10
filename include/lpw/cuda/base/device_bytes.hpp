// Bytes of a data set where kernels can read them.
#pragma once

#include <algorithm>
#include <span>

#include <lpw/cuda/base/device.hpp>
#include <lpw/cuda/base/pinned.hpp>

namespace lpw::inline LPW_ABI::cuda {

/// Bytes that kernels read: a data set's.
class DeviceBytes {
 public:
  /// On the GPU if that leaves at least three quarters of its free memory, else in host memory that the GPU reads.
  explicit DeviceBytes(std::span<const std::uint8_t> bytes) {
    static_cast<void>(stream());
    if (bytes.size() <= device_memory().free / 4) {
      on_device_ = Tensor<std::uint8_t, Cuda>({static_cast<std::int64_t>(bytes.size())});
      check(cudaMemcpyAsync(on_device_.data(), bytes.data(), bytes.size(), cudaMemcpyHostToDevice, stream()),
            "cudaMemcpyAsync");
      synchronize();
    } else {
      on_host_ = PinnedArray<std::uint8_t>(bytes.size());
      std::copy(bytes.begin(), bytes.end(), on_host_.data());
    }
  }
  /// For kernels, wherever they lie.
  [[nodiscard]] const std::uint8_t* data() const { return on_device_.empty() ? on_host_.data() : on_device_.data(); }
  /// Whether they lie on the GPU.
  [[nodiscard]] bool on_device() const { return !on_device_.empty(); }

 private:
  Tensor<std::uint8_t, Cuda> on_device_;
  PinnedArray<std::uint8_t> on_host_;
};

}  // namespace lpw::inline LPW_ABI::cuda
