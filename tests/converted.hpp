// Tensors in another type, for comparison with what the CPU computes in double from the same numbers.
#pragma once

#include "cpu/support.hpp"

namespace lpw::test {

/// The values as another type, contiguous.
template <class To, class From>
[[nodiscard]] Tensor<To, Cpu> converted(const Tensor<From, Cpu>& tensor) {
  const auto packed = clone(tensor);
  Tensor<To, Cpu> result(tensor.shape());
  for (std::int64_t i = 0; i < packed.size(); ++i) {
    if constexpr (std::is_same_v<To, double>) {
      result.data()[i] = static_cast<double>(packed.data()[i]);
    } else {
      result.data()[i] = To(static_cast<float>(packed.data()[i]));
    }
  }
  return result;
}

}  // namespace lpw::test
