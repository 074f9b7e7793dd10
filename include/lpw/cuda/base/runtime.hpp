// CUDA's runtime as lpw uses it: one device, one stream that all work goes to, two for copies and for sums over
// processes that overlap with it, and errors that name the call and the place. Include this from files that nvcc
// compiles.
#pragma once

#include <cuda_runtime.h>

#include <cstddef>
#include <source_location>
#include <string_view>

#include <lpw/tensor/error.hpp>

namespace lpw::inline LPW_ABI {

/// A call of CUDA or one of its libraries failed.
class CudaError : public Error {
 public:
  using Error::Error;
};

namespace cuda {

/// Where a call stands, for its error.
using Place = std::source_location;

/// For a failure that is dealt with, or that there is nobody to tell of: CUDA keeps the last one, and whoever next asks
/// for it, a library after a launch of its own, say, would take it for theirs.
inline void disregard(cudaError_t status) noexcept {
  if (status != cudaSuccess) static_cast<void>(cudaGetLastError());
}

/// Throws CudaError with the message of a library's status. What it was is not to surface elsewhere.
[[noreturn]] inline void fail_call(std::string_view call, std::string_view message, const Place& place) {
  static_cast<void>(cudaGetLastError());
  fail<CudaError>(call, ": ", message, " (", place.file_name(), ':', place.line(), ')');
}

/// Throws OutOfMemory for a call that found too little memory on the GPU.
[[noreturn]] inline void fail_memory(std::string_view call, const Place& place) {
  static_cast<void>(cudaGetLastError());
  std::size_t free = 0, total = 0;
  disregard(cudaMemGetInfo(&free, &total));
  fail<OutOfMemory>(call, ": out of memory on the GPU, which has ", free, " bytes free of ", total,
                    "; lower `member_chunk`, or take a smaller batch or model (", place.file_name(), ':', place.line(),
                    ')');
}

/// Throws CudaError, or OutOfMemory, naming `call` and the caller's place unless the call succeeded. Errors of kernels
/// under way surface here too.
inline void check(cudaError_t status, std::string_view call, const Place& place = Place::current()) {
  if (status == cudaErrorMemoryAllocation) [[unlikely]]
    fail_memory(call, place);
  if (status != cudaSuccess) [[unlikely]]
    fail_call(call, to_text(cudaGetErrorName(status), ", ", cudaGetErrorString(status)), place);
}

/// Whether there is a GPU that programs built by this toolkit can use.
[[nodiscard]] inline bool available() {
  int count = 0;
  disregard(cudaGetDeviceCount(&count));
  return count > 0;
}

namespace detail {

[[nodiscard]] inline cudaStream_t make_stream() {
  if (!available())
    fail<CudaError>(
        "no usable NVIDIA GPU was found: check that `nvidia-smi` lists one and that its driver is not older than this "
        "program");
  cudaStream_t stream = nullptr;
  check(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), "cudaStreamCreateWithFlags");
  return stream;
}

}  // namespace detail

/// The stream that all launches, copies and library calls go to. Throws CudaError if there is no GPU.
[[nodiscard]] inline cudaStream_t stream() {
  static const cudaStream_t stream = detail::make_stream();
  return stream;
}

/// The stream of input copies that overlap with work on stream().
[[nodiscard]] inline cudaStream_t copy_stream() {
  static const cudaStream_t stream = detail::make_stream();
  return stream;
}

/// The stream of sums over processes, which overlap with work on stream(). One for all communicators: their sums are
/// one after another, in the order in which all processes issue them, as NCCL wants them.
[[nodiscard]] inline cudaStream_t sum_stream() {
  static const cudaStream_t stream = detail::make_stream();
  return stream;
}

/// Waits for all work issued to stream().
inline void synchronize(const Place& place = Place::current()) {
  check(cudaStreamSynchronize(stream()), "cudaStreamSynchronize", place);
}

/// "NVIDIA H100 80GB HBM3", say.
[[nodiscard]] inline std::string device_name() {
  int device = 0;
  cudaDeviceProp properties;
  check(cudaGetDevice(&device), "cudaGetDevice");
  check(cudaGetDeviceProperties(&properties, device), "cudaGetDeviceProperties");
  return properties.name;
}

}  // namespace cuda
}  // namespace lpw::inline LPW_ABI
