// Sizes and parameters that the tests of the CUDA primitives share.
#pragma once

#include "cuda/support.hpp"

namespace lpw::test {

/// One channel, rows that fill no vector, whole vectors.
inline constexpr std::int64_t odd_channels[] = {1, 3, 17, 64};

/// A parameter [1 or K, C]: shared by all members, a row for each, or such rows in a wider store.
struct ParameterKind {
  bool shared, strided;

  [[nodiscard]] Shape shape(std::int64_t members, std::int64_t channels) const {
    return {shared ? 1 : members, channels};
  }
  [[nodiscard]] Tensor<float, Cpu> make(std::int64_t members, std::int64_t channels, std::uint32_t key) const {
    return random_parameter<float>(shape(members, channels), strided, key);
  }
};

inline constexpr ParameterKind parameter_kinds[] = {{true, false}, {false, false}, {false, true}};

inline std::ostream& operator<<(std::ostream& out, const ParameterKind& kind) {
  return out << (kind.shared ? "shared parameter" : kind.strided ? "strided rows" : "rows");
}

/// The same gradient on the GPU, with memory of its own.
template <class T>
[[nodiscard]] Gradient<T, Cuda> on_device(const Gradient<T, Cpu>& host) {
  return {on_device(host.tensor), host.accumulate};
}

/// Both hold the same numbers; no NaN among them.
template <class T>
[[nodiscard]] Verdict equal(const Tensor<T, Cuda>& found, const Tensor<T, Cpu>& expected) {
  return same_values(to_host(found), expected);
}

/// True if the elements between the rows of a strided parameter still hold 77. They are brought over as the wider rows
/// they are part of.
template <class T>
[[nodiscard]] bool gaps_untouched(const Tensor<T, Cuda>& parameter) {
  if (parameter.contiguous()) return true;
  Tensor<T, Cpu> store({parameter.dim(0) - 1, parameter.row_stride()});
  cuda::check(cudaMemcpyAsync(store.data(), parameter.data(), static_cast<std::size_t>(store.size()) * sizeof(T),
                              cudaMemcpyDeviceToHost, cuda::stream()),
              "cudaMemcpyAsync");
  cuda::synchronize();
  for (std::int64_t row = 0; row < store.dim(0); ++row)
    for (std::int64_t i = parameter.shape().size_from(1); i < store.dim(1); ++i)
      if (store.row(row)[i] != T(77)) return false;
  return true;
}

}  // namespace lpw::test
