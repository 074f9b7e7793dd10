// Sums in parts: cut by shape, so that their results do not depend on the number of threads.
#pragma once

#include <lpw/cpu/base/parallel.hpp>
#include <lpw/tensor/tensor.hpp>

namespace lpw::inline LPW_ABI {

/// sum [N] (+)= the rows of parts [P, N], in order.
template <class W>
void add_parts(const Tensor<W, Cpu>& parts, W* sum, bool accumulate) {
  const std::int64_t count = parts.dim(0), size = parts.shape().size_from(1);
  const W* from = parts.data();
  parallel_elements(size, count, [=](std::int64_t first, std::int64_t last) {
    if (!accumulate) std::fill(sum + first, sum + last, W(0));
    for (std::int64_t part = 0; part < count; ++part) {
      const W* row = from + part * size;
#pragma omp simd
      for (std::int64_t i = first; i < last; ++i) sum[i] += row[i];
    }
  });
}

}  // namespace lpw::inline LPW_ABI
