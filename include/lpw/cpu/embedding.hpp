// primitives/embedding.hpp on the CPU.
#pragma once

#include <algorithm>

#include <lpw/cpu/base/parallel.hpp>
#include <lpw/primitives/embedding.hpp>
#include <lpw/primitives/layout.hpp>

namespace lpw::inline LPW_ABI {

/// Throws Error for an index outside [0, V).
template <class T>
[[nodiscard]] Tensor<T, Cpu> embedding_forward(const Tensor<std::int32_t, Cpu>& indices,
                                               const Tensor<Accumulate<T>, Cpu>& weight) {
  const std::int64_t rows = weight.dim(1), width = weight.dim(2), length = indices.shape().size_from(1);
  for (std::int64_t i = 0; i < indices.size(); ++i)
    require(indices.data()[i] >= 0 && indices.data()[i] < rows, "embedding: index ", indices.data()[i], " of member ",
            i / length, ", position ", i % length, " is outside [0, ", rows, ")");
  Shape shape = indices.shape();
  shape.append(width);
  Tensor<T, Cpu> y(shape);
  parallel_for(indices.size(), width, [&](std::int64_t i) {
    const Accumulate<T>* from = member_row(weight, i / length) + indices.data()[i] * width;
    T* to = y.data() + i * width;
#pragma omp simd
    for (std::int64_t e = 0; e < width; ++e) store(to[e], from[e]);
  });
  return y;
}

/// An index's places are added in their order; blocks of columns run in parallel.
template <class T>
void embedding_backward(const Tensor<std::int32_t, Cpu>& indices, const Tensor<T, Cpu>& dy,
                        Gradient<Accumulate<T>, Cpu>& dweight) {
  using W = Accumulate<T>;
  constexpr std::int64_t block = 64;
  const std::int64_t products = dweight.tensor.dim(0), width = dweight.tensor.dim(2),
                     length = indices.size() / products;
  const std::int64_t blocks = (width + block - 1) / block;
  if (!dweight.accumulate) fill(dweight.tensor, W(0));
  parallel_for(products * blocks, length * std::min(block, width), [&](std::int64_t item) {
    const std::int64_t k = item / blocks, first = item % blocks * block, columns = std::min(block, width - first);
    for (std::int64_t i = k * length; i < (k + 1) * length; ++i) {
      const T* from = dy.data() + i * width + first;
      W* to = dweight.tensor.row(k) + indices.data()[i] * width + first;
#pragma omp simd
      for (std::int64_t e = 0; e < columns; ++e) to[e] += W(from[e]);
    }
  });
}

}  // namespace lpw::inline LPW_ABI
