// What the tests of the CUDA backend share. They run on a GPU, and as C++ on the emulator, which stands in for CUDA's
// headers.
#pragma once

#include <lpw/cuda/cuda.hpp>

#include "catch.hpp"
#include "support/backward.hpp"
#include "support/compare.hpp"
#include "support/random.hpp"

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

/// As of tensors on the host.
template <class T, class U>
[[nodiscard]] Worst distance(const Tensor<T, Cuda>& found, const Tensor<U, Cpu>& expected) {
  return distance(to_host(found), expected);
}

}  // namespace lpw::test
