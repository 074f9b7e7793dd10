// Walking flat arrays: each thread takes every (gridDim.x blockDim.x)-th vector, so that neighbours read neighbours,
// and has the loads of several steps in flight together. The elements that do not fill a vector are left to the first
// threads of the first block.
#pragma once

#include <lpw/kernels/member_rows.cuh>

namespace lpw::inline LPW_ABI::kernels {

/// Threads of a block in kernels over flat arrays.
inline constexpr int element_threads = 256;

/// This thread's share of `count` vectors: first, first + stride, ...
struct Stride {
  std::int64_t first, stride;
  int steps;

  [[nodiscard]] __device__ __forceinline__ static Stride of(std::int64_t count) {
    const auto threads = static_cast<std::int64_t>(blockDim.x);
    const std::int64_t first = blockIdx.x * threads + threadIdx.x, stride = gridDim.x * threads;
    return {first, stride, first < count ? static_cast<int>((count - first + stride - 1) / stride) : 0};
  }
  [[nodiscard]] __device__ __forceinline__ std::int64_t operator[](int step) const { return first + step * stride; }
};

/// N neighbouring elements as floats; `from` is aligned to 16 bytes if N > 1.
template <int N, Cache cache = Cache::normal, class T>
[[nodiscard]] __device__ __forceinline__ Vector<float, N> load_floats(const T* from, Site site = Site::current()) {
  constexpr int width = N < widest<T> ? N : widest<T>;
  Vector<float, N> result;
  LPW_UNROLL
  for (int i = 0; i < N; i += width) {
    const auto part = load_vector<width, cache>(from + i, site);
    LPW_UNROLL
    for (int j = 0; j < width; ++j) result[i + j] = float(part[j]);
  }
  return result;
}

/// The same the other way, rounded to T.
template <Cache cache = Cache::normal, class T, int N>
__device__ __forceinline__ void store_floats(T* to, const Vector<float, N>& value, Site site = Site::current()) {
  constexpr int width = N < widest<T> ? N : widest<T>;
  LPW_UNROLL
  for (int i = 0; i < N; i += width) {
    Vector<T, width> part;
    LPW_UNROLL
    for (int j = 0; j < width; ++j) part[j] = T(value[i + j]);
    store_vector<cache>(to + i, part, site);
  }
}

/// What one step reads of each of several arrays.
template <class T, int N, int Inputs>
struct Loaded {
  Vector<T, N> of[Inputs];
};

namespace detail {

template <class T, int N, int Inputs, class F>
__device__ __forceinline__ Vector<T, N> mapped(const Loaded<T, N, Inputs>& in, F f) {
  Vector<T, N> result;
  LPW_UNROLL
  for (int j = 0; j < N; ++j) {
    float x[Inputs];
    LPW_UNROLL
    for (int input = 0; input < Inputs; ++input) x[input] = float(in.of[input][j]);
    result[j] = T(f(x));
  }
  return result;
}

}  // namespace detail

/// out[i] = f({in[0][i], in[1][i], ...}) for i < count, in float. `out` may be one of the inputs. With N > 1 all arrays
/// are aligned to 16 bytes.
template <int N, class T, int Inputs, class F>
__device__ __forceinline__ void map_elements(std::int64_t count, const T* const (&in)[Inputs], T* out, F f) {
  const std::int64_t vectors = count / N;
  const Stride at = Stride::of(vectors);
  constexpr int unroll = Inputs == 1 ? 4 : 2;  // 64 bytes in flight for each thread; more would cost residency
  sweep<unroll>(
      at.steps,
      [&](int step) {
        Loaded<T, N, Inputs> loaded;
        LPW_UNROLL
        for (int input = 0; input < Inputs; ++input) loaded.of[input] = load_vector<N>(in[input] + at[step] * N);
        return loaded;
      },
      [&](int step, const Loaded<T, N, Inputs>& loaded) {
        store_vector(out + at[step] * N, detail::mapped(loaded, f));
      });
  const std::int64_t i = vectors * N + threadIdx.x;
  if (N > 1 && blockIdx.x == 0 && i < count) {
    Loaded<T, 1, Inputs> loaded;
    LPW_UNROLL
    for (int input = 0; input < Inputs; ++input) loaded.of[input][0] = in[input][i];
    out[i] = detail::mapped(loaded, f)[0];
  }
}

}  // namespace lpw::inline LPW_ABI::kernels
