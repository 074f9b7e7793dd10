// The part of CUDA's runtime that lpw calls, on the host: kernels run on the emulator, in the order of the stream.
//
// Device memory lies in an arena that the host cannot read or write except through these calls, so that code which takes a device pointer
// for one of its own crashes here as it would fail there. Fresh device memory holds NaN. While a stream is captured nothing runs: what is
// issued goes into the graph, and calls that a capture forbids fail, as they do on a GPU.
#pragma once

#include <sys/mman.h>

#include <cstdint>
#include <cstdlib>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "emulator/emulator.hpp"
#include "multiprocessor.hpp"

enum cudaError_t {
  cudaSuccess = 0,
  cudaErrorInvalidValue = 1,
  cudaErrorMemoryAllocation = 2,
  cudaErrorNoDevice = 100,
  cudaErrorLaunchFailure = 719,
  cudaErrorCooperativeLaunchTooLarge = 720,
  cudaErrorStreamCaptureUnsupported = 900
};

[[nodiscard]] inline const char* cudaGetErrorName(cudaError_t error) {
  switch (error) {
    case cudaSuccess: return "cudaSuccess";
    case cudaErrorInvalidValue: return "cudaErrorInvalidValue";
    case cudaErrorMemoryAllocation: return "cudaErrorMemoryAllocation";
    case cudaErrorNoDevice: return "cudaErrorNoDevice";
    case cudaErrorLaunchFailure: return "cudaErrorLaunchFailure";
    case cudaErrorCooperativeLaunchTooLarge: return "cudaErrorCooperativeLaunchTooLarge";
    default: return "cudaErrorStreamCaptureUnsupported";
  }
}
[[nodiscard]] inline const char* cudaGetErrorString(cudaError_t error) { return cudaGetErrorName(error); }

namespace lpw::emulator {

/// A launch, copy or library call; runs with device memory open.
using Work = std::function<void()>;

struct Graph {
  std::vector<Work> work;
};

struct Stream {
  std::shared_ptr<Graph> capture;  // null unless the stream is captured
};

/// The device: its memory, and what is issued to it.
class StandIn {
 public:
  [[nodiscard]] static StandIn& instance() {
    static StandIn& device = *new StandIn;
    return device;
  }

  static constexpr std::size_t memory = std::size_t{3} << 30;
  static constexpr int multiprocessors = 4;

  [[nodiscard]] void* allocate(std::size_t bytes) {
    const std::size_t size = (bytes + 255) / 256 * 256;
    if (size > memory_left()) return nullptr;
    auto& blocks = free_[size];
    std::byte* block = nullptr;
    if (!blocks.empty()) {
      block = blocks.back();
      blocks.pop_back();
    } else if (used_end_ + size <= memory) {
      block = arena_ + std::exchange(used_end_, used_end_ + size);
    } else {
      return nullptr;
    }
    sizes_[block] = size;
    held_ += size;
    const Open open;
    std::memset(block, 0xff, size);
    return block;
  }
  [[nodiscard]] bool release(void* block) {
    const auto at = sizes_.find(static_cast<std::byte*>(block));
    if (at == sizes_.end()) return block == nullptr;
    free_[at->second].push_back(at->first);
    held_ -= at->second;
    sizes_.erase(at);
    return true;
  }
  [[nodiscard]] std::size_t memory_left() const { return limit_ > held_ ? limit_ - held_ : 0; }
  /// Lets the device have less memory than it has, for tests of the shortage.
  void set_limit(std::size_t bytes) { limit_ = bytes; }

  /// Runs it now, or notes it for the graph that the stream is captured in.
  void issue(Stream* stream, Work work) {
    ++issued_;
    if (stream && stream->capture) {
      stream->capture->work.push_back(std::move(work));
    } else {
      run(work);
    }
  }
  void run(const Work& work) {
    const Open open;
    work();
  }

  [[nodiscard]] std::uint64_t next_seed() { return seed_++; }
  /// Launches, copies and library calls so far.
  [[nodiscard]] std::uint64_t issued() const { return issued_; }

  int capturing = 0;  // streams that are being captured

 private:
  static constexpr std::size_t page = std::size_t{2} << 20;

  /// Large pages, where the system has them: to open small ones takes longer than most kernels of a test.
  StandIn() {
    void* block = mmap(nullptr, memory + page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    require(block != MAP_FAILED, "emulator: cannot reserve device memory");
    arena_ = static_cast<std::byte*>(block) + page - reinterpret_cast<std::uintptr_t>(block) % page;
    static_cast<void>(madvise(arena_, memory, MADV_HUGEPAGE));
  }

  /// While it lives, device memory can be accessed.
  struct Open {
    Open() { set(PROT_READ | PROT_WRITE); }
    ~Open() { set(PROT_NONE); }
    Open(const Open&) = delete;
    Open& operator=(const Open&) = delete;
    static void set(int protection) {
      const StandIn& device = instance();
      if (device.used_end_ > 0) mprotect(device.arena_, (device.used_end_ + page - 1) / page * page, protection);
    }
  };

  std::byte* arena_ = nullptr;
  std::size_t used_end_ = 0, held_ = 0, limit_ = memory;
  std::map<std::size_t, std::vector<std::byte*>> free_;
  std::map<std::byte*, std::size_t> sizes_;
  std::uint64_t seed_ = 0, issued_ = 0;
};

}  // namespace lpw::emulator

using cudaStream_t = lpw::emulator::Stream*;
struct cudaEvent_st {};
using cudaEvent_t = cudaEvent_st*;
using cudaGraph_t = std::shared_ptr<lpw::emulator::Graph>*;
using cudaGraphExec_t = std::shared_ptr<lpw::emulator::Graph>*;

// Devices.

enum cudaDeviceAttr {
  cudaDevAttrMultiProcessorCount,
  cudaDevAttrMaxSharedMemoryPerMultiprocessor,
  cudaDevAttrMaxSharedMemoryPerBlockOptin,
  cudaDevAttrReservedSharedMemoryPerBlock,
  cudaDevAttrL2CacheSize,
  cudaDevAttrCooperativeLaunch,
  cudaDevAttrComputeCapabilityMajor,
  cudaDevAttrComputeCapabilityMinor
};
struct cudaDeviceProp {
  char name[256];
};

inline cudaError_t cudaGetDeviceCount(int* count) {
  *count = 1;
  return cudaSuccess;
}
inline cudaError_t cudaGetDevice(int* device) {
  *device = 0;
  return cudaSuccess;
}
inline cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int) {
  std::strncpy(properties->name, "host emulator", sizeof properties->name);
  return cudaSuccess;
}
inline cudaError_t cudaDriverGetVersion(int* version) {
  *version = 0;
  return cudaSuccess;
}
inline cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int) {
  using lpw::emulator::Multiprocessor;
  switch (attribute) {
    case cudaDevAttrMultiProcessorCount: *value = lpw::emulator::StandIn::multiprocessors; break;
    case cudaDevAttrMaxSharedMemoryPerMultiprocessor: *value = Multiprocessor::shared; break;
    case cudaDevAttrMaxSharedMemoryPerBlockOptin: *value = Multiprocessor::shared_per_block; break;
    case cudaDevAttrReservedSharedMemoryPerBlock: *value = Multiprocessor::reserved; break;
    case cudaDevAttrL2CacheSize: *value = 1 << 20; break;
    case cudaDevAttrCooperativeLaunch: *value = 1; break;
    case cudaDevAttrComputeCapabilityMajor: *value = 9; break;
    case cudaDevAttrComputeCapabilityMinor: *value = 0; break;
  }
  return cudaSuccess;
}
inline cudaError_t cudaMemGetInfo(std::size_t* free, std::size_t* total) {
  *free = lpw::emulator::StandIn::instance().memory_left();
  *total = lpw::emulator::StandIn::memory;
  return cudaSuccess;
}
inline cudaError_t cudaGetLastError() { return cudaSuccess; }

// Memory.

enum cudaMemcpyKind { cudaMemcpyHostToHost, cudaMemcpyHostToDevice, cudaMemcpyDeviceToHost, cudaMemcpyDeviceToDevice, cudaMemcpyDefault };

inline cudaError_t cudaMalloc(void** block, std::size_t bytes) {
  *block = lpw::emulator::StandIn::instance().allocate(bytes);
  return *block ? cudaSuccess : cudaErrorMemoryAllocation;
}
inline cudaError_t cudaFree(void* block) {
  return lpw::emulator::StandIn::instance().release(block) ? cudaSuccess : cudaErrorInvalidValue;
}
inline cudaError_t cudaMallocHost(void** block, std::size_t bytes) {
  *block = std::malloc(bytes);
  return *block ? cudaSuccess : cudaErrorMemoryAllocation;
}
inline cudaError_t cudaFreeHost(void* block) {
  std::free(block);
  return cudaSuccess;
}
inline cudaError_t cudaMemcpyAsync(void* to, const void* from, std::size_t bytes, cudaMemcpyKind, cudaStream_t stream = nullptr) {
  lpw::emulator::StandIn::instance().issue(stream, [=] { std::memcpy(to, from, bytes); });
  return cudaSuccess;
}
inline cudaError_t cudaMemcpy2DAsync(void* to, std::size_t to_pitch, const void* from, std::size_t from_pitch, std::size_t width,
                                     std::size_t height, cudaMemcpyKind, cudaStream_t stream = nullptr) {
  if (width > to_pitch || width > from_pitch) return cudaErrorInvalidValue;
  lpw::emulator::StandIn::instance().issue(stream, [=] {
    for (std::size_t row = 0; row < height; ++row)
      std::memcpy(static_cast<std::byte*>(to) + row * to_pitch, static_cast<const std::byte*>(from) + row * from_pitch, width);
  });
  return cudaSuccess;
}
inline cudaError_t cudaMemsetAsync(void* to, int value, std::size_t bytes, cudaStream_t stream = nullptr) {
  lpw::emulator::StandIn::instance().issue(stream, [=] { std::memset(to, value, bytes); });
  return cudaSuccess;
}

// Streams and events. Everything is done when the call returns, so there is nothing to wait for.

enum { cudaStreamNonBlocking = 1, cudaEventDisableTiming = 2 };
enum cudaStreamCaptureMode { cudaStreamCaptureModeGlobal, cudaStreamCaptureModeThreadLocal, cudaStreamCaptureModeRelaxed };

inline cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned) {
  *stream = new lpw::emulator::Stream;
  return cudaSuccess;
}
inline cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
  return stream && stream->capture ? cudaErrorStreamCaptureUnsupported : cudaSuccess;
}
inline cudaError_t cudaDeviceSynchronize() {
  return lpw::emulator::StandIn::instance().capturing ? cudaErrorStreamCaptureUnsupported : cudaSuccess;
}
inline cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned) {
  *event = new cudaEvent_st;
  return cudaSuccess;
}
inline cudaError_t cudaEventDestroy(cudaEvent_t event) {
  delete event;
  return cudaSuccess;
}
inline cudaError_t cudaEventRecord(cudaEvent_t, cudaStream_t = nullptr) { return cudaSuccess; }
inline cudaError_t cudaEventSynchronize(cudaEvent_t) { return cudaSuccess; }
inline cudaError_t cudaStreamWaitEvent(cudaStream_t, cudaEvent_t, unsigned = 0) { return cudaSuccess; }

// Graphs.

inline cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode) {
  if (!stream || stream->capture) return cudaErrorInvalidValue;
  stream->capture = std::make_shared<lpw::emulator::Graph>();
  ++lpw::emulator::StandIn::instance().capturing;
  return cudaSuccess;
}
inline cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t* graph) {
  if (!stream->capture) return cudaErrorInvalidValue;
  *graph = new std::shared_ptr(std::exchange(stream->capture, nullptr));
  --lpw::emulator::StandIn::instance().capturing;
  return cudaSuccess;
}
inline cudaError_t cudaGraphInstantiate(cudaGraphExec_t* executable, cudaGraph_t graph, unsigned long long = 0) {
  *executable = new std::shared_ptr(*graph);
  return cudaSuccess;
}
inline cudaError_t cudaGraphLaunch(cudaGraphExec_t executable, cudaStream_t) {
  for (const auto& work : (*executable)->work) lpw::emulator::StandIn::instance().run(work);
  return cudaSuccess;
}
inline cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
  delete graph;
  return cudaSuccess;
}
inline cudaError_t cudaGraphExecDestroy(cudaGraphExec_t executable) {
  delete executable;
  return cudaSuccess;
}

// Launches.

enum cudaFuncAttribute {
  cudaFuncAttributeMaxDynamicSharedMemorySize,
  cudaFuncAttributePreferredSharedMemoryCarveout
};
enum cudaLaunchAttributeID { cudaLaunchAttributeCooperative };
union cudaLaunchAttributeValue {
  int cooperative;
};
struct cudaLaunchAttribute {
  cudaLaunchAttributeID id;
  cudaLaunchAttributeValue val;
};
struct cudaLaunchConfig_t {
  dim3 gridDim, blockDim;
  std::size_t dynamicSmemBytes;
  cudaStream_t stream;
  cudaLaunchAttribute* attrs;
  unsigned numAttrs;
};

inline cudaError_t cudaFuncSetAttribute(const void* kernel, cudaFuncAttribute attribute, int value) {
  auto& multiprocessor = lpw::emulator::Multiprocessor::instance();
  const bool taken = attribute == cudaFuncAttributeMaxDynamicSharedMemorySize
                         ? multiprocessor.allow_shared(kernel, value)
                         : multiprocessor.prefer_carveout(kernel, value);
  return taken ? cudaSuccess : cudaErrorInvalidValue;
}
inline cudaError_t cudaOccupancyMaxActiveBlocksPerMultiprocessor(int* blocks, const void* kernel, int block,
                                                                std::size_t shared_bytes) {
  *blocks = lpw::emulator::Multiprocessor::instance().resident(kernel, block, shared_bytes);
  return cudaSuccess;
}

template <class... Parameters, class... Arguments>
cudaError_t cudaLaunchKernelEx(const cudaLaunchConfig_t* config, void (*kernel)(Parameters...), Arguments&&... arguments) {
  using namespace lpw::emulator;
  LaunchOptions options{.grid = config->gridDim, .block = config->blockDim, .shared_bytes = config->dynamicSmemBytes};
  for (unsigned i = 0; i < config->numAttrs; ++i) options.cooperative = options.cooperative || config->attrs[i].val.cooperative;
  const auto volume = [](const dim3& of) { return std::uint64_t{of.x} * of.y * of.z; };
  const auto* address = reinterpret_cast<const void*>(kernel);
  auto& multiprocessor = Multiprocessor::instance();
  if (!multiprocessor.allows(address, options.shared_bytes)) return cudaErrorInvalidValue;
  const auto resident = [=, &multiprocessor] {
    return static_cast<unsigned>(StandIn::multiprocessors *
                                 multiprocessor.resident(address, static_cast<int>(volume(options.block)), options.shared_bytes));
  };
  if (options.cooperative && volume(options.grid) > resident()) return cudaErrorCooperativeLaunchTooLarge;
  StandIn::instance().issue(config->stream, [=, parameters = std::tuple<std::decay_t<Parameters>...>(arguments...)]() mutable {
    options.seed = StandIn::instance().next_seed();
    options.resident_blocks = resident();  // a replay goes by what holds now
    emulate(options, [&] { std::apply(kernel, parameters); });
  });
  return cudaSuccess;
}
