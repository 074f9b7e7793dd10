// The part of CUDA's runtime that lpw calls, on the host: kernels run on the emulator, in the order of the stream
// (streams.hpp).
//
// Device memory lies in an arena that the host cannot read or write except through these calls, so that code which
// takes a device pointer for one of its own crashes here as it would fail there. Fresh device memory holds NaN. While a
// stream is captured nothing runs: what is issued goes into the graph, and calls that a capture forbids fail, as they
// do on a GPU.
//
// A call that fails leaves its error behind, and launches and the libraries' calls fail until cudaGetLastError() has
// taken it: on a GPU it is whoever next checks a launch of its own by that function that finds it. What is copied to
// page-locked memory is there only when the host has waited for it, and until then that holds NaN. How often the host
// waited until there was nothing left for the GPU to do is counted.
#pragma once

#include <sys/mman.h>

#include <algorithm>

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
#include "streams.hpp"

enum cudaError_t {
  cudaSuccess = 0,
  cudaErrorInvalidValue = 1,
  cudaErrorMemoryAllocation = 2,
  cudaErrorInvalidPitchValue = 12,
  cudaErrorNoDevice = 100,
  cudaErrorLaunchFailure = 719,
  cudaErrorCooperativeLaunchTooLarge = 720,
  cudaErrorStreamCaptureUnsupported = 900,
  cudaErrorStreamCaptureUnmatched = 903,
  cudaErrorStreamCaptureUnjoined = 904,
  cudaErrorStreamCaptureIsolation = 905,
  cudaErrorCapturedEvent = 907
};

[[nodiscard]] inline const char* cudaGetErrorName(cudaError_t error) {
  switch (error) {
    case cudaSuccess:
      return "cudaSuccess";
    case cudaErrorInvalidValue:
      return "cudaErrorInvalidValue";
    case cudaErrorMemoryAllocation:
      return "cudaErrorMemoryAllocation";
    case cudaErrorInvalidPitchValue:
      return "cudaErrorInvalidPitchValue";
    case cudaErrorNoDevice:
      return "cudaErrorNoDevice";
    case cudaErrorLaunchFailure:
      return "cudaErrorLaunchFailure";
    case cudaErrorCooperativeLaunchTooLarge:
      return "cudaErrorCooperativeLaunchTooLarge";
    case cudaErrorStreamCaptureUnmatched:
      return "cudaErrorStreamCaptureUnmatched";
    case cudaErrorStreamCaptureUnjoined:
      return "cudaErrorStreamCaptureUnjoined";
    case cudaErrorStreamCaptureIsolation:
      return "cudaErrorStreamCaptureIsolation";
    case cudaErrorCapturedEvent:
      return "cudaErrorCapturedEvent";
    default:
      return "cudaErrorStreamCaptureUnsupported";
  }
}
[[nodiscard]] inline const char* cudaGetErrorString(cudaError_t error) { return cudaGetErrorName(error); }

namespace lpw::emulator {

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
    } else if (used_end_ + size <= addresses) {
      block = arena_ + std::exchange(used_end_, used_end_ + size);
    } else {
      return nullptr;
    }
    sizes_[block] = size;
    held_ += size;
    if (dry) return block;
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

  /// Gives work on device memory to the stream, or notes it for the graph that this is captured in.
  void issue(Stream* stream, Work work) {
    ++issued_;
    if (!stream) return run(work);
    Item item{{}, [this, work = std::move(work)] { run(work); }};
    stream->capture ? stream->capture->give(stream, std::move(item)) : stream->give(std::move(item));
  }
  void run(const Work& work) {
    if (dry) return;
    const Open open;
    work();
  }

  /// Notes that a call failed.
  cudaError_t failed(cudaError_t error) {
    if (error != cudaSuccess) last_error = error;
    return error;
  }

  [[nodiscard]] Stream* make_stream() {
    streams_.push_back(std::make_unique<Stream>());
    return streams_.back().get();
  }
  void finish_all() {
    for (const auto& stream : streams_) stream->finish(stream->issued);
  }
  /// All is done, and what was copied to page-locked memory is there.
  void land_all() {
    for (const auto& stream : streams_) stream->land(stream->issued);
  }

  [[nodiscard]] void* allocate_pinned(std::size_t bytes) {
    void* block = std::malloc(std::max<std::size_t>(bytes, 1));
    if (block) pinned_[static_cast<std::byte*>(block)] = bytes;
    return block;
  }
  void release_pinned(void* block) {
    land_all();
    pinned_.erase(static_cast<std::byte*>(block));
    std::free(block);
  }
  [[nodiscard]] bool pinned(const void* address) const {
    const auto* byte = static_cast<const std::byte*>(address);
    return std::any_of(pinned_.begin(), pinned_.end(),
                       [&](const auto& block) { return byte >= block.first && byte < block.first + block.second; });
  }

  [[nodiscard]] std::uint64_t next_seed() { return seed_++; }
  /// Launches, copies and library calls so far.
  [[nodiscard]] std::uint64_t issued() const { return issued_; }

  int capturing = 0;  // streams that are being captured
  cudaError_t last_error = cudaSuccess;
  dim3 last_grid;                      // that was launched
  std::uint64_t synchronisations = 0;  // how often the host waited for all that was issued to a stream
  std::uint64_t occupancy_questions = 0;
  bool dry = false;         // nothing is run, see DryRun
  double milliseconds = 0;  // the device's clock, by which only convolutions take time

 private:
  static constexpr std::size_t page = std::size_t{2} << 20;
  static constexpr std::size_t addresses = 8 * memory;  // which blocks of other sizes do not get again

  /// Large pages, where the system has them: to open small ones takes longer than most kernels of a test.
  StandIn() {
    void* block = mmap(nullptr, addresses + page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    require(block != MAP_FAILED, "emulator: cannot reserve device memory");
    arena_ = static_cast<std::byte*>(block) + page - reinterpret_cast<std::uintptr_t>(block) % page;
    static_cast<void>(madvise(arena_, addresses, MADV_HUGEPAGE));
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
  std::map<std::byte*, std::size_t> sizes_, pinned_;
  std::vector<std::unique_ptr<Stream>> streams_;
  std::uint64_t seed_ = 0, issued_ = 0;
};

/// While it lives nothing is run, and fresh memory is not filled: for tests of what the host does at sizes that would
/// take long here.
struct DryRun {
  DryRun() { StandIn::instance().dry = true; }
  ~DryRun() { StandIn::instance().dry = false; }
  DryRun(const DryRun&) = delete;
  DryRun& operator=(const DryRun&) = delete;
};

}  // namespace lpw::emulator

using cudaStream_t = lpw::emulator::Stream*;
using cudaEvent_t = lpw::emulator::Event*;
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
    case cudaDevAttrMultiProcessorCount:
      *value = lpw::emulator::StandIn::multiprocessors;
      break;
    case cudaDevAttrMaxSharedMemoryPerMultiprocessor:
      *value = Multiprocessor::shared;
      break;
    case cudaDevAttrMaxSharedMemoryPerBlockOptin:
      *value = Multiprocessor::shared_per_block;
      break;
    case cudaDevAttrReservedSharedMemoryPerBlock:
      *value = Multiprocessor::reserved;
      break;
    case cudaDevAttrL2CacheSize:
      *value = 1 << 20;
      break;
    case cudaDevAttrCooperativeLaunch:
      *value = 1;
      break;
    case cudaDevAttrComputeCapabilityMajor:
      *value = 9;
      break;
    case cudaDevAttrComputeCapabilityMinor:
      *value = 0;
      break;
  }
  return cudaSuccess;
}
inline cudaError_t cudaMemGetInfo(std::size_t* free, std::size_t* total) {
  *free = lpw::emulator::StandIn::instance().memory_left();
  *total = lpw::emulator::StandIn::memory;
  return cudaSuccess;
}
inline cudaError_t cudaPeekAtLastError() { return lpw::emulator::StandIn::instance().last_error; }
inline cudaError_t cudaGetLastError() {
  return std::exchange(lpw::emulator::StandIn::instance().last_error, cudaSuccess);
}

// Memory.

enum cudaMemcpyKind {
  cudaMemcpyHostToHost,
  cudaMemcpyHostToDevice,
  cudaMemcpyDeviceToHost,
  cudaMemcpyDeviceToDevice,
  cudaMemcpyDefault
};

inline cudaError_t cudaMalloc(void** block, std::size_t bytes) {
  auto& device = lpw::emulator::StandIn::instance();
  *block = device.allocate(bytes);
  return *block ? cudaSuccess : device.failed(cudaErrorMemoryAllocation);
}
/// Waits for the device, as it does there.
inline cudaError_t cudaFree(void* block) {
  auto& device = lpw::emulator::StandIn::instance();
  ++device.synchronisations;
  device.finish_all();
  return device.release(block) ? cudaSuccess : device.failed(cudaErrorInvalidValue);
}
inline cudaError_t cudaMallocHost(void** block, std::size_t bytes) {
  auto& device = lpw::emulator::StandIn::instance();
  *block = device.allocate_pinned(bytes);
  return *block ? cudaSuccess : device.failed(cudaErrorMemoryAllocation);
}
inline cudaError_t cudaFreeHost(void* block) {
  if (block) lpw::emulator::StandIn::instance().release_pinned(block);
  return cudaSuccess;
}
/// Between the device and pageable host memory it waits (to the device it may, and is held to it).
inline cudaError_t cudaMemcpyAsync(void* to, const void* from, std::size_t bytes, cudaMemcpyKind kind,
                                   cudaStream_t stream = nullptr) {
  using namespace lpw::emulator;
  auto& device = StandIn::instance();
  const bool to_host = kind == cudaMemcpyDeviceToHost, from_host = kind == cudaMemcpyHostToDevice;
  const bool pageable = (to_host && !device.pinned(to)) || (from_host && !device.pinned(from));
  if (pageable && stream && stream->capture) return device.failed(cudaErrorStreamCaptureUnsupported);
  if (to_host && !pageable && stream) {
    device.issue(stream, [=] {
      auto* place = static_cast<std::byte*>(to);
      const auto* source = static_cast<const std::byte*>(from);
      stream->landings.push_back({stream->done, place, {source, source + bytes}});
      std::fill_n(place, bytes, std::byte{0xff});
    });
    return cudaSuccess;
  }
  device.issue(stream, [=] { std::memcpy(to, from, bytes); });
  if (pageable) {
    ++device.synchronisations;
    if (stream) stream->land(stream->issued);
  }
  return cudaSuccess;
}
/// A pitch may be no longer than the device's memPitch, which is 2^31 - 1.
inline cudaError_t cudaMemcpy2DAsync(void* to, std::size_t to_pitch, const void* from, std::size_t from_pitch,
                                     std::size_t width, std::size_t height, cudaMemcpyKind kind,
                                     cudaStream_t stream = nullptr) {
  auto& device = lpw::emulator::StandIn::instance();
  constexpr std::size_t longest = (std::size_t{1} << 31) - 1;
  if (width > to_pitch || width > from_pitch || to_pitch > longest || from_pitch > longest)
    return device.failed(cudaErrorInvalidPitchValue);
  const bool with_host = kind == cudaMemcpyDeviceToHost || kind == cudaMemcpyHostToDevice;
  if (with_host && stream && stream->capture) return device.failed(cudaErrorStreamCaptureUnsupported);
  if (with_host) ++device.synchronisations;
  device.issue(stream, [=] {
    for (std::size_t row = 0; row < height; ++row)
      std::memcpy(static_cast<std::byte*>(to) + row * to_pitch, static_cast<const std::byte*>(from) + row * from_pitch,
                  width);
  });
  if (with_host && stream) stream->finish(stream->issued);
  return cudaSuccess;
}
inline cudaError_t cudaMemsetAsync(void* to, int value, std::size_t bytes, cudaStream_t stream = nullptr) {
  lpw::emulator::StandIn::instance().issue(stream, [=] { std::memset(to, value, bytes); });
  return cudaSuccess;
}

// Streams and events. But for streams that a test holds up, everything except a copy to page-locked memory is done when
// its call returns.

enum { cudaStreamNonBlocking = 1, cudaEventDefault = 0, cudaEventDisableTiming = 2 };
enum cudaStreamCaptureMode {
  cudaStreamCaptureModeGlobal,
  cudaStreamCaptureModeThreadLocal,
  cudaStreamCaptureModeRelaxed
};

inline cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned) {
  *stream = lpw::emulator::StandIn::instance().make_stream();
  return cudaSuccess;
}
inline cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
  auto& device = lpw::emulator::StandIn::instance();
  if (stream && stream->capture) return device.failed(cudaErrorStreamCaptureUnsupported);
  ++device.synchronisations;
  if (stream) stream->land(stream->issued);
  return cudaSuccess;
}
inline cudaError_t cudaDeviceSynchronize() {
  auto& device = lpw::emulator::StandIn::instance();
  if (device.capturing) return device.failed(cudaErrorStreamCaptureUnsupported);
  ++device.synchronisations;
  device.land_all();
  return cudaSuccess;
}
inline cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned) {
  *event = new lpw::emulator::Event;
  return cudaSuccess;
}
inline cudaError_t cudaEventDestroy(cudaEvent_t event) {
  delete event;
  return cudaSuccess;
}
inline cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream = nullptr) {
  if (!stream) return cudaSuccess;
  *event = {{stream, stream->issued}, lpw::emulator::StandIn::instance().milliseconds};
  if (!stream->capture) return cudaSuccess;
  event->at.issued = stream->capture->issued[stream];
  event->capture = stream->capture;
  event->before = stream->before;
  event->before[stream] = event->at.issued;
  return cudaSuccess;
}
/// A wait for the last of what was issued leaves the stream with nothing to do.
inline cudaError_t cudaEventSynchronize(cudaEvent_t event) {
  auto& device = lpw::emulator::StandIn::instance();
  if (event->capture) return device.failed(cudaErrorCapturedEvent);
  if (!event->at.stream) return cudaSuccess;
  if (event->at.issued >= event->at.stream->last_work) ++device.synchronisations;
  event->at.stream->land(event->at.issued);
  return cudaSuccess;
}
inline cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t start, cudaEvent_t stop) {
  if (!start->at.stream || !stop->at.stream) return lpw::emulator::StandIn::instance().failed(cudaErrorInvalidValue);
  *milliseconds = static_cast<float>(stop->milliseconds - start->milliseconds);
  return cudaSuccess;
}
/// A stream that waits for one that is captured is captured, too; what is captured waits for nothing else.
inline cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned = 0) {
  auto& device = lpw::emulator::StandIn::instance();
  if (!event->at.stream) return cudaSuccess;
  if (!event->capture && !stream->capture) {
    stream->give({event->at});
    return cudaSuccess;
  }
  if (!event->capture) return device.failed(cudaErrorStreamCaptureIsolation);
  if (event->at.stream->capture != event->capture) return device.failed(cudaErrorCapturedEvent);  // it is over
  if (!stream->capture) stream->capture = event->capture, stream->before = {};
  for (const auto& [other, issued] : event->before) {
    auto& known = stream->before[other];
    known = std::max(known, issued);
  }
  stream->capture->give(stream, {event->at});
  return cudaSuccess;
}

// Graphs.

inline cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode) {
  if (!stream || stream->capture) return lpw::emulator::StandIn::instance().failed(cudaErrorInvalidValue);
  stream->capture = std::make_shared<lpw::emulator::Graph>(lpw::emulator::Graph{stream});
  stream->before = {};
  ++lpw::emulator::StandIn::instance().capturing;
  return cudaSuccess;
}
/// Each stream that was captured with this one must be waited for.
inline cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t* graph) {
  auto& device = lpw::emulator::StandIn::instance();
  *graph = nullptr;
  if (!stream->capture) return device.failed(cudaErrorInvalidValue);
  if (stream->capture->origin != stream) return device.failed(cudaErrorStreamCaptureUnmatched);
  const auto captured = stream->capture;
  bool joined = true;
  for (const auto& [other, issued] : captured->issued) {
    joined = joined && (other == stream || stream->before[other] == issued);
    other->capture = nullptr;
  }
  stream->capture = nullptr;
  --device.capturing;
  if (!joined) return device.failed(cudaErrorStreamCaptureUnjoined);
  *graph = new std::shared_ptr(captured);
  return cudaSuccess;
}
inline cudaError_t cudaGraphInstantiate(cudaGraphExec_t* executable, cudaGraph_t graph, unsigned long long = 0) {
  if (!graph) return lpw::emulator::StandIn::instance().failed(cudaErrorInvalidValue);
  *executable = new std::shared_ptr(*graph);
  return cudaSuccess;
}
inline cudaError_t cudaGraphLaunch(cudaGraphExec_t executable, cudaStream_t stream) {
  stream->give({{}, [graph = *executable] { graph->replay(); }});
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

enum cudaFuncAttribute { cudaFuncAttributeMaxDynamicSharedMemorySize, cudaFuncAttributePreferredSharedMemoryCarveout };
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
  return taken ? cudaSuccess : lpw::emulator::StandIn::instance().failed(cudaErrorInvalidValue);
}
inline cudaError_t cudaOccupancyMaxActiveBlocksPerMultiprocessor(int* blocks, const void* kernel, int block,
                                                                 std::size_t shared_bytes) {
  ++lpw::emulator::StandIn::instance().occupancy_questions;
  *blocks = lpw::emulator::Multiprocessor::instance().resident(kernel, block, shared_bytes);
  return cudaSuccess;
}

template <class... Parameters, class... Arguments>
cudaError_t cudaLaunchKernelEx(const cudaLaunchConfig_t* config, void (*kernel)(Parameters...),
                               Arguments&&... arguments) {
  using namespace lpw::emulator;
  if (StandIn::instance().last_error != cudaSuccess) return StandIn::instance().last_error;
  StandIn::instance().last_grid = config->gridDim;
  LaunchOptions options{.grid = config->gridDim, .block = config->blockDim, .shared_bytes = config->dynamicSmemBytes};
  for (unsigned i = 0; i < config->numAttrs; ++i)
    options.cooperative = options.cooperative || config->attrs[i].val.cooperative;
  const auto volume = [](const dim3& of) { return std::uint64_t{of.x} * of.y * of.z; };
  const auto* address = reinterpret_cast<const void*>(kernel);
  auto& multiprocessor = Multiprocessor::instance();
  if (!multiprocessor.allows(address, options.shared_bytes)) return StandIn::instance().failed(cudaErrorInvalidValue);
  const auto resident = [=, &multiprocessor] {
    return static_cast<unsigned>(
        StandIn::multiprocessors *
        multiprocessor.resident(address, static_cast<int>(volume(options.block)), options.shared_bytes));
  };
  if (options.cooperative && volume(options.grid) > resident())
    return StandIn::instance().failed(cudaErrorCooperativeLaunchTooLarge);
  StandIn::instance().issue(config->stream,
                            [=, parameters = std::tuple<std::decay_t<Parameters>...>(arguments...)]() mutable {
                              options.seed = StandIn::instance().next_seed();
                              options.resident_blocks = resident();  // a replay goes by what holds now
                              emulate(options, [&] { std::apply(kernel, parameters); });
                            });
  return cudaSuccess;
}
