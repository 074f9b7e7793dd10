// How benchmarks measure: wall clock, medians of repetitions, peak memory, and random tensors.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <map>
#include <vector>

#include <lpw/tensor/philox.hpp>
#include <lpw/tensor/tensor.hpp>
#include <lpw/train/process_memory.hpp>

namespace benchmarks {

using Clock = std::chrono::steady_clock;

/// Wall-clock seconds that f() takes.
template <class F>
[[nodiscard]] double seconds(F&& f) {
  const auto start = Clock::now();
  f();
  return std::chrono::duration<double>(Clock::now() - start).count();
}

/// The value at `share` (0 to 1) of the sorted values; 0 for none.
[[nodiscard]] inline double quantile(std::vector<double> values, double share) {
  if (values.empty()) return 0;
  const auto at = values.begin() + static_cast<std::ptrdiff_t>(share * static_cast<double>(values.size() - 1) + 0.5);
  std::nth_element(values.begin(), at, values.end());
  return *at;
}
[[nodiscard]] inline double median(const std::vector<double>& values) { return quantile(values, 0.5); }

/// Largest memory this process has had, in MB.
[[nodiscard]] inline double peak_rss_mb() { return lpw::train::peak_process_memory(); }

/// The first 2^20 of the values in [-1/2, 1/2) that `key` names: drawn once, since drawing is slow, and not in the
/// pool's memory, which is measured.
template <class T>
[[nodiscard]] const std::vector<T>& random_values(std::uint32_t key) {
  static std::map<std::uint32_t, std::vector<T>> drawn;
  auto& values = drawn[key];
  if (!values.empty()) return values;
  const lpw::Philox random(1, lpw::Stream::test, key);
  values.resize(std::size_t{1} << 20);
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = T(random.uniform(i) - 0.5f);
  return values;
}

/// Values in [-1/2, 1/2), the first 2^20 of them repeated: sizes here are large.
template <class T, class D = lpw::Cpu>
[[nodiscard]] lpw::Tensor<T, D> random_tensor(const lpw::Shape& shape, std::uint32_t key = 0) {
  const auto& drawn = random_values<T>(key);
  const std::int64_t size = shape.size(), period = std::min(size, static_cast<std::int64_t>(drawn.size()));
  lpw::Tensor<T, lpw::Cpu> host({period});
  std::copy_n(drawn.begin(), period, host.data());
  const auto values = to_device<D>(host);
  lpw::Tensor<T, D> tensor(lpw::Shape{size});
  for (std::int64_t first = 0; first < size; first += period) {
    auto part = tensor.rows(first, std::min(period, size - first));
    copy(values.rows(0, part.size()), part);
  }
  return tensor.reshaped(shape);
}

/// Labels [K, B] that are no pattern of few.
template <class D = lpw::Cpu>
[[nodiscard]] lpw::Tensor<std::int32_t, D> random_labels(const lpw::Shape& shape, std::int64_t classes) {
  lpw::Tensor<std::int32_t, lpw::Cpu> labels(shape);
  for (std::int64_t i = 0; i < labels.size(); ++i) labels.data()[i] = static_cast<std::int32_t>(i * 7919 % classes);
  return to_device<D>(labels);
}

}  // namespace benchmarks
