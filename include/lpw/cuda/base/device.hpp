// The GPU as a device of tensors: its memory, and moving tensors to and from it.
//
// Everything that touches device memory goes to one stream, in the program's order. A block of memory may therefore be
// handed out again as soon as its last handle is gone: whatever still uses it is ahead in the stream. (Who works on
// another stream keeps a handle until this one waits for that: distributed/nccl.hpp.) Only copies to the host are
// waited for.
#pragma once

#include <algorithm>

#include <lpw/cuda/base/launch.hpp>
#include <lpw/kernels/elementwise.cuh>
#include <lpw/tensor/tensor.hpp>

namespace lpw::inline LPW_ABI {

namespace cuda {

/// Memory from the driver, which gives and takes whole segments.
class DeviceMemory {
 public:
  static constexpr std::size_t alignment = 256;                 // of blocks, in bytes
  static constexpr std::size_t small = std::size_t{1} << 20;    // smaller requests share segments
  static constexpr std::size_t granule = std::size_t{2} << 20;  // what the driver hands out memory in

  /// Null where the device has not so much left. Throws CudaError without a GPU.
  [[nodiscard]] static void* allocate(std::size_t size, std::size_t) {
    static_cast<void>(stream());  // says so where there is no GPU
    void* block = nullptr;
    const cudaError_t status = cudaMalloc(&block, size);
    if (status == cudaSuccess) return block;
    if (status != cudaErrorMemoryAllocation) check(status, "cudaMalloc");
    disregard(status);
    return nullptr;
  }
  /// Gives it back to the driver.
  static void release(void* block) noexcept { disregard(cudaFree(block)); }
  /// Completes "out of memory: N bytes requested".
  [[nodiscard]] static std::string shortage(std::size_t used) {
    std::size_t free = 0, total = 0;
    disregard(cudaMemGetInfo(&free, &total));
    return to_text("on the GPU, which has ", free, " free of ", total, " with ", used,
                   " in use by this program; lower `member_chunk`, or take a smaller batch or model");
  }
};

/// The device's free memory and all that it has, in bytes.
struct DeviceMemoryLeft {
  std::size_t free = 0, total = 0;  // bytes
};
/// Bytes of the GPU's memory that nobody holds, and all.
[[nodiscard]] inline DeviceMemoryLeft device_memory() {
  DeviceMemoryLeft left;
  check(cudaMemGetInfo(&left.free, &left.total), "cudaMemGetInfo");
  return left;
}

/// Of the GPU's memory.
using Pool = lpw::Pool<DeviceMemory>;

/// The process's pool of device memory. Never destroyed, like the CPU's.
inline Pool& pool() {
  static Pool& pool = *new Pool;
  return pool;
}

}  // namespace cuda

/// An NVIDIA GPU. Its tensors' elements can be float, bfloat16, half and integers; data() is an address on the GPU.
struct Cuda {
  static constexpr const char* name = "cuda";  // in messages
  /// From the pool, in the order of its stream's work. Throws OutOfMemory.
  [[nodiscard]] static void* allocate(std::size_t bytes) { return cuda::pool().allocate(bytes); }
  /// To the pool.
  static void deallocate(void* block, std::size_t bytes) noexcept { cuda::pool().deallocate(block, bytes); }
  /// Gives the driver what nobody holds.
  static void trim() { cuda::pool().trim(); }
};

namespace cuda {

/// plan_elements for this GPU and a kernel whose __launch_bounds__ ask for so many blocks.
[[nodiscard]] inline LaunchPlan element_plan(std::int64_t vectors, std::int64_t rows = 1,
                                             int blocks = kernels::element_blocks) {
  return plan_elements(limits().multiprocessors, vectors, rows, blocks);
}

/// At least `count` words that are zero before every launch that uses them: kernels that count arrivals leave them so.
/// They stay where they are for good, since captured graphs hold their address.
[[nodiscard]] inline unsigned* counters(std::size_t count) {
  static std::vector<Tensor<std::int32_t, Cuda>>& words = *new std::vector<Tensor<std::int32_t, Cuda>>;
  if (words.empty() || static_cast<std::size_t>(words.back().size()) < count) {
    const Pool::Lasting lasting(pool());
    words.emplace_back(Shape{static_cast<std::int64_t>(std::max<std::size_t>(count, 1 << 14))});
    check(cudaMemsetAsync(words.back().data(), 0, static_cast<std::size_t>(words.back().size()) * 4, stream()),
          "cudaMemsetAsync");
  }
  return reinterpret_cast<unsigned*>(words.back().data());
}

namespace detail {

template <class T, class From, class To>
void copy_rows(const Tensor<T, From>& from, Tensor<T, To>& to, cudaMemcpyKind kind, cudaStream_t on,
               const Place& place) {
  require<ShapeError>(from.shape() == to.shape(), "copy: from ", from.shape(), " to ", to.shape());
  if (from.size() == 0) return;
  const bool flat = from.contiguous() && to.contiguous();
  const auto rows = static_cast<std::size_t>(flat ? 1 : from.dim(0)),
             width = static_cast<std::size_t>(from.size()) / rows * sizeof(T);
  const auto copy_row = [&](T* there, const T* here) {
    check(cudaMemcpyAsync(there, here, width, kind, on), "cudaMemcpyAsync", place);
  };
  if (flat) return copy_row(to.data(), from.data());
  const auto pitch = [](const auto& tensor) { return static_cast<std::size_t>(tensor.row_stride()) * sizeof(T); };
  constexpr std::size_t longest_pitch = (std::size_t{1} << 31) - 1;  // that CUDA takes
  if (std::max(pitch(from), pitch(to)) > longest_pitch) {
    for (std::int64_t row = 0; row < from.dim(0); ++row) copy_row(to.row(row), from.row(row));
    return;
  }
  check(cudaMemcpy2DAsync(to.data(), pitch(to), from.data(), pitch(from), width, rows, kind, on), "cudaMemcpy2DAsync",
        place);
}

}  // namespace detail
}  // namespace cuda

/// Copies on the GPU, row by row where either is strided. Throws ShapeError unless the shapes are equal.
template <class T>
void copy(const Tensor<T, Cuda>& from, Tensor<T, Cuda>& to, const cuda::Place& place = cuda::Place::current()) {
  cuda::detail::copy_rows(from, to, cudaMemcpyDeviceToDevice, cuda::stream(), place);
}

/// Sets every element.
template <class T>
void fill(Tensor<T, Cuda>& tensor, T value) {
  if (tensor.size() == 0) return;
  const bool flat = tensor.contiguous();
  const kernels::Fill<T> p{tensor.data(), value, flat ? 1 : tensor.dim(0),
                           flat ? tensor.size() : tensor.shape().size_from(1), flat ? 0 : tensor.row_stride()};
  cuda::launch(kernels::fill<T>, cuda::element_plan(p.length, p.rows), p);
}

/// Copies a host tensor to the GPU. It may be overwritten when this returns.
template <class Device, class T>
  requires std::is_same_v<Device, Cuda>
[[nodiscard]] Tensor<T, Cuda> to_device(const Tensor<T, Cpu>& host, const cuda::Place& place = cuda::Place::current()) {
  if (host.empty()) return {};
  Tensor<T, Cuda> result(host.shape());
  cuda::detail::copy_rows(host, result, cudaMemcpyHostToDevice, cuda::stream(), place);
  cuda::synchronize(place);
  return result;
}

/// What is on the GPU already.
template <class Device, class T>
  requires std::is_same_v<Device, Cuda>
[[nodiscard]] Tensor<T, Cuda> to_device(const Tensor<T, Cuda>& tensor) { return tensor; }

/// Copies a tensor to the host, after all work issued so far.
template <class T>
[[nodiscard]] Tensor<T, Cpu> to_host(const Tensor<T, Cuda>& tensor, const cuda::Place& place = cuda::Place::current()) {
  if (tensor.empty()) return {};
  Tensor<T, Cpu> result(tensor.shape());
  cuda::detail::copy_rows(tensor, result, cudaMemcpyDeviceToHost, cuda::stream(), place);
  cuda::synchronize(place);
  return result;
}

}  // namespace lpw::inline LPW_ABI
