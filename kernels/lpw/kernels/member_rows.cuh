// Walking and reducing [K, M, C] by a MemberTiling: where a thread stands, its sweep over its rows, and the way from
// every thread's two sums per channel to two coefficients per channel that every thread of every block of the group can
// read. All orders are fixed.
#pragma once

#include <lpw/kernels/device.cuh>
#include <lpw/kernels/member_tiling.cuh>

namespace lpw::inline LPW_ABI::kernels {

/// Where this thread stands in an item.
struct MemberPlace {
  int group, rank;      // the group of this block, and the block's number in it
  int member;           //
  int slab, column;     // its vector column in the slab; those past the last channel have no steps
  int channel, width;   // the slab's first channel, and how many it has
  int steps;            // rows of this thread in the chunk
  std::int64_t offset;  // element of its first row
  std::int64_t stride;  // elements from one of its rows to the next

  [[nodiscard]] __device__ __forceinline__ static MemberPlace of(const MemberTiling& tiling, int item) {
    MemberPlace place;
    place.group = static_cast<int>(blockIdx.x) / tiling.group;
    place.rank = static_cast<int>(blockIdx.x) % tiling.group;
    place.member = item / tiling.slabs;
    place.slab = item % tiling.slabs;
    place.column = static_cast<int>(threadIdx.x) % tiling.slab;
    place.channel = place.slab * tiling.width();
    const int channels = tiling.channels - place.channel;
    place.width = channels < tiling.width() ? channels : tiling.width();
    const int row = static_cast<int>(threadIdx.x) / tiling.slab, rows = tiling.rows_of(place.rank);
    const bool works = row < tiling.pass() && row < rows && place.column * tiling.vector < place.width;
    place.steps = works ? (rows - row + tiling.pass() - 1) / tiling.pass() : 0;
    const std::int64_t first = static_cast<std::int64_t>(place.member) * tiling.rows +
                               static_cast<std::int64_t>(place.rank) * tiling.chunk + row;
    place.offset = first * tiling.channels + place.channel + place.column * tiling.vector;
    place.stride = static_cast<std::int64_t>(tiling.pass()) * tiling.channels;
    return place;
  }
  [[nodiscard]] __device__ __forceinline__ std::int64_t element(int step) const { return offset + step * stride; }
  [[nodiscard]] __device__ __forceinline__ int resident(const MemberTiling& tiling) const {
    return steps < tiling.resident ? steps : tiling.resident;
  }
};

/// use(i, load(i)) for 0 <= i < count, with the loads of Unroll steps in flight together.
template <int Unroll, class Load, class Use>
__device__ __forceinline__ void sweep(int count, Load load, Use use) {
  int i = 0;
  for (; i + Unroll <= count; i += Unroll) {
    decltype(load(0)) loaded[Unroll];
    LPW_UNROLL
    for (int u = 0; u < Unroll; ++u) loaded[u] = load(i + u);
    LPW_UNROLL
    for (int u = 0; u < Unroll; ++u) use(i + u, loaded[u]);
  }
  for (; i < count; ++i) use(i, load(i));
}

/// Copies the resident rows of x into this thread's slots of `tile`, in `Stages` groups; tile_stages() then visits them
/// as they arrive.
inline constexpr int tile_stage_count = 4;

template <class T, int N>
__device__ __forceinline__ void copy_tile_stage(const T* x, Vector<T, N>* tile, const MemberPlace& place, int first,
                                                int last) {
  for (int step = first; step < last; ++step)
    copy_async(tile + step * member_threads + threadIdx.x, x + place.element(step));
}

/// The first step of stage `stage` when `count` steps are cut into tile_stage_count.
[[nodiscard]] __device__ __forceinline__ int tile_stage(int count, int stage) {
  return count * stage / tile_stage_count;
}

template <int Stage = 0, class Use>
__device__ __forceinline__ void visit_tile(int count, Use use) {
  wait_copies<tile_stage_count - 1 - Stage>();
  for (int step = tile_stage(count, Stage); step < tile_stage(count, Stage + 1); ++step) use(step);
  if constexpr (Stage + 1 < tile_stage_count) visit_tile<Stage + 1>(count, use);
}

/// Two running values of each of a thread's channels, over `count` rows.
template <int N>
struct RowSums {
  float count = 0, first[N] = {}, second[N] = {};
};

/// Merging of (sum, sum).
struct AddSums {
  __device__ __forceinline__ AddSums(float, float) {}
  __device__ __forceinline__ void operator()(float& a, float& b, float other_a, float other_b) const {
    a += other_a;
    b += other_b;
  }
};

/// Merging of (mean, sum of squared deviations from it) of n and m rows: Chan, Golub, LeVeque 1979.
struct MergeMoments {
  float weight, spread;

  __device__ __forceinline__ MergeMoments(float n, float m) : weight(m > 0.f ? m / (n + m) : 0.f), spread(n * weight) {}
  __device__ __forceinline__ void operator()(float& mean, float& m2, float other_mean, float other_m2) const {
    const float delta = other_mean - mean;
    mean += delta * weight;
    m2 += other_m2 + delta * delta * spread;
  }
};

/// Leaves the sums of all rows of the chunk in the threads of row 0. `scratch`: tiling.scratch_floats() of shared
/// memory, which must not be written again before the block's next barrier.
template <class Merge, int N>
__device__ __forceinline__ void reduce_rows(const MemberTiling& tiling, RowSums<N>& sums, float* scratch) {
  const int row = static_cast<int>(threadIdx.x) / tiling.slab, column = static_cast<int>(threadIdx.x) % tiling.slab;
  const int slots = tiling.scratch_slots();
  int piece = 0;  // the two pieces alternate, so that one barrier a step is enough
  for (int active = tiling.pass(); active > 1;) {
    const int half = (active + 1) / 2;
    if (row >= half && row < active) {
      float* slot = scratch + piece + (row - half) * tiling.slab + column;
      slot[0] = sums.count;
      LPW_UNROLL
      for (int j = 0; j < N; ++j) {
        slot[(1 + j) * slots] = sums.first[j];
        slot[(1 + N + j) * slots] = sums.second[j];
      }
    }
    __syncthreads();
    if (row < active - half) {
      const float* slot = scratch + piece + row * tiling.slab + column;
      const Merge merge(sums.count, slot[0]);
      LPW_UNROLL
      for (int j = 0; j < N; ++j)
        merge(sums.first[j], sums.second[j], slot[(1 + j) * slots], slot[(1 + N + j) * slots]);
      sums.count += slot[0];
    }
    active = half;
    piece = piece ? 0 : tiling.pass() / 2 * tiling.slab;
  }
}

struct Coefficients {
  float first, second;
};

/// From the sums in row 0 of every block of the group to values[c] and values[width() + c] for each channel c of the
/// slab, visible to every thread of the group: what finish(c, first, second) returns as Coefficients, called by one
/// thread for each channel. Called after reduce_rows, whose barriers also end the reading of the item before; in a
/// single row of threads, which needs no barrier there, each thread writes only the values that it alone has read.
/// `workspace` is the group's tiling.group_floats() of global memory, `barrier` its counter; both unused when the group
/// is one block.
template <class Merge, int N, class Finish>
__device__ __forceinline__ void combine_channels(const MemberTiling& tiling, const MemberPlace& place,
                                                 const RowSums<N>& sums, float* values, float* workspace,
                                                 unsigned* barrier, Finish finish) {
  const int thread = static_cast<int>(threadIdx.x), width = tiling.width(), first_channel = place.column * N;
  const bool holds_sums = thread < tiling.slab && first_channel < place.width;
  if (tiling.group == 1) {
    if (holds_sums) {
      LPW_UNROLL
      for (int j = 0; j < N; ++j) {
        values[first_channel + j] = sums.first[j];
        values[width + first_channel + j] = sums.second[j];
      }
    }
    __syncthreads();
    for (int c = thread; c < place.width; c += member_threads) {
      const Coefficients result = finish(c, values[c], values[width + c]);
      values[c] = result.first;
      values[width + c] = result.second;
    }
    __syncthreads();
    return;
  }

  float *partial = workspace, *combined = workspace + 2 * width * tiling.group;
  if (holds_sums) {
    LPW_UNROLL
    for (int j = 0; j < N; ++j) {
      store_fresh(partial + (first_channel + j) * tiling.group + place.rank, sums.first[j]);
      store_fresh(partial + (width + first_channel + j) * tiling.group + place.rank, sums.second[j]);
    }
  }
  group_barrier(barrier, static_cast<unsigned>(tiling.group), static_cast<unsigned>(place.rank));
  const int lane = thread % tiling.lanes, teams = tiling.group * (member_threads / tiling.lanes);
  for (int base = 0; base < place.width; base += teams) {
    const int c = base + (place.rank * member_threads + thread) / tiling.lanes;
    float count = 0, first = 0, second = 0;
    for (int block = lane; block < tiling.group && c < place.width; block += tiling.lanes) {
      const float rows = static_cast<float>(tiling.rows_of(block));
      const Merge merge(count, rows);
      merge(first, second, load_fresh(partial + c * tiling.group + block),
            load_fresh(partial + (width + c) * tiling.group + block));
      count += rows;
    }
    for (int mask = 1; mask < tiling.lanes; mask *= 2) {
      const float other = shuffle_xor(count, mask), other_first = shuffle_xor(first, mask),
                  other_second = shuffle_xor(second, mask);
      const Merge merge(count, other);
      merge(first, second, other_first, other_second);
      count += other;
    }
    if (lane == 0 && c < place.width) {
      const Coefficients result = finish(c, first, second);
      store_fresh(combined + c, result.first);
      store_fresh(combined + width + c, result.second);
    }
  }
  group_barrier(barrier, static_cast<unsigned>(tiling.group), static_cast<unsigned>(place.rank));
  for (int c = thread; c < place.width; c += member_threads) {
    values[c] = load_fresh(combined + c);
    values[width + c] = load_fresh(combined + width + c);
  }
  __syncthreads();
}

/// This thread's N neighbouring numbers from `first` on; zeros for a thread without steps.
template <int N>
struct Channels {
  float value[N] = {};

  __device__ __forceinline__ Channels(const float* first, const MemberPlace& place) {
    if (place.steps == 0) return;
    LPW_UNROLL
    for (int j = 0; j < N; ++j) value[j] = first[place.column * N + j];
  }
  __device__ __forceinline__ float operator[](int j) const { return value[j]; }
};

}  // namespace lpw::inline LPW_ABI::kernels
