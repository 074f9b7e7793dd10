// Time on the GPU, between events, of work that finds the second-level cache full of other data. Emptying the cache takes longer than
// issuing the work, so the GPU never waits for the host between the events.
#pragma once

#include <memory>

#include <lpw/cuda/cuda.hpp>

#include "../measure.hpp"

namespace benchmarks {

/// Reads all of `from`, so that the cache holds nothing that must still be written.
struct ReadAll {
  const uint4* from;
  std::int64_t length;
  unsigned* never;  // written if the words' XOR is 1, which it is not for zeros; keeps the reads
};

__global__ void __launch_bounds__(lpw::LaunchPlan::block) read_all(const ReadAll p) {
  const std::int64_t threads = std::int64_t{gridDim.x} * blockDim.x;
  unsigned all = 0;
  for (std::int64_t i = std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x; i < p.length; i += threads) {
    const uint4 word = p.from[i];
    all ^= word.x ^ word.y ^ word.z ^ word.w;
  }
  if (all == 1) *p.never = all;
}

/// seconds = timer(work). The events are waited for, so work() of one call never meets that of the next.
class DeviceTimer {
 public:
  DeviceTimer() : flood_({std::max<std::int64_t>(4 * lpw::cuda::limits().l2_bytes, std::int64_t{256} << 20)}) {
    lpw::cuda::check(cudaEventCreateWithFlags(&start_, 0), "cudaEventCreateWithFlags");
    lpw::cuda::check(cudaEventCreateWithFlags(&stop_, 0), "cudaEventCreateWithFlags");
    lpw::cuda::check(cudaMemsetAsync(flood_.data(), 0, static_cast<std::size_t>(flood_.size()), lpw::cuda::stream()), "cudaMemsetAsync");
  }
  ~DeviceTimer() {
    static_cast<void>(cudaEventDestroy(start_));
    static_cast<void>(cudaEventDestroy(stop_));
  }
  DeviceTimer(const DeviceTimer&) = delete;
  DeviceTimer& operator=(const DeviceTimer&) = delete;

  template <class Work>
  [[nodiscard]] double operator()(Work& work) const {
    const ReadAll p{reinterpret_cast<const uint4*>(flood_.data()), flood_.size() / static_cast<std::int64_t>(sizeof(uint4)),
                    lpw::cuda::counters(1)};
    lpw::cuda::launch(read_all, lpw::cuda::element_plan(p.length / 8), p);
    lpw::cuda::check(cudaEventRecord(start_, lpw::cuda::stream()), "cudaEventRecord");
    work();
    lpw::cuda::check(cudaEventRecord(stop_, lpw::cuda::stream()), "cudaEventRecord");
    lpw::cuda::check(cudaEventSynchronize(stop_), "cudaEventSynchronize");
    float milliseconds = 0;
    lpw::cuda::check(cudaEventElapsedTime(&milliseconds, start_, stop_), "cudaEventElapsedTime");
    return static_cast<double>(milliseconds) * 1e-3;
  }

 private:
  lpw::Tensor<std::uint8_t, lpw::Cuda> flood_;
  cudaEvent_t start_ = nullptr, stop_ = nullptr;
};

/// Copies on the GPU that read and write so many bytes in all: what a kernel that moves as many is measured against.
class DeviceCopy {
 public:
  explicit DeviceCopy(double bytes_read_and_written) : from_(half(bytes_read_and_written)), to_(from_.shape()) { fill(from_, std::uint8_t{1}); }
  void operator()() { copy(from_, to_); }

 private:
  static lpw::Tensor<std::uint8_t, lpw::Cuda> half(double bytes) {
    return lpw::Tensor<std::uint8_t, lpw::Cuda>({std::max<std::int64_t>(static_cast<std::int64_t>(bytes / 2), 1)});
  }
  lpw::Tensor<std::uint8_t, lpw::Cuda> from_, to_;
};

/// work() as one launch of a graph, for work of many short launches. It runs once before: libraries choose algorithms then.
template <class Work>
[[nodiscard]] auto graphed(Work&& work) {
  work();
  lpw::cuda::synchronize();
  auto graph = std::make_shared<lpw::cuda::Graph>(work);
  return [graph] { graph->launch(); };
}

}  // namespace benchmarks
