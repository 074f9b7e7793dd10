// Texts on the GPU: they stay there as bytes, or where they do not fit in host memory that the GPU reads, and a kernel
// makes the windows. Nothing is copied from window to window. Include this before anything that reads texts on the GPU.
#pragma once

#include <lpw/cuda/base/device_bytes.hpp>
#include <lpw/cuda/text_windows.hpp>
#include <lpw/data/text.hpp>

namespace lpw::inline LPW_ABI::data {

/// As TextSource<Cpu>, with inputs and targets on the GPU. Throws OutOfMemory or CudaError besides.
template <>
class TextSource<Cuda> {
 public:
  /// Copies the text to the GPU.
  explicit TextSource(std::span<const std::uint8_t> text) : size_(std::ssize(text)), bytes_(text) {}
  /// As TextSource<Cpu>::read.
  void read(const StreamPlaces& places, std::int64_t first, Tensor<std::int32_t, Cuda>& inputs,
            Tensor<std::int32_t, Cuda>& targets) const {
    cuda::read_windows({.text = bytes_.data(),
                        .inputs = inputs.data(),
                        .targets = targets.data(),
                        .size = size_,
                        .member_bytes = places.member_bytes,
                        .stream_bytes = places.stream_bytes,
                        .first = places.first + first,
                        .members = inputs.dim(0),
                        .steps = inputs.dim(1),
                        .batch = inputs.dim(2)});
  }

 private:
  std::int64_t size_;
  cuda::DeviceBytes bytes_;
};

}  // namespace lpw::inline LPW_ABI::data
