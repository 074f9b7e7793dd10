// Means over windows of [K B, H, W, C]. Both passes gather, a vector of channels a thread: a pixel's gradient asks the
// windows that hold it, in order, so that there are no atomics.
#pragma once

#include <lpw/kernels/pooling.cuh>

namespace lpw::inline LPW_ABI::kernels {

/// Windows along one axis; see primitives/average_pooling.hpp.
struct PoolAxis {
  int in, out;
  int kernel, stride, padding;  // kernel 0: windows of about equal size that cover the axis
  bool count_padding;

  struct Range {
    int first, last;
  };

  /// What output `o` reads.
  [[nodiscard]] __device__ __forceinline__ Range window(int o) const {
    if (kernel == 0) return {share(o, in, out), share_end(o, in, out)};
    const int begin = o * stride - padding, end = begin + kernel;
    return {begin < 0 ? 0 : begin, end < in ? end : in};
  }
  /// What its sum is divided by, along this axis.
  [[nodiscard]] __device__ __forceinline__ int count(int o) const {
    if (!count_padding) {
      const Range read = window(o);
      return read.last - read.first;
    }
    const int begin = o * stride - padding, padded = in + padding - begin;
    return kernel < padded ? kernel : padded;
  }
  /// The outputs that read position `i`.
  [[nodiscard]] __device__ __forceinline__ Range readers(int i) const {
    if (kernel == 0) return {share(i, out, in), share_end(i, out, in)};
    const detail::Windows windows(i, out, kernel, stride, padding);
    return {windows.first, windows.last};
  }

 private:
  /// floor(i of / by), and where the next one's share ends, ceil((i + 1) of / by); both products pass 2^31.
  [[nodiscard]] __device__ __forceinline__ static int share(int i, int of, int by) {
    return static_cast<int>(static_cast<std::int64_t>(i) * of / by);
  }
  [[nodiscard]] __device__ __forceinline__ static int share_end(int i, int of, int by) {
    return static_cast<int>((static_cast<std::int64_t>(i + 1) * of + by - 1) / by);
  }
};

template <class T>
struct AveragePool2dForward {
  const T* x;           // (image, row, column, channel)
  T* y;                 // (image, output row, output column, channel)
  std::int64_t images;  // K B
  PoolAxis height, width;
  int channels;
};

/// The mean over every window. N is widest<T>, or 1 if C is not a multiple of that or an address not aligned to 16
/// bytes.
template <class T, int N>
__global__ void __launch_bounds__(element_threads, element_blocks)
    average_pool2d_forward(const AveragePool2dForward<T> p) {
  const PoolAxis &down = p.height, &across = p.width;
  const Stride at = Stride::of(static_cast<std::int64_t>(down.out) * across.out * (p.channels / N));
  for (std::int64_t image = blockIdx.y; image < p.images; image += gridDim.y)
    for (int step = 0; step < at.steps; ++step) {
      const detail::PixelPlace<N> place(static_cast<unsigned>(at[step]), across.out, p.channels);
      const PoolAxis::Range rows = down.window(place.row), columns = across.window(place.column);
      const T* pixels = p.x + image * down.in * across.in * p.channels + place.channel;
      detail::WindowSums<N> sum{};
      for (int row = rows.first; row < rows.last; ++row)
        for (int column = columns.first; column < columns.last; ++column) {
          const auto pixel = load_floats<N>(pixels + static_cast<std::int64_t>(row * across.in + column) * p.channels);
          sum.count();
          LPW_UNROLL
          for (int j = 0; j < N; ++j) sum.part[j] += pixel[j];
        }
      const float count =
          static_cast<float>(static_cast<std::int64_t>(down.count(place.row)) * across.count(place.column));
      Vector<float, N> mean;
      LPW_UNROLL
      for (int j = 0; j < N; ++j) mean[j] = sum[j] / count;
      store_floats(p.y + image * down.out * across.out * p.channels + at[step] * N, mean);
    }
}

template <class T>
struct AveragePool2dBackward {
  const T* dy;          // (image, output row, output column, channel)
  T* dx;                // (image, row, column, channel)
  bool accumulate;      // add to dx
  std::int64_t images;  // K B
  PoolAxis height, width;
  int channels;
};

/// Spreads each dy over its window. N as above.
template <class T, int N>
__global__ void __launch_bounds__(element_threads, element_blocks)
    average_pool2d_backward(const AveragePool2dBackward<T> p) {
  const PoolAxis &down = p.height, &across = p.width;
  const Stride at = Stride::of(static_cast<std::int64_t>(down.in) * across.in * (p.channels / N));
  for (std::int64_t image = blockIdx.y; image < p.images; image += gridDim.y)
    for (int step = 0; step < at.steps; ++step) {
      const detail::PixelPlace<N> place(static_cast<unsigned>(at[step]), across.in, p.channels);
      const PoolAxis::Range rows = down.readers(place.row), columns = across.readers(place.column);
      const T* means = p.dy + image * down.out * across.out * p.channels + place.channel;
      T* to = p.dx + image * down.in * across.in * p.channels + at[step] * N;
      Vector<float, N> sum = {};
      if (p.accumulate) sum = load_floats<N>(to);
      for (int row = rows.first; row < rows.last; ++row) {
        const std::int64_t high = down.count(row);
        for (int column = columns.first; column < columns.last; ++column) {
          const auto dy = load_floats<N>(means + static_cast<std::int64_t>(row * across.out + column) * p.channels);
          const float share = 1.f / static_cast<float>(high * across.count(column));
          LPW_UNROLL
          for (int j = 0; j < N; ++j) sum[j] = fmaf(dy[j], share, sum[j]);
        }
      }
      store_floats(to, sum);
    }
}

}  // namespace lpw::inline LPW_ABI::kernels
