// Table look-up, and its gradient without atomics: the places are sorted by index first (sort_places.cuh), then a block
// adds up the places of an index in fixed order, its warps taking every eighth each, and alone writes that row of the
// table's gradient.
#pragma once

#include <limits>

#include <lpw/kernels/sort_places.cuh>

namespace lpw::inline LPW_ABI::kernels {

template <class T>
struct Embedding {
  TableIndices table;          // of all members: if they share the weight, one table
  const float* weight;         // (table, row, feature)
  std::int64_t weight_stride;  // elements from table to table
  T* y;                        // (table, place, feature)
  int features;
  int* bad_index;  // one word, zero at the start; then 1 + the last place (table, place) whose index is no row, if any;
                   // null: not wanted
};

/// y = the rows of the weight at the indices; NaN for an index that is no row. N is widest<T>, or 1 if the number of
/// features is not a multiple of that or y not aligned to 16 bytes; no shared memory.
template <class T, int N>
__global__ void __launch_bounds__(element_threads, element_blocks) embedding(const Embedding<T> p) {
  const int vectors = p.features / N;
  const Stride at = Stride::of(static_cast<std::int64_t>(p.table.size()) * vectors);
  if (at.steps == 0) return;
  // Where the thread's first vector lies, and how far on the next: so the loop need not divide.
  const int places_on = static_cast<int>(at.stride / vectors), vectors_on = static_cast<int>(at.stride % vectors);
  int place = static_cast<int>(at.first / vectors), vector = static_cast<int>(at.first % vectors);
  for (int step = 0; step < at.steps; ++step) {
    const int column = vector * N;
    const int index = p.table.indices[place];
    const bool known = index >= 0 && index < p.table.rows;
    const float* row =
        p.weight + place / p.table.places * p.weight_stride + static_cast<std::int64_t>(index) * p.features + column;
    Vector<float, N> value;
    LPW_UNROLL
    for (int j = 0; j < N; ++j) value[j] = known ? row[j] : std::numeric_limits<float>::quiet_NaN();
    store_floats(p.y + at[step] * N, value);
    if (!known && p.bad_index && column == 0) atomicMax(p.bad_index, place + 1);
    place += places_on;
    vector += vectors_on;
    if (vector >= vectors) {
      vector -= vectors;
      ++place;
    }
  }
}

template <class T>
struct EmbeddingBackward {
  TableIndices table;
  const std::int32_t* sorted;   // (position): the places, sorted
  const T* dy;                  // (place, feature)
  float* dweight;               // (table, row, feature): added to
  std::int64_t dweight_stride;  // elements from table to table
  int features;
};

namespace detail {

/// How many positions from `first` on have this key, the same in every thread.
template <class T>
[[nodiscard]] __device__ __forceinline__ int run_length(const EmbeddingBackward<T>& p, int first, unsigned key,
                                                        int* scratch) {
  struct Minimum {
    __device__ __forceinline__ int operator()(int a, int b) const { return a < b ? a : b; }
  };
  for (int begin = first;; begin += element_threads) {
    const int thread = static_cast<int>(threadIdx.x), position = begin + thread;
    const bool same = position < p.table.size() && p.table.key(p.sorted[position]) == key;
    const int end = block_reduce(same ? element_threads : thread, Minimum(), scratch);
    if (end < element_threads) return begin + end - first;
  }
}

/// Adds dy at `count` positions from `first` on to the row of the gradient, for the 32 N features from `column` on.
/// `sums`: 32 N floats of shared memory for each warp, free on return.
template <int N, class T>
__device__ __forceinline__ void add_places(const EmbeddingBackward<T>& p, int first, int count, unsigned key,
                                           int column, float* sums) {
  const int mine = column + lane_index() * N;
  Vector<float, N> sum = {};
  sweep<4>(
      mine < p.features && warp_index() < count ? (count - warp_index() + warp_count() - 1) / warp_count() : 0,
      [&](int step) {
        const int place = p.sorted[first + warp_index() + step * warp_count()];
        return load_vector<N>(p.dy + static_cast<std::int64_t>(place) * p.features + mine);
      },
      [&](int, const Vector<T, N>& row) {
        LPW_UNROLL
        for (int j = 0; j < N; ++j) sum[j] += float(row[j]);
      });
  LPW_UNROLL
  for (int j = 0; j < N; ++j) sums[(warp_index() * 32 + lane_index()) * N + j] = sum[j];
  __syncthreads();
  const int thread = static_cast<int>(threadIdx.x), feature = column + thread, rows = p.table.rows;
  if (thread < 32 * N && feature < p.features) {
    float total = 0;
    for (int warp = 0; warp < warp_count(); ++warp) total += sums[warp * 32 * N + thread];
    const int table = static_cast<int>(key) / rows, row = static_cast<int>(key) % rows;
    p.dweight[table * p.dweight_stride + static_cast<std::int64_t>(row) * p.features + feature] += total;
  }
  __syncthreads();
}

}  // namespace detail

/// Adds the sum of dy over the places of each index to its row. A block (grid.x) looks for the beginnings of indices
/// among 32 sorted positions, and takes 32 N features (grid.y). N as above, for dy. Shared memory: 32 N element_threads
/// / 32 floats and element_threads / 32 ints.
template <class T, int N>
__global__ void __launch_bounds__(element_threads, element_blocks) embedding_backward(const EmbeddingBackward<T> p) {
  SharedMemory memory;
  float* sums = memory.take<float>(element_threads * N);
  int* scratch = memory.take<int>(warp_count());
  const int size = p.table.size(), step = static_cast<int>(gridDim.x) * 32;
  for (int tile = static_cast<int>(blockIdx.x) * 32; tile < size; tile += step) {
    const int position = tile + lane_index();
    const unsigned key = position < size ? p.table.key(p.sorted[position]) : 0;
    const bool starts = position < size && (position == 0 || p.table.key(p.sorted[position - 1]) != key);
    const bool known = key < static_cast<unsigned>(p.table.tables * p.table.rows);
    const unsigned beginnings = __ballot_sync(0xffffffffu, starts && known);  // the same in every warp
    for (int i = 0; i < 32; ++i) {
      if ((beginnings >> i & 1u) == 0) continue;
      const unsigned run = shuffle(key, i);
      const int count = detail::run_length(p, tile + i, run, scratch);
      for (int column = static_cast<int>(blockIdx.y) * 32 * N; column < p.features;
           column += static_cast<int>(gridDim.y) * 32 * N)
        detail::add_places<N>(p, tile + i, count, run, column, sums);
    }
  }
}

}  // namespace lpw::inline LPW_ABI::kernels
