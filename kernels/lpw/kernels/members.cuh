// Over rows of members: release noise, the mean of K rows, and the running average of
// stochastic weight averaging. Weights are float whatever a network computes in; mean_rows also averages predictions of
// other types.
#pragma once

#include <cmath>

#include <lpw/kernels/elements.cuh>
#include <lpw/kernels/philox.cuh>

namespace lpw::inline LPW_ABI::kernels {

template <class W>
struct ReleaseRows {
  const W* of;              // (element), apart from `rows`
  W* rows;                  // (member, element)
  std::int64_t row_stride;  // elements from member to member
  std::int64_t members, length;
  float deviation;  // sigma_0
  Philox random;
};

/// rows_k += deviation rms(of) eps_k, with the normal draws of the CPU's add_member_noise. Every block forms
/// the rms itself, in the same order. Rows are columns of a larger store and need not be aligned. Shared memory:
/// element_threads / 32 floats.
template <class W>
__global__ void __launch_bounds__(element_threads, element_blocks) release_rows(const ReleaseRows<W> p) {
  SharedMemory memory;
  float* scratch = memory.take<float>(warp_count());
  float amount = 0;
  if (p.deviation != 0.f) {
    float square = 0;
    for (std::int64_t i = threadIdx.x; i < p.length; i += blockDim.x)
      square = fmaf(float(p.of[i]), float(p.of[i]), square);
    amount = p.deviation * sqrtf(block_sum(square, scratch) / static_cast<float>(p.length));
  }
  const Stride at = Stride::of(p.length);
  for (std::int64_t member = blockIdx.y; member < p.members; member += gridDim.y)
    for (int step = 0; step < at.steps; ++step) {
      const std::int64_t i = at[step];
      const float noise =
          amount != 0.f ? amount * normal(p.random(static_cast<std::uint64_t>(member * p.length + i))) : 0.f;
      W& element = p.rows[member * p.row_stride + i];
      element = W(float(element) + noise);
    }
}

template <class T>
struct MeanRows {
  const T* rows;            // (member, element)
  T* mean;                  // (element)
  std::int64_t row_stride;  // elements from member to member
  int members;
  std::int64_t length;
};

/// Row 0 plus the mean of the differences from it: exact where all rows are equal. N is widest<T>, or 1 if the length
/// or the stride is not a multiple of that or an address not aligned to 16 bytes.
template <class T, int N>
__global__ void __launch_bounds__(element_threads, element_blocks) mean_rows(const MeanRows<T> p) {
  const float share = 1.f / static_cast<float>(p.members);
  const Stride at = Stride::of(p.length / N);
  for (int step = 0; step < at.steps; ++step) {
    const T* column = p.rows + at[step] * N;
    const auto first = load_floats<N>(column);
    Vector<float, N> difference = {};
    sweep<4>(
        p.members - 1, [&](int i) { return load_vector<N>(column + (i + 1) * p.row_stride); },
        [&](int, const Vector<T, N>& row) {
          LPW_UNROLL
          for (int j = 0; j < N; ++j) difference[j] += float(row[j]) - first[j];
        });
    LPW_UNROLL
    for (int j = 0; j < N; ++j) difference[j] = difference[j] == 0.f ? first[j] : fmaf(difference[j], share, first[j]);
    store_floats(p.mean + at[step] * N, difference);
  }
}

struct AddRowBackward {
  const float* dy;            // (member, element)
  float* drows;               // (member, element), or null
  float* drow;                // (element), or null
  std::int64_t drows_stride;  // elements from member to member
  std::int64_t length;
  int members;
  bool add_to_drows, add_to_drow;
};

/// drows (+)= dy, drow (+)= the sum of dy's rows, in their order. N is 4, or 1 if the length or the stride is not a
/// multiple of that or an address not aligned to 16 bytes.
template <int N>
__global__ void __launch_bounds__(element_threads, element_blocks) add_row_backward(const AddRowBackward p) {
  const Stride at = Stride::of(p.length / N);
  const bool reads_drows = p.drows != nullptr && p.add_to_drows;
  for (int step = 0; step < at.steps; ++step) {
    const std::int64_t i = at[step] * N;
    Vector<float, N> sum = {};
    if (p.drow != nullptr && p.add_to_drow) sum = load_vector<N>(p.drow + i);
    sweep<2>(
        p.members,
        [&](int k) {
          Loaded<float, N, 2> loaded = {};
          loaded.of[0] = load_vector<N>(p.dy + k * p.length + i);
          if (reads_drows) loaded.of[1] = load_vector<N>(p.drows + k * p.drows_stride + i);
          return loaded;
        },
        [&](int k, const Loaded<float, N, 2>& loaded) {
          Vector<float, N> row;
          LPW_UNROLL
          for (int j = 0; j < N; ++j) {
            sum[j] += loaded.of[0][j];
            row[j] = loaded.of[1][j] + loaded.of[0][j];
          }
          if (p.drows != nullptr) store_vector(p.drows + k * p.drows_stride + i, row);
        });
    if (p.drow != nullptr) store_vector(p.drow + i, sum);
  }
}

struct AverageStore {
  float* average;  // (element)
  const float* value;
  std::int64_t size;
};

struct MoveAverage {
  AverageStore base, late;
  float weight;
};

/// average += (value - average) weight, for both flat stores. N is 4, or 1 if an address is not aligned to 16 bytes.
template <int N>
__global__ void __launch_bounds__(element_threads, element_blocks) move_average(const MoveAverage p) {
  const auto moved = [&](const float(&x)[2]) { return x[0] + (x[1] - x[0]) * p.weight; };
  const float *const base[] = {p.base.average, p.base.value}, *const late[] = {p.late.average, p.late.value};
  map_elements<N>(p.base.size, base, p.base.average, moved);
  map_elements<N>(p.late.size, late, p.late.average, moved);
}

}  // namespace lpw::inline LPW_ABI::kernels
