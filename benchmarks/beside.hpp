// Microbenchmarks that mean something on any machine: a piece of work beside a reference (a copy of as many bytes, or a
// library's bare call), measured alternately in one process, and the ratio of their medians.
#pragma once

#include <benchmark/benchmark.h>

#include <functional>
#include <string>
#include <vector>

#include "measure.hpp"

namespace benchmarks {

/// What a run of the work moves and computes, for the rates in the report.
struct Cost {
  double bytes = 0, operations = 0;
};

/// Times work() and reference() in turn, with time(f) giving the seconds of f(). Counters: median and quartiles of the
/// work in microseconds, its rate, and `of_reference`: how much of the reference's rate it reaches.
template <class Timer, class Work, class Reference>
void run_beside(benchmark::State& state, const Timer& time, const Cost& cost, Work&& work, Reference&& reference) {
  std::vector<double> times, references;
  work(), reference();
  for (auto _ : state) {
    times.push_back(time(work));
    references.push_back(time(reference));
    state.SetIterationTime(times.back());
  }
  const double middle = median(times);
  state.counters["median_us"] = middle * 1e6;
  state.counters["low_us"] = quantile(times, 0.25) * 1e6;
  state.counters["high_us"] = quantile(times, 0.75) * 1e6;
  state.counters["reference_us"] = median(references) * 1e6;
  state.counters["of_reference"] = median(references) / middle;
  if (cost.bytes > 0) state.counters["GB/s"] = cost.bytes / middle / 1e9;
  if (cost.operations > 0) state.counters["GFLOP/s"] = cost.operations / middle / 1e9;
}

/// When no benchmark begins any more.
inline Clock::time_point& deadline() {
  static Clock::time_point deadline = Clock::time_point::max();
  return deadline;
}

/// Registers a benchmark that prepares and measures within `body`, which is called once.
inline void add_benchmark(const std::string& name, std::int64_t iterations,
                          std::function<void(benchmark::State&)> body) {
  benchmark::RegisterBenchmark(name.c_str(),
                               [body = std::move(body)](benchmark::State& state) {
                                 if (Clock::now() > deadline()) return state.SkipWithError("no time left");
                                 try {
                                   body(state);
                                 } catch (const std::exception& error) {
                                   state.SkipWithError(error.what());
                                 }
                               })
      ->UseManualTime()
      ->Iterations(iterations)
      ->Unit(benchmark::kMicrosecond);
}

/// "32x32x160": an image of height, width and channels.
[[nodiscard]] inline std::string image_name(std::int64_t side, std::int64_t channels) {
  return lpw::to_text(side, 'x', side, 'x', channels);
}

}  // namespace benchmarks
