// Max pooling and global average pooling over [K B, H, W, C]. Max pooling keeps each window's winner; its gradient is
// gathered, every input element asking the windows that hold it in the order in which the CPU adds them, so overlapping
// windows need no atomics.
#pragma once

#include <lpw/kernels/elements.cuh>

namespace lpw::inline LPW_ABI::kernels {

struct PoolGeometry {
  std::int64_t images;  // K B
  int height, width, channels, out_height, out_width;
  int kernel_height, kernel_width, stride_height, stride_width, padding_height, padding_width;
};

template <class T>
struct MaxPoolForward {
  const T* x;            // (image, row, column, channel)
  T* y;                  // (image, output row, output column, channel)
  std::int32_t* winner;  // like y: row W + column of the largest element in its image
  PoolGeometry geometry;
};

namespace detail {

/// Vector `index` of an image [rows, columns, C]: its pixel and its first channel.
template <int N>
struct PixelPlace {
  int row, column, channel;

  __device__ __forceinline__ PixelPlace(unsigned index, int columns, int channels) {
    const unsigned vectors = static_cast<unsigned>(channels / N), pixel = index / vectors;
    channel = static_cast<int>(index % vectors) * N;
    row = static_cast<int>(pixel / static_cast<unsigned>(columns));
    column = static_cast<int>(pixel % static_cast<unsigned>(columns));
  }
};

template <int N>
[[nodiscard]] __device__ __forceinline__ Vector<std::int32_t, N> load_winners(const std::int32_t* from) {
  constexpr int width = N < 4 ? N : 4;
  Vector<std::int32_t, N> result;
  LPW_UNROLL
  for (int i = 0; i < N; i += width) {
    const auto part = load_vector<width>(from + i);
    LPW_UNROLL
    for (int j = 0; j < width; ++j) result[i + j] = part[j];
  }
  return result;
}

template <int N>
__device__ __forceinline__ void store_winners(std::int32_t* to, const Vector<std::int32_t, N>& value) {
  constexpr int width = N < 4 ? N : 4;
  LPW_UNROLL
  for (int i = 0; i < N; i += width) {
    Vector<std::int32_t, width> part;
    LPW_UNROLL
    for (int j = 0; j < width; ++j) part[j] = value[i + j];
    store_vector(to + i, part);
  }
}

/// The output positions [first, last) along one axis whose windows hold input position `at`.
struct Windows {
  int first, last;

  __device__ __forceinline__ Windows(int at, int outputs, int kernel, int stride, int padding) {
    const int end = at + padding, begin = end - kernel;  // windows start in (begin, end]
    first = begin < 0 ? 0 : begin / stride + 1;
    last = end / stride + 1;
    if (last > outputs) last = outputs;
  }
};

/// The sums of a window's pixels, or of the windows that hold a pixel: runs of them in float, of which the sums are
/// added up in double.
template <int N>
struct WindowSums {
  static constexpr int run = 128;
  Vector<float, N> part;
  double total[N] = {};
  int terms = 0;

  /// Before the next one is added to `part`.
  __device__ __forceinline__ void count() {
    if (terms++ < run) return;
    terms = 1;
    LPW_UNROLL
    for (int j = 0; j < N; ++j) {
      total[j] += double(part[j]);
      part[j] = 0.f;
    }
  }
  /// The sum in all.
  [[nodiscard]] __device__ __forceinline__ float operator[](int j) const {
    return static_cast<float>(total[j] + double(part[j]));
  }
};

}  // namespace detail

/// Largest element of every window; padding never wins, of equal elements the first in row-major order does, and NaN
/// before all others. N is widest<T>, or 1 if C is not a multiple of that or an address not aligned to 16 bytes. A
/// window holds at least one pixel.
template <class T, int N>
__global__ void __launch_bounds__(element_threads, element_blocks) max_pool2d_forward(const MaxPoolForward<T> p) {
  const PoolGeometry& g = p.geometry;
  const Stride at = Stride::of(static_cast<std::int64_t>(g.out_height) * g.out_width * (g.channels / N));
  for (std::int64_t image = blockIdx.y; image < g.images; image += gridDim.y)
    for (int step = 0; step < at.steps; ++step) {
      const detail::PixelPlace<N> place(static_cast<unsigned>(at[step]), g.out_width, g.channels);
      const int top = place.row * g.stride_height - g.padding_height,
                left = place.column * g.stride_width - g.padding_width;
      const T* pixels = p.x + image * g.height * g.width * g.channels + place.channel;
      Vector<T, N> best = {};
      Vector<std::int32_t, N> winner;
      LPW_UNROLL
      for (int j = 0; j < N; ++j) winner[j] = -1;
      for (int row = top < 0 ? 0 : top; row < top + g.kernel_height && row < g.height; ++row)
        for (int column = left < 0 ? 0 : left; column < left + g.kernel_width && column < g.width; ++column) {
          const int pixel = row * g.width + column;
          const auto candidate = load_vector<N>(pixels + static_cast<std::int64_t>(pixel) * g.channels);
          LPW_UNROLL
          for (int j = 0; j < N; ++j) {
            const float value = float(candidate[j]), before = float(best[j]);
            if (winner[j] >= 0 && (value <= before || before != before)) continue;  // NaN wins and stays
            best[j] = candidate[j];
            winner[j] = pixel;
          }
        }
      const std::int64_t to = image * g.out_height * g.out_width * g.channels + at[step] * N;
      store_vector(p.y + to, best);
      detail::store_winners(p.winner + to, winner);
    }
}

template <class T>
struct MaxPoolBackward {
  const std::int32_t* winner;  // (image, output row, output column, channel)
  const T* dy;                 // like winner
  T* dx;                       // (image, row, column, channel)
  bool accumulate;             // add to dx
  PoolGeometry geometry;
};

/// Sends each dy to its window's winner. N as above.
template <class T, int N>
__global__ void __launch_bounds__(element_threads, element_blocks - 1)  // sums in double spill at one block more
    max_pool2d_backward(const MaxPoolBackward<T> p) {
  const PoolGeometry& g = p.geometry;
  const Stride at = Stride::of(static_cast<std::int64_t>(g.height) * g.width * (g.channels / N));
  for (std::int64_t image = blockIdx.y; image < g.images; image += gridDim.y)
    for (int step = 0; step < at.steps; ++step) {
      const detail::PixelPlace<N> place(static_cast<unsigned>(at[step]), g.width, g.channels);
      const detail::Windows rows(place.row, g.out_height, g.kernel_height, g.stride_height, g.padding_height),
          columns(place.column, g.out_width, g.kernel_width, g.stride_width, g.padding_width);
      const std::int64_t from = image * g.out_height * g.out_width * g.channels + place.channel;
      T* to = p.dx + image * g.height * g.width * g.channels + at[step] * N;
      const int pixel = place.row * g.width + place.column;
      detail::WindowSums<N> sum = {};
      if (p.accumulate) sum.part = load_floats<N>(to);
      for (int row = rows.first; row < rows.last; ++row)
        for (int column = columns.first; column < columns.last; ++column) {
          const std::int64_t window = from + static_cast<std::int64_t>(row * g.out_width + column) * g.channels;
          const auto winner = detail::load_winners<N>(p.winner + window);
          const auto dy = load_vector<N>(p.dy + window);
          sum.count();
          LPW_UNROLL
          for (int j = 0; j < N; ++j) sum.part[j] += winner[j] == pixel ? float(dy[j]) : 0.f;
        }
      Vector<float, N> result;
      LPW_UNROLL
      for (int j = 0; j < N; ++j) result[j] = sum[j];
      store_floats(to, result);
    }
}

template <class T>
struct AveragePoolForward {
  const T* x;           // (image, pixel, channel)
  T* y;                 // (image, channel)
  MemberTiling tiling;  // images as members, pixels as rows; one block for each item
};

/// Mean over the image. N as above. Shared memory: tiling.scratch_floats() floats.
template <class T, int N>
__global__ void __launch_bounds__(member_threads, element_blocks)
    global_average_pool_forward(const AveragePoolForward<T> p) {
  const MemberTiling& tiling = p.tiling;
  SharedMemory memory;
  float* scratch = memory.take<float>(tiling.scratch_floats());
  for (int item = static_cast<int>(blockIdx.x); item < tiling.items(); item += tiling.groups) {
    const MemberPlace place = MemberPlace::of(tiling, item);
    RowSums<N> sums;  // of runs of 128 pixels, and of what came before: the error does not grow with a large image
    sweep<4>(
        place.steps, [&](int step) { return load_vector<N>(p.x + place.element(step)); },
        [&](int step, const Vector<T, N>& row) {
          const bool begins = step % 128 == 0;
          LPW_UNROLL
          for (int j = 0; j < N; ++j) {
            if (begins) sums.second[j] += sums.first[j];
            sums.first[j] = (begins ? 0.f : sums.first[j]) + float(row[j]);
          }
        });
    reduce_rows<AddSums>(tiling, sums, scratch);
    if (static_cast<int>(threadIdx.x) < tiling.slab && place.column * N < place.width) {
      Vector<float, N> mean;
      LPW_UNROLL
      for (int j = 0; j < N; ++j) mean[j] = (sums.first[j] + sums.second[j]) / static_cast<float>(tiling.rows);
      store_floats(p.y + static_cast<std::int64_t>(place.member) * tiling.channels + place.channel + place.column * N,
                   mean);
    }
    __syncthreads();  // the next item writes scratch
  }
}

template <class T>
struct AveragePoolBackward {
  const T* dy;          // (image, channel)
  T* dx;                // (image, pixel, channel)
  bool accumulate;      // add to dx
  std::int64_t images;  // K B
  int pixels, channels;
};

/// Spreads dy / pixels over the image. N as above.
template <class T, int N>
__global__ void __launch_bounds__(element_threads, element_blocks)
    global_average_pool_backward(const AveragePoolBackward<T> p) {
  const float share = 1.f / static_cast<float>(p.pixels);
  const unsigned vectors = static_cast<unsigned>(p.channels / N);
  const Stride at = Stride::of(static_cast<std::int64_t>(p.pixels) * vectors);
  for (std::int64_t image = blockIdx.y; image < p.images; image += gridDim.y)
    for (int step = 0; step < at.steps; ++step) {
      const unsigned column = static_cast<unsigned>(at[step]) % vectors;
      auto value = load_floats<N>(p.dy + image * p.channels + column * N);
      T* to = p.dx + image * p.pixels * p.channels + at[step] * N;
      Vector<float, N> before = {};
      if (p.accumulate) before = load_floats<N>(to);
      LPW_UNROLL
      for (int j = 0; j < N; ++j) value[j] = fmaf(value[j], share, before[j]);
      store_floats(to, value);
    }
}

}  // namespace lpw::inline LPW_ABI::kernels
