// Time on the GPU of work that finds the second-level cache full of other data.
//
// Long work is timed between two events: emptying the cache takes longer than issuing the work, so the GPU never waits
// for the host between them. Of short work the gaps beside the events would be a good part; it is repeated inside a
// graph, the cache emptied before each time, and the time of a graph that only empties the cache is taken off.
#pragma once

#include <functional>
#include <initializer_list>
#include <memory>

#include <lpw/cuda/cuda.hpp>

#include "../measure.hpp"

namespace benchmarks {

/// Something that issues work to lpw::cuda::stream(). It may allocate, but not wait for the GPU.
using Work = std::function<void()>;
/// Seconds of one measurement.
using Measure = std::function<double()>;

/// Reads all of `from`, so that the cache holds nothing that must still be written.
struct ReadAll {
  const uint4* from;
  std::int64_t length;
  unsigned* never;  // written if the words' XOR is 1, which it is not for zeros; keeps the reads
};

static __global__ void __launch_bounds__(lpw::LaunchPlan::block) read_all(const ReadAll p) {
  const std::int64_t threads = std::int64_t{gridDim.x} * blockDim.x;
  unsigned all = 0;
  for (std::int64_t i = std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x; i < p.length; i += threads) {
    const uint4 word = p.from[i];
    all ^= word.x ^ word.y ^ word.z ^ word.w;
  }
  if (all == 1) *p.never = all;
}

class DeviceTimer {
 public:
  DeviceTimer()
      : flood_(lpw::zeros<std::uint8_t, lpw::Cuda>(
            {std::max<std::int64_t>(4 * lpw::cuda::limits().l2_bytes, 128 << 20)})) {
    lpw::cuda::check(cudaEventCreateWithFlags(&start_, 0), "cudaEventCreateWithFlags");
    lpw::cuda::check(cudaEventCreateWithFlags(&stop_, 0), "cudaEventCreateWithFlags");
  }
  ~DeviceTimer() {
    static_cast<void>(cudaEventDestroy(start_));
    static_cast<void>(cudaEventDestroy(stop_));
  }
  DeviceTimer(const DeviceTimer&) = delete;
  DeviceTimer& operator=(const DeviceTimer&) = delete;

  /// Issues what empties the cache.
  void flood() const {
    const ReadAll p{reinterpret_cast<const uint4*>(flood_.data()),
                    flood_.size() / static_cast<std::int64_t>(sizeof(uint4)), lpw::cuda::counters(1)};
    lpw::cuda::launch(read_all, lpw::cuda::element_plan(p.length / 8), p);
  }

  /// Seconds between an event before work() and one after it. They are waited for, so work() of one call never meets
  /// that of the next.
  [[nodiscard]] double operator()(const Work& work) const {
    flood();
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

/// work() as one launch of a graph. It runs once before: libraries choose algorithms then.
[[nodiscard]] inline Work graphed(const Work& work) {
  work();
  lpw::cuda::synchronize();
  return [graph = std::make_shared<lpw::cuda::Graph>(work)] { graph->launch(); };
}

/// How works that are to be compared are measured: all between events, or all repeated inside a graph, if any of them
/// is short.
class ColdMeasure {
 public:
  struct Options {
    bool many_launches =
        false;  // long work, too, is launched as a graph: issuing it may take longer than emptying the cache
  };

  explicit ColdMeasure(std::initializer_list<Work> works, Options options) : options_(options) {
    for (const Work& work : works) {
      work();
      const double first = (*timer_)(work), second = (*timer_)(work);
      if (std::min(first, second) < short_work) repeats_ = 20;
    }
  }

  /// Times that a measurement repeats the work.
  [[nodiscard]] int repeats() const { return repeats_; }

  [[nodiscard]] Measure of(const Work& work) const {
    if (repeats_ == 1)
      return [timer = timer_, work = options_.many_launches ? graphed(work) : work] { return (*timer)(work); };
    const Work both = repeated([timer = timer_, work] { timer->flood(), work(); }),
               floods = repeated([timer = timer_] { timer->flood(); });
    return [timer = timer_, repeats = repeats_, both, floods] {
      return std::max((*timer)(both) - (*timer)(floods), 1e-9) / repeats;
    };
  }

 private:
  static constexpr double short_work = 100e-6;

  [[nodiscard]] Work repeated(const Work& work) const {
    return graphed([work, repeats = repeats_] {
      for (int i = 0; i < repeats; ++i) work();
    });
  }

  Options options_;
  std::shared_ptr<const DeviceTimer> timer_ = std::make_shared<DeviceTimer>();
  int repeats_ = 1;
};

}  // namespace benchmarks
