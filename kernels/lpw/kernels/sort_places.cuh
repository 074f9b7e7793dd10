// Places of an index tensor sorted by index, stably, so that each index's places follow each other in their own order:
// by counting, eight bits at a time. Per pass three launches: counts per chunk, their prefix sums in one block, and the
// scattering. Ranks within a chunk are counted by brute force, 256 comparisons for each place, so nothing depends on
// the order of threads.
#pragma once

#include <lpw/kernels/elements.cuh>

namespace lpw::inline LPW_ABI::kernels {

/// Places of a chunk, and digits: one for each thread of a block.
inline constexpr int sort_chunk = element_threads;
[[nodiscard]] LPW_HOST_DEVICE constexpr int sort_chunks(int size) { return (size + sort_chunk - 1) / sort_chunk; }

/// Indices (table, place) into `tables` tables of `rows` rows each.
struct TableIndices {
  const std::int32_t* indices;
  int tables, places, rows;

  [[nodiscard]] LPW_HOST_DEVICE constexpr int size() const { return tables * places; }
  /// What is sorted by: the row among those of all tables; tables rows for an index that is none. Below 2^31.
  [[nodiscard]] __device__ __forceinline__ unsigned key(int place) const {
    const int index = indices[place];
    const bool known = index >= 0 && index < rows;
    return static_cast<unsigned>(known ? place / places * rows + index : tables * rows);
  }
  /// Passes that sort all keys.
  [[nodiscard]] LPW_HOST_DEVICE constexpr int passes() const {
    int count = 1;
    for (long long largest = static_cast<long long>(tables) * rows; largest >= 256; largest /= 256) ++count;
    return count;
  }
};

/// One pass: places `from`, or all in order where that is null, sorted by eight bits of their keys into `to`.
struct SortPass {
  TableIndices table;
  const std::int32_t* from;  // (position)
  std::int32_t* to;          // (position)
  std::int32_t* counts;      // (chunk, digit): workspace of sort_chunks(size) sort_chunk
  int pass;

  [[nodiscard]] __device__ __forceinline__ int place(int position) const { return from ? from[position] : position; }
  /// The digit at a position; past the end one that is none.
  [[nodiscard]] __device__ __forceinline__ int digit(int position) const {
    return position < table.size() ? static_cast<int>(table.key(place(position)) >> (8 * pass) & 255u) : sort_chunk;
  }
};

namespace detail {

/// How many of the first `count` digits are `digit`.
[[nodiscard]] __device__ __forceinline__ int count_digit(const int* digits, int count, int digit) {
  int sum = 0;
  for (int i = 0; i < count; ++i) sum += digits[i] == digit;
  return sum;
}

}  // namespace detail

/// How often each digit occurs in each chunk. Pass is SortPass. A block for each chunk, or fewer. Shared memory:
/// sort_chunk ints.
template <class Pass>
__global__ void __launch_bounds__(element_threads, element_blocks) count_digits(const Pass p) {
  SharedMemory memory;
  int* digits = memory.take<int>(sort_chunk);
  const int thread = static_cast<int>(threadIdx.x);
  for (int chunk = static_cast<int>(blockIdx.x); chunk < sort_chunks(p.table.size());
       chunk += static_cast<int>(gridDim.x)) {
    digits[thread] = p.digit(chunk * sort_chunk + thread);
    __syncthreads();
    p.counts[chunk * sort_chunk + thread] = detail::count_digit(digits, sort_chunk, thread);
    __syncthreads();
  }
}

/// From counts to where the places of a digit and chunk begin. One block. Shared memory: sort_chunk ints.
template <class Pass>
__global__ void __launch_bounds__(element_threads, element_blocks) scan_digits(const Pass p) {
  SharedMemory memory;
  int* totals = memory.take<int>(sort_chunk);
  const int thread = static_cast<int>(threadIdx.x), chunks = sort_chunks(p.table.size());
  const auto count = [&](int chunk) { return p.counts[chunk * sort_chunk + thread]; };
  int total = 0;
  sweep<8>(chunks, count, [&](int, int value) { total += value; });
  totals[thread] = total;
  __syncthreads();
  int first = 0;
  for (int digit = 0; digit < thread; ++digit) first += totals[digit];
  sweep<8>(chunks, count, [&](int chunk, int value) {
    p.counts[chunk * sort_chunk + thread] = first;
    first += value;
  });
}

/// Moves places to where their digits begin. Grid and shared memory as for count_digits.
template <class Pass>
__global__ void __launch_bounds__(element_threads, element_blocks) scatter_places(const Pass p) {
  SharedMemory memory;
  int* digits = memory.take<int>(sort_chunk);
  const int thread = static_cast<int>(threadIdx.x);
  for (int chunk = static_cast<int>(blockIdx.x); chunk < sort_chunks(p.table.size());
       chunk += static_cast<int>(gridDim.x)) {
    const int position = chunk * sort_chunk + thread, digit = p.digit(position);
    digits[thread] = digit;
    __syncthreads();
    const int rank = detail::count_digit(digits, thread, digit);
    if (position < p.table.size()) p.to[p.counts[chunk * sort_chunk + digit] + rank] = p.place(position);
    __syncthreads();
  }
}

}  // namespace lpw::inline LPW_ABI::kernels
