// Host memory that the GPU reads by itself: copies from it overlap with work, and kernels can address it.
#pragma once

#include <cstddef>
#include <utility>

#include <lpw/cuda/base/runtime.hpp>

namespace lpw::inline LPW_ABI::cuda {

/// `size` elements of page-locked host memory, uninitialised. Throws OutOfMemory.
template <class T>
class PinnedArray {
 public:
  PinnedArray() = default;
  /// Throws OutOfMemory.
  explicit PinnedArray(std::size_t size) : size_(size) {
    void* block = nullptr;
    if (const cudaError_t status = cudaMallocHost(&block, size * sizeof(T)); status != cudaSuccess) {
      disregard(status);
      fail<OutOfMemory>("out of memory: ", size * sizeof(T),
                        " bytes of page-locked host memory requested; see `ulimit -l`");
    }
    data_ = static_cast<T*>(block);
  }
  /// The other one is empty then.
  PinnedArray(PinnedArray&& other) noexcept
      : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}
  /// The other one is empty then.
  PinnedArray& operator=(PinnedArray&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    return *this;
  }
  ~PinnedArray() { disregard(cudaFreeHost(data_)); }

  /// On the host.
  [[nodiscard]] T* data() { return data_; }
  [[nodiscard]] const T* data() const { return data_; }
  /// Elements.
  [[nodiscard]] std::size_t size() const { return size_; }

 private:
  T* data_ = nullptr;
  std::size_t size_ = 0;
};

/// A point in a stream for another stream, or the host, to wait for.
class Event {
 public:
  Event() { check(cudaEventCreateWithFlags(&event_, cudaEventDisableTiming), "cudaEventCreateWithFlags"); }
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;
  ~Event() { disregard(cudaEventDestroy(event_)); }

  /// Behind all work that the stream has now.
  void record(cudaStream_t on) { check(cudaEventRecord(event_, on), "cudaEventRecord"); }
  /// What is issued to the stream later waits for the event's last record.
  void hold(cudaStream_t waiting) const { check(cudaStreamWaitEvent(waiting, event_, 0), "cudaStreamWaitEvent"); }
  /// The host waits.
  void wait() const { check(cudaEventSynchronize(event_), "cudaEventSynchronize"); }

 private:
  cudaEvent_t event_ = nullptr;
};

/// A point in a stream, with the time at which the GPU comes to it.
class TimingEvent {
 public:
  TimingEvent() { check(cudaEventCreateWithFlags(&event_, cudaEventDefault), "cudaEventCreateWithFlags"); }
  TimingEvent(const TimingEvent&) = delete;
  TimingEvent& operator=(const TimingEvent&) = delete;
  ~TimingEvent() { disregard(cudaEventDestroy(event_)); }

  /// Behind all work that the stream has now.
  void record(cudaStream_t on) { check(cudaEventRecord(event_, on), "cudaEventRecord"); }
  /// Waits for this one.
  [[nodiscard]] float milliseconds_since(const TimingEvent& start) const {
    check(cudaEventSynchronize(event_), "cudaEventSynchronize");
    float milliseconds = 0;
    check(cudaEventElapsedTime(&milliseconds, start.event_, event_), "cudaEventElapsedTime");
    return milliseconds;
  }

 private:
  cudaEvent_t event_ = nullptr;
};

}  // namespace lpw::inline LPW_ABI::cuda
