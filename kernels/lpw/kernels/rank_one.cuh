// Per-member channel scales, the factors of rank-1 late-phase weights: y = x s_k, and in one read of x and dy both dx =
// dy s_k and ds_k = the sum over the rows of x dy; with ones for x that is the gradient of a bias. Blocks leave partial
// sums; the last of them to arrive adds these up in fixed order, so no block waits for another and the result does not
// depend on their order.
#pragma once

#include <lpw/kernels/channel_map.cuh>

namespace lpw::inline LPW_ABI::kernels {

template <class T>
struct ScaleChannels {
  const T* x;                  // (member, row, channel); for a backward step without factor gradient, dy
  T* y;                        // may be x
  const float* factor;         // (member, channel)
  std::int64_t factor_stride;  // elements from member to member; 0: shared
  bool accumulate;             // add to y
  MemberTiling tiling;
};

/// y = x factor. N is widest<T>, or 1 if C is not a multiple of that or an address of x or y not aligned to 16 bytes.
template <class T, int N>
__global__ void __launch_bounds__(member_threads, row_blocks) scale_channels(const ScaleChannels<T> p) {
  for (int item = static_cast<int>(blockIdx.x) / p.tiling.group; item < p.tiling.items(); item += p.tiling.groups) {
    const MemberPlace place = MemberPlace::of(p.tiling, item);
    const auto factor = load_coefficients<N>(p.factor, p.factor_stride, place);
    map_rows<N>(place, p.x, p.y, p.accumulate,
                [&](float x, float before, int j) { return fmaf(x, factor[j], before); });
  }
}

template <class T>
struct ScaleChannelsBackward {
  const T *x, *dy;      // (member, row, channel); x null: ones, for the gradient of a bias
  const float* factor;  // (member, channel), for dx
  T* dx;                // like dy; null: not wanted
  float* dfactor;       // (member, channel)
  std::int64_t factor_stride,
      dfactor_stride;              // elements from member to member; 0: shared, its gradient summed over the members
  bool add_to_dx, add_to_dfactor;  // instead of overwriting
  float* partial;                  // (member, block of tiling.group, channel): workspace
  unsigned* arrivals;              // (member, slab): zero at the start, zero again at the end
  MemberTiling tiling;
};

namespace detail {

/// Sums of x dy over this thread's rows; writes dx on the way.
template <int N, class T>
[[nodiscard]] __device__ __forceinline__ RowSums<N> factor_sums(const ScaleChannelsBackward<T>& p,
                                                                const MemberPlace& place) {
  struct Row {
    Vector<T, N> x, dy, before;
  };
  Vector<float, N> factor = {};
  if (p.dx) factor = load_coefficients<N>(p.factor, p.factor_stride, place);
  Vector<T, N> ones;
  LPW_UNROLL
  for (int j = 0; j < N; ++j) ones[j] = T(1.f);
  RowSums<N> sums;
  sweep<2>(
      place.steps,
      [&](int step) {
        const std::int64_t at = place.element(step);
        return Row{p.x ? load_vector<N>(p.x + at) : ones, load_vector<N>(p.dy + at),
                   p.dx && p.add_to_dx ? load_vector<N>(p.dx + at) : Vector<T, N>{}};
      },
      [&](int step, const Row& row) {
        Vector<T, N> dx;
        LPW_UNROLL
        for (int j = 0; j < N; ++j) {
          sums.first[j] = fmaf(float(row.x[j]), float(row.dy[j]), sums.first[j]);
          dx[j] = T(fmaf(float(row.dy[j]), factor[j], float(row.before[j])));
        }
        if (p.dx) store_vector(p.dx + place.element(step), dx);
      });
  return sums;
}

/// Sums of `rows` partial sums that other blocks have left, C floats apart, over this thread's share of them.
template <int N>
[[nodiscard]] __device__ __forceinline__ RowSums<N> partial_sums(const MemberTiling& tiling, const MemberPlace& place,
                                                                 const float* partial, int rows) {
  const int row = static_cast<int>(threadIdx.x) / tiling.slab, first = place.column * N;
  const bool works = row < tiling.pass() && row < rows && first < place.width;
  RowSums<N> sums;
  sweep<2>(
      works ? (rows - row + tiling.pass() - 1) / tiling.pass() : 0,
      [&](int step) {
        const std::int64_t at = static_cast<std::int64_t>(row + step * tiling.pass()) * tiling.channels;
        return load_floats<N, Cache::fresh>(partial + at + place.channel + first);
      },
      [&](int, const Vector<float, N>& value) {
        LPW_UNROLL
        for (int j = 0; j < N; ++j) sums.first[j] += value[j];
      });
  return sums;
}

}  // namespace detail

/// dfactor = the sum over the rows of x dy, and dx = dy factor. N is that of dy and, where they are given, x and dx.
/// Shared memory: tiling.scratch_floats() floats and one word.
template <class T, int N>
__global__ void __launch_bounds__(member_threads, member_blocks)
    scale_channels_backward(const ScaleChannelsBackward<T> p) {
  const MemberTiling& tiling = p.tiling;
  SharedMemory memory;
  float* scratch = memory.take<float>(tiling.scratch_floats());
  unsigned* flag = memory.take<unsigned>(1);
  for (int item = static_cast<int>(blockIdx.x) / tiling.group; item < tiling.items(); item += tiling.groups) {
    const MemberPlace place = MemberPlace::of(tiling, item);
    const bool holds_sums = static_cast<int>(threadIdx.x) < tiling.slab && place.column * N < place.width,
               shared = p.dfactor_stride == 0;
    auto sums = detail::factor_sums<N>(p, place);
    reduce_rows<AddSums>(tiling, sums, scratch);
    const int parts = shared ? tiling.members * tiling.group : tiling.group;
    if (parts > 1) {
      float* partial =
          p.partial + (shared ? 0 : static_cast<std::int64_t>(place.member) * tiling.group * tiling.channels);
      if (holds_sums) {
        const std::int64_t part = shared ? place.member * tiling.group + place.rank : place.rank;
        Vector<float, N> mine;
        LPW_UNROLL
        for (int j = 0; j < N; ++j) mine[j] = sums.first[j];
        store_floats<Cache::fresh>(partial + part * tiling.channels + place.channel + place.column * N, mine);
      }
      if (!arrives_last(p.arrivals + (shared ? place.slab : item), static_cast<unsigned>(parts), flag)) continue;
      sums = detail::partial_sums<N>(tiling, place, partial, parts);
      reduce_rows<AddSums>(tiling, sums, scratch);
    }
    if (holds_sums) {
      float* to = p.dfactor + place.member * p.dfactor_stride + place.channel + place.column * N;
      LPW_UNROLL
      for (int j = 0; j < N; ++j) to[j] = p.add_to_dfactor ? to[j] + sums.first[j] : sums.first[j];
    }
    __syncthreads();  // the next item writes scratch
  }
}

}  // namespace lpw::inline LPW_ABI::kernels
