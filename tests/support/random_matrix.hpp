// Random operands of matrix products.
#pragma once

#include <cstdint>
#include <utility>

#include <lpw/cpu/base/matrix.hpp>

#include "random.hpp"

namespace lpw::test {

/// A matrix of random values, rows or columns contiguous, with a gap between these.
template <class T>
struct RandomMatrix {
  Tensor<T, Cpu> memory;
  MatrixView<const T> view;

  RandomMatrix(std::int64_t rows, std::int64_t columns, bool by_rows, std::int64_t gap, std::uint32_t key)
      : memory(random_tensor<T>({by_rows ? rows : columns, (by_rows ? columns : rows) + gap}, key)),
        view{std::as_const(memory).data(), rows, columns, memory.dim(1), 1} {
    if (!by_rows) std::swap(view.row_stride, view.column_stride);
  }
  [[nodiscard]] double at(std::int64_t i, std::int64_t j) const {
    return static_cast<double>(view.data[i * view.row_stride + j * view.column_stride]);
  }
};

}  // namespace lpw::test
