// Group norm, and layer norm as its case of one group and one place: primitives/group_norm.hpp has the formulas.
//
// A team of threads, a warp or for many elements the block, takes a group of a sample: C / G neighbouring channels at
// each of P places. It reads them three times, for the mean, for the deviations from it, which a large mean then costs
// no digits, and to normalise; the caches serve the last two. The parameters' gradients are sums over the rows of a
// member, walked as in rank_one.cuh.
#pragma once

#include <cmath>

#include <lpw/kernels/channel_map.cuh>

namespace lpw::inline LPW_ABI::kernels {

/// x as (member, sample, place, channel), and how its groups are shared out.
struct GroupTiling {
  int members, samples, places, channels, groups;
  bool block_per_group;  // else a warp

  [[nodiscard]] LPW_HOST_DEVICE constexpr int width() const { return channels / groups; }
  [[nodiscard]] LPW_HOST_DEVICE constexpr int elements() const { return places * width(); }
  [[nodiscard]] LPW_HOST_DEVICE constexpr int team() const { return block_per_group ? element_threads : 32; }
  [[nodiscard]] LPW_HOST_DEVICE constexpr int teams() const { return element_threads / team(); }
  [[nodiscard]] LPW_HOST_DEVICE constexpr std::int64_t items() const {
    return static_cast<std::int64_t>(members) * samples * groups;
  }
};

template <class T>
struct GroupNormForward {
  const T* x;                              // (member, sample, place, channel)
  T* y;                                    // may be x
  const float *gamma, *beta;               // (member, channel)
  std::int64_t gamma_stride, beta_stride;  // elements from member to member; 0: shared
  float *mean, *inverse_deviation;         // (member, sample, group)
  float epsilon;
  GroupTiling tiling;
};

template <class T>
struct GroupNormBackward {
  const T *x, *dy;                        // (member, sample, place, channel)
  const float* gamma;                     // (member, channel)
  std::int64_t gamma_stride;              // elements from member to member; 0: shared
  const float *mean, *inverse_deviation;  // (member, sample, group)
  T* dx;                                  // like x
  bool add_to_dx;
  GroupTiling tiling;
};

template <class T>
struct GroupNormParameters {
  const T *x, *dy;                        // (member, sample, place, channel)
  const float *mean, *inverse_deviation;  // (member, sample, group)
  int places, group_channels, groups;
  float *dgamma, *dbeta;                     // (member, channel); null: not wanted
  std::int64_t dgamma_stride, dbeta_stride;  // elements from member to member; 0: shared, summed over the members
  bool add_to_dgamma, add_to_dbeta;
  float* partial;       // (member, block of tiling.group, 2, channel): workspace
  unsigned* arrivals;   // (slab): zero at the start, zero again at the end
  MemberTiling tiling;  // over the rows (sample, place) of a member
};

namespace detail {

/// Where a thread stands in an item, a group of a sample.
template <int N>
struct GroupPlace {
  int member, first_channel, width, channels;
  int rank, team, steps;
  std::int64_t first;  // the group's first element

  __device__ __forceinline__ GroupPlace(const GroupTiling& tiling, std::int64_t item)
      : width(tiling.width()),
        channels(tiling.channels),
        rank(static_cast<int>(threadIdx.x) % tiling.team()),
        team(tiling.team()),
        steps((tiling.elements() / N - rank + team - 1) / team) {
    const std::int64_t sample = item / tiling.groups;
    member = static_cast<int>(sample / tiling.samples);
    first_channel = static_cast<int>(item - sample * tiling.groups) * width;
    first = sample * tiling.places * channels + first_channel;
  }
  /// The channel, counted within the group, of this thread's vector number `step`, and its element.
  [[nodiscard]] __device__ __forceinline__ int channel(int step) const { return (rank + step * team) * N % width; }
  [[nodiscard]] __device__ __forceinline__ std::int64_t element(int step) const {
    const int at = (rank + step * team) * N, place = at / width;
    return first + static_cast<std::int64_t>(place) * channels + (at - place * width);
  }
};

/// Calls body(item) for this thread's team's items.
template <class Body>
__device__ __forceinline__ void for_each_group(const GroupTiling& tiling, Body body) {
  const std::int64_t stride = static_cast<std::int64_t>(gridDim.x) * tiling.teams();
  for (std::int64_t item =
           static_cast<std::int64_t>(blockIdx.x) * tiling.teams() + static_cast<int>(threadIdx.x) / tiling.team();
       item < tiling.items(); item += stride)
    body(item);
}

/// The sum over the team of two numbers of each thread.
[[nodiscard]] __device__ __forceinline__ Coefficients team_sums(float first, float second, bool block_per_group,
                                                                float* scratch) {
  if (!block_per_group) return {warp_sum(first), warp_sum(second)};
  return {block_sum(first, scratch), block_sum(second, scratch)};
}

/// Mean and variance of an item. The first sum is of distances from its first element, the second of those from the
/// mean that this gives, with what its rounding leaves.
template <int N, class T>
[[nodiscard]] __device__ __forceinline__ Coefficients group_moments(const T* x, const GroupPlace<N>& place,
                                                                    const GroupTiling& tiling, float* scratch) {
  const float count = static_cast<float>(tiling.elements()), start = float(x[place.first]);
  const auto load = [&](int step) { return load_vector<N>(x + place.element(step)); };
  float sum = 0, square = 0;
  sweep<4>(place.steps, load, [&](int, const Vector<T, N>& in) {
    LPW_UNROLL
    for (int j = 0; j < N; ++j) sum += float(in[j]) - start;
  });
  const float mean = start + team_sums(sum, 0.f, tiling.block_per_group, scratch).first / count;
  sum = 0;
  sweep<4>(place.steps, load, [&](int, const Vector<T, N>& in) {
    LPW_UNROLL
    for (int j = 0; j < N; ++j) {
      const float distance = float(in[j]) - mean;
      sum += distance;
      square = fmaf(distance, distance, square);
    }
  });
  const Coefficients sums = team_sums(sum, square, tiling.block_per_group, scratch);
  const float rest = sums.first / count, variance = sums.second / count - rest * rest;
  return {mean + rest, variance > 0.f || variance != variance ? variance : 0.f};
}

/// N neighbouring channels' parameters.
template <int N>
[[nodiscard]] __device__ __forceinline__ Vector<float, N> channel_parameters(const float* first) {
  Vector<float, N> result;
  LPW_UNROLL
  for (int j = 0; j < N; ++j) result[j] = first[j];
  return result;
}

}  // namespace detail

/// y = gamma (x - mean) / sqrt(variance + epsilon) + beta. N is widest<T>, or 1 if the channels of a group are not a
/// multiple of that or an address not aligned to 16 bytes. Shared memory: element_threads / 32 floats.
template <class T, int N>
__global__ void __launch_bounds__(element_threads, element_blocks) group_norm_forward(const GroupNormForward<T> p) {
  SharedMemory memory;
  float* scratch = memory.take<float>(warp_count());
  detail::for_each_group(p.tiling, [&](std::int64_t item) {
    const detail::GroupPlace<N> place(p.tiling, item);
    const Coefficients moments = detail::group_moments(p.x, place, p.tiling, scratch);
    const float mean = moments.first, inverse = 1.f / sqrtf(moments.second + p.epsilon);
    if (place.rank == 0) {
      p.mean[item] = mean;
      p.inverse_deviation[item] = inverse;
    }
    const float *gamma = p.gamma + place.member * p.gamma_stride + place.first_channel,
                *beta = p.beta + place.member * p.beta_stride + place.first_channel;
    sweep<2>(
        place.steps, [&](int step) { return load_vector<N>(p.x + place.element(step)); },
        [&](int step, const Vector<T, N>& in) {
          const auto scale = detail::channel_parameters<N>(gamma + place.channel(step)),
                     shift = detail::channel_parameters<N>(beta + place.channel(step));
          Vector<T, N> y;
          LPW_UNROLL
          for (int j = 0; j < N; ++j) y[j] = T(fmaf(float(in[j]) - mean, scale[j] * inverse, shift[j]));
          store_vector(p.y + place.element(step), y);
        });
  });
}

/// dx = inverse (g - mean(g) - (x - mean) slope) with g = dy gamma. N and shared memory as above.
template <class T, int N>
__global__ void __launch_bounds__(element_threads, element_blocks) group_norm_backward(const GroupNormBackward<T> p) {
  struct Row {
    Vector<T, N> x, dy;
  };
  SharedMemory memory;
  float* scratch = memory.take<float>(warp_count());
  detail::for_each_group(p.tiling, [&](std::int64_t item) {
    const detail::GroupPlace<N> place(p.tiling, item);
    const float mean = p.mean[item], inverse = p.inverse_deviation[item],
                count = static_cast<float>(p.tiling.elements());
    const float* gamma = p.gamma + place.member * p.gamma_stride + place.first_channel;
    const auto load = [&](int step) {
      const std::int64_t at = place.element(step);
      return Row{load_vector<N>(p.x + at), load_vector<N>(p.dy + at)};
    };
    float sum = 0, product = 0;
    sweep<2>(place.steps, load, [&](int step, const Row& row) {
      const auto scale = detail::channel_parameters<N>(gamma + place.channel(step));
      LPW_UNROLL
      for (int j = 0; j < N; ++j) {
        const float g = float(row.dy[j]) * scale[j];
        sum += g;
        product = fmaf(g, float(row.x[j]) - mean, product);
      }
    });
    const Coefficients sums = detail::team_sums(sum, product, p.tiling.block_per_group, scratch);
    const float mean_g = sums.first / count, slope = sums.second / count * inverse * inverse;
    for (int step = 0; step < place.steps; ++step) {
      const Row row = load(step);
      const auto scale = detail::channel_parameters<N>(gamma + place.channel(step));
      T* to = p.dx + place.element(step);
      Vector<float, N> dx = {};
      if (p.add_to_dx) dx = load_floats<N>(to);
      LPW_UNROLL
      for (int j = 0; j < N; ++j)
        dx[j] += inverse * (float(row.dy[j]) * scale[j] - mean_g - (float(row.x[j]) - mean) * slope);
      store_floats(to, dx);
    }
  });
}

namespace detail {

/// Sums of dy and dy (x - mean) inverse over this thread's rows.
template <class T, int N>
[[nodiscard]] __device__ __forceinline__ RowSums<N> parameter_sums(const GroupNormParameters<T>& p,
                                                                   const MemberPlace& place) {
  struct Row {
    Vector<T, N> x, dy;
    float mean, inverse;
  };
  const int row = static_cast<int>(threadIdx.x) / p.tiling.slab,
            group = (place.channel + place.column * N) / p.group_channels;
  const std::int64_t first = static_cast<std::int64_t>(place.rank) * p.tiling.chunk + row,
                     samples = static_cast<std::int64_t>(place.member) * (p.tiling.rows / p.places);
  RowSums<N> sums;
  sweep<2>(
      place.steps,
      [&](int step) {
        const int in_member = static_cast<int>(first) + step * p.tiling.pass();
        const std::int64_t at = place.element(step), sample = (samples + in_member / p.places) * p.groups + group;
        return Row{load_vector<N>(p.x + at), load_vector<N>(p.dy + at), p.mean[sample], p.inverse_deviation[sample]};
      },
      [&](int, const Row& in) {
        LPW_UNROLL
        for (int j = 0; j < N; ++j) {
          sums.first[j] += float(in.dy[j]);
          sums.second[j] = fmaf(float(in.dy[j]), (float(in.x[j]) - in.mean) * in.inverse, sums.second[j]);
        }
      });
  return sums;
}

/// Writes what one member's blocks, or all members', have left for channel `channel`.
template <class T>
__device__ __forceinline__ void put_parameter_sums(const GroupNormParameters<T>& p, int member, int channel,
                                                   bool shared, float* to, std::int64_t stride, bool add, int which) {
  if (!to || shared != (stride == 0)) return;
  const int first = shared ? 0 : member * p.tiling.group,
            parts = shared ? p.tiling.members * p.tiling.group : p.tiling.group;
  float sum = 0;
  sweep<4>(
      parts,
      [&](int part) {
        return load_fresh(p.partial + (2 * static_cast<std::int64_t>(first + part) + which) * p.tiling.channels +
                          channel);
      },
      [&](int, float value) { sum += value; });
  to += (shared ? 0 : member * stride) + channel;
  *to = add ? *to + sum : sum;
}

}  // namespace detail

/// dgamma = the sum over a member's rows of dy (x - mean) inverse, dbeta that of dy. The block that finishes a slab of
/// the last member adds up what the blocks have left, in order. N as above. Shared memory: tiling.scratch_floats()
/// floats and one word.
template <class T, int N>
__global__ void __launch_bounds__(member_threads, member_blocks) group_norm_parameters(const GroupNormParameters<T> p) {
  const MemberTiling& tiling = p.tiling;
  SharedMemory memory;
  float* scratch = memory.take<float>(tiling.scratch_floats());
  unsigned* flag = memory.take<unsigned>(1);
  for (int item = static_cast<int>(blockIdx.x) / tiling.group; item < tiling.items(); item += tiling.groups) {
    const MemberPlace place = MemberPlace::of(tiling, item);
    auto sums = detail::parameter_sums<T, N>(p, place);
    reduce_rows<AddSums>(tiling, sums, scratch);
    if (static_cast<int>(threadIdx.x) < tiling.slab && place.column * N < place.width) {
      const std::int64_t part = static_cast<std::int64_t>(place.member) * tiling.group + place.rank;
      float* left = p.partial + 2 * part * tiling.channels + place.channel + place.column * N;
      LPW_UNROLL
      for (int j = 0; j < N; ++j) {
        store_fresh(left + j, sums.first[j]);
        store_fresh(left + tiling.channels + j, sums.second[j]);
      }
    }
    if (arrives_last(p.arrivals + place.slab, static_cast<unsigned>(tiling.members * tiling.group), flag))
      for (int c = static_cast<int>(threadIdx.x); c < place.width; c += member_threads) {
        const int channel = place.channel + c;
        for (int member = 0; member < tiling.members; ++member) {
          detail::put_parameter_sums(p, member, channel, false, p.dbeta, p.dbeta_stride, p.add_to_dbeta, 0);
          detail::put_parameter_sums(p, member, channel, false, p.dgamma, p.dgamma_stride, p.add_to_dgamma, 1);
        }
        detail::put_parameter_sums(p, 0, channel, true, p.dbeta, p.dbeta_stride, p.add_to_dbeta, 0);
        detail::put_parameter_sums(p, 0, channel, true, p.dgamma, p.dgamma_stride, p.add_to_dgamma, 1);
      }
    __syncthreads();  // the next item writes scratch
  }
}

}  // namespace lpw::inline LPW_ABI::kernels
