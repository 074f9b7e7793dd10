// Work on the GPU beside a reference, both with a cold cache; see beside.hpp.
#pragma once

#include "../beside.hpp"
#include "device_copy.hpp"

namespace benchmarks {

namespace detail {

inline void run_measures(benchmark::State& state, const Cost& cost, int repeats, Measure work, Measure reference) {
  run_beside(
      state, [](Measure& measure) { return measure(); }, cost, work, reference);
  state.counters["repeats"] = repeats;
}

}  // namespace detail

/// As run_beside, for works of many launches.
inline void run_beside_on_device(benchmark::State& state, const Cost& cost, const Work& work, const Work& reference) {
  const ColdMeasure measure({work, reference}, {.many_launches = true});
  detail::run_measures(state, cost, measure.repeats(), measure.of(work), measure.of(reference));
}

/// Beside a copy that reads and writes as many bytes as the work has to: `of_reference` is the share of its rate that
/// the work reaches.
inline void beside_copy(benchmark::State& state, std::int64_t bytes, const Work& work) {
  DeviceCopy copy(static_cast<double>(bytes));
  const Work copies[] = {copy.by_driver(), copy.by_kernel()};
  const ColdMeasure measure({work, copies[0], copies[1]}, {});
  const Measure candidates[] = {measure.of(copies[0]), measure.of(copies[1])};
  std::vector<double> times[2];
  for (int round = 0; round < 5; ++round)
    for (const int i : {0, 1}) times[i].push_back(candidates[i]());
  detail::run_measures(state, {.bytes = static_cast<double>(bytes)}, measure.repeats(), measure.of(work),
                       candidates[median(times[0]) < median(times[1]) ? 0 : 1]);
}

template <class T>
[[nodiscard]] std::int64_t bytes_of(const lpw::Tensor<T, lpw::Cuda>& tensor) {
  return tensor.size() * static_cast<std::int64_t>(sizeof(T));
}

}  // namespace benchmarks
