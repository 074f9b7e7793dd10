// Softmax over the last axis: a warp takes a row, and reads it three times, the second and third time mostly from the
// cache.
#pragma once

#include <cmath>
#include <limits>

#include <lpw/kernels/elements.cuh>

namespace lpw::inline LPW_ABI::kernels {

template <class T>
struct SoftmaxForward {
  const T* x;  // (row, column)
  T* y;
  std::int64_t rows;
  int columns;
  int queries;  // row i of so many has zeros behind column i; 0: none
};

template <class T>
struct SoftmaxBackward {
  const T *y, *dy;  // (row, column): the forward's result, its gradient
  T* dx;
  std::int64_t rows;
  int columns;
  bool accumulate;  // add to dx
};

namespace detail {

/// The rows of this warp: body(row).
template <class Body>
__device__ __forceinline__ void rows_of_warp(std::int64_t rows, Body body) {
  const std::int64_t warps = static_cast<std::int64_t>(gridDim.x) * warp_count();
  for (std::int64_t row = static_cast<std::int64_t>(blockIdx.x) * warp_count() + warp_index(); row < rows; row += warps)
    body(row);
}

/// The columns of this lane, N at a time: body(column).
template <int N, class Body>
__device__ __forceinline__ void columns_of_lane(int columns, Body body) {
  for (int column = lane_index() * N; column < columns; column += 32 * N) body(column);
}

}  // namespace detail

/// N is widest<T>, or 1 if a row is no multiple of that or an address not aligned to 16 bytes.
template <class T, int N>
__global__ void __launch_bounds__(element_threads, element_blocks) softmax_forward(const SoftmaxForward<T> p) {
  detail::rows_of_warp(p.rows, [&](std::int64_t row) {
    const T* x = p.x + row * p.columns;
    T* y = p.y + row * p.columns;
    int last = p.columns;
    if (p.queries > 0) {
      const int causal = static_cast<int>(row % p.queries) + 1;
      last = causal < last ? causal : last;
    }
    float largest = -std::numeric_limits<float>::infinity();
    detail::columns_of_lane<N>(last, [&](int column) {
      const auto value = load_floats<N>(x + column);
      LPW_UNROLL
      for (int j = 0; j < N; ++j)
        if (column + j < last) largest = Maximum()(largest, value[j]);
    });
    largest = warp_reduce(largest, Maximum());
    float total = 0;
    detail::columns_of_lane<N>(last, [&](int column) {
      const auto value = load_floats<N>(x + column);
      LPW_UNROLL
      for (int j = 0; j < N; ++j)
        if (column + j < last) total += expf(value[j] - largest);
    });
    const float inverse = 1.f / warp_sum(total);
    detail::columns_of_lane<N>(p.columns, [&](int column) {
      auto value = load_floats<N>(x + column);
      LPW_UNROLL
      for (int j = 0; j < N; ++j) value[j] = column + j < last ? expf(value[j] - largest) * inverse : 0.f;
      store_floats(y + column, value);
    });
  });
}

/// dx (+)= y (dy - the row's sum of y dy). N as above.
template <class T, int N>
__global__ void __launch_bounds__(element_threads, element_blocks) softmax_backward(const SoftmaxBackward<T> p) {
  detail::rows_of_warp(p.rows, [&](std::int64_t row) {
    const T *y = p.y + row * p.columns, *dy = p.dy + row * p.columns;
    T* dx = p.dx + row * p.columns;
    float total = 0;
    detail::columns_of_lane<N>(p.columns, [&](int column) {
      const auto value = load_floats<N>(y + column), d = load_floats<N>(dy + column);
      LPW_UNROLL
      for (int j = 0; j < N; ++j) total += value[j] * d[j];
    });
    total = warp_sum(total);
    detail::columns_of_lane<N>(p.columns, [&](int column) {
      auto value = load_floats<N>(y + column);
      const auto d = load_floats<N>(dy + column);
      LPW_UNROLL
      for (int j = 0; j < N; ++j) value[j] *= d[j] - total;
      if (p.accumulate) {
        const auto before = load_floats<N>(dx + column);
        LPW_UNROLL
        for (int j = 0; j < N; ++j) value[j] += before[j];
      }
      store_floats(dx + column, value);
    });
  });
}

}  // namespace lpw::inline LPW_ABI::kernels
