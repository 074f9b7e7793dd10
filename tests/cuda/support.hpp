// What the tests of the CUDA backend share. They run on a GPU, and as C++ on the emulator, which stands in for CUDA's headers.
#pragma once

#include <lpw/cuda/cuda.hpp>

#include "cpu/support.hpp"

namespace lpw::test {

#if defined(LPW_EMULATOR)
inline constexpr bool emulated = true;
#else
inline constexpr bool emulated = false;
#endif

/// A host tensor on the GPU; strided rows become strided rows there, between elements that are 77.
template <class T>
[[nodiscard]] Tensor<T, Cuda> on_device(const Tensor<T, Cpu>& host) {
  if (host.empty() || host.contiguous()) return to_device<Cuda>(host);
  auto store = full<T, Cuda>({host.dim(0), host.row_stride()}, T(77));
  auto view = store.columns(0, host.shape().slice(1, host.shape().rank()));
  copy(to_device<Cuda>(clone(host)), view);
  return view;
}

/// The largest |found - expected| / (1 + |expected|); infinite if any is NaN or the sizes differ.
template <class T, class U>
[[nodiscard]] double distance(const Tensor<T, Cuda>& found, const Tensor<U, Cpu>& expected) {
  const auto a = values_of(to_host(found)), b = values_of(expected);
  if (a.size() != b.size()) return std::numeric_limits<double>::infinity();
  double worst = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    const double error = std::abs(a[i] - b[i]) / (1 + std::abs(b[i]));
    worst = std::isnan(error) ? std::numeric_limits<double>::infinity() : std::max(worst, error);
  }
  return worst;
}

/// The largest |found - expected|; infinite if any is NaN or the sizes differ.
[[nodiscard]] inline double largest_difference(const std::vector<double>& found, const std::vector<double>& expected) {
  if (found.size() != expected.size()) return std::numeric_limits<double>::infinity();
  double worst = 0;
  for (std::size_t i = 0; i < found.size(); ++i) {
    const double difference = std::abs(found[i] - expected[i]);
    worst = std::isnan(difference) ? std::numeric_limits<double>::infinity() : std::max(worst, difference);
  }
  return worst;
}

}  // namespace lpw::test
