// Batch norm per member and channel over x [K, M, C], fused with residual add, ReLU and the update of the running
// statistics.
//
// One kernel forward and one backward serve every size; lpw/cuda/plans/batch_norm.hpp chooses the tiling. Each keeps
// the first rows of a block's chunk in shared memory and reads the others twice, the second time in reverse, while the
// L2 cache still has the last of them: a chunk that fits is read once. Statistics are formed as mean and M2 from sums
// shifted by each thread's first row, so a large mean costs no digits, and merge in fixed order. ReLU's mask is never
// stored: backward recomputes it with the forward's explicit fma. The mean is subtracted before anything is scaled:
// scale mean would round in a shift.
#pragma once

#include <cmath>

#include <lpw/kernels/member_rows.cuh>

namespace lpw::inline LPW_ABI::kernels {

/// Global memory that blocks combine their sums in.
struct MemberWorkspace {
  float* group_sums;         // (group, tiling.group_floats())
  float* member_sums;        // (member, 2, channel): needed if gradients are summed over members
  unsigned* group_barriers;  // (group), zero at the start, left as it is afterwards
  unsigned* slab_arrivals;   // (slab), zero at the start, zero again at the end

  /// What is one group's; null where a group is one block, which needs neither.
  [[nodiscard]] __device__ __forceinline__ float* sums_of(const MemberTiling& tiling, int group) const {
    return tiling.group == 1 ? nullptr : group_sums + static_cast<std::int64_t>(group) * tiling.group_floats();
  }
  [[nodiscard]] __device__ __forceinline__ unsigned* barrier_of(const MemberTiling& tiling, int group) const {
    return tiling.group == 1 ? nullptr : group_barriers + group;
  }
};

template <class T>
struct BatchNormForward {
  const T* x;         // (member, row, channel)
  const T* residual;  // like x; null: none
  T* y;               // like x; null: only the statistics and the map are wanted

  const float *gamma, *beta;                        // (member, channel)
  std::int64_t gamma_stride, beta_stride;           // elements from member to member; 0: shared
  float *running_mean, *running_variance;           // (member, channel); null: none to update
  std::int64_t mean_stride, variance_stride;        // of the running ones, elements from member to member
  float *mean, *inverse_deviation, *scale, *shift;  // (member, channel), written: what backward needs; shift is beta

  float epsilon, momentum;
  bool relu;
  bool batch_statistics;  // false, for evaluation: normalise by the running statistics and leave them
  bool pooled;            // running statistics become those of all rows so far, of which these are the share `momentum`
  MemberTiling tiling;
  MemberWorkspace workspace;
};

template <class T>
struct BatchNormBackward {
  const T *x, *dy;                                        // (member, row, channel)
  const T* residual;                                      // like x, of a forward with residual and ReLU; else null
  const float *mean, *inverse_deviation, *scale, *shift;  // (member, channel), of the forward

  T* dx;                                     // like x; null: not wanted
  T* dresidual;                              // like x; null: not wanted
  float *dgamma, *dbeta;                     // (member, channel); null: not wanted
  std::int64_t dgamma_stride, dbeta_stride;  // elements from member to member; 0: summed over the members
  bool add_to_dx, add_to_dresidual, add_to_dgamma, add_to_dbeta;  // instead of overwriting
  bool relu, batch_statistics;                                    // as in the forward
  double* sums;         // (member, 2, channel): `weight` times the sums of g and of g (x - mean); null: not wanted
  const double* known;  // (member, 2, channel): these sums, as dx is to have them; null: those found here
  double weight;
  MemberTiling tiling;
  MemberWorkspace workspace;
};

namespace detail {

template <class T, int N>
__device__ __forceinline__ void store_result(T* to, const Vector<T, N>& value, bool streaming) {
  if (streaming) {
    store_vector<Cache::streaming>(to, value);
  } else {
    store_vector(to, value);
  }
}

/// Mean and M2 of this thread's rows; those that stay resident are in `tile` afterwards.
template <class T, int N>
__device__ __forceinline__ RowSums<N> row_moments(const T* x, Vector<T, N>* tile, const MemberTiling& tiling,
                                                  const MemberPlace& place) {
  RowSums<N> sums;
  const int resident = place.resident(tiling);
  LPW_UNROLL
  for (int stage = 0; stage < tile_stage_count; ++stage) {
    copy_tile_stage(x, tile, place, tile_stage(resident, stage), tile_stage(resident, stage + 1));
    commit_copies();
  }
  float origin[N] = {};
  if (place.steps > 0) {
    const auto first = load_vector<N>(x + place.offset);
    LPW_UNROLL
    for (int j = 0; j < N; ++j) origin[j] = float(first[j]);
  }
  const auto add = [&](const Vector<T, N>& row) {
    LPW_UNROLL
    for (int j = 0; j < N; ++j) {
      const float distance = float(row[j]) - origin[j];
      sums.first[j] += distance;
      sums.second[j] = fmaf(distance, distance, sums.second[j]);
    }
  };
  sweep<4>(
      place.steps - resident, [&](int i) { return load_vector<N>(x + place.element(resident + i)); },
      [&](int, const Vector<T, N>& row) { add(row); });
  visit_tile(resident, [&](int step) { add(tile[step * member_threads + threadIdx.x]); });
  if (place.steps > 0) {
    sums.count = static_cast<float>(place.steps);
    const float inverse = 1.f / sums.count;
    LPW_UNROLL
    for (int j = 0; j < N; ++j) {
      const float mean = sums.first[j] * inverse;
      sums.second[j] = fmaxf(sums.second[j] - sums.first[j] * mean, 0.f);
      sums.first[j] = origin[j] + mean;
    }
  }
  return sums;
}

/// Momentum 1 is a new beginning: 0 times a NaN of before would stay NaN.
__device__ __forceinline__ void move_running(float& running, float value, float momentum) {
  running = momentum == 1.f ? value : fmaf(momentum, value, (1.f - momentum) * running);
}

/// Writes what one channel's statistics determine; returns mean and scale.
template <class T>
__device__ __forceinline__ Coefficients finish_moments(const BatchNormForward<T>& p, int member, int channel,
                                                       float mean, float variance) {
  const std::int64_t at = static_cast<std::int64_t>(member) * p.tiling.channels + channel;
  const float inverse = 1.f / sqrtf(variance + p.epsilon), scale = p.gamma[member * p.gamma_stride + channel] * inverse;
  p.mean[at] = mean;
  p.inverse_deviation[at] = inverse;
  p.scale[at] = scale;
  p.shift[at] = p.beta[member * p.beta_stride + channel];
  if (p.batch_statistics && p.running_mean) {
    float &running_mean = p.running_mean[member * p.mean_stride + channel],
          &running_variance = p.running_variance[member * p.variance_stride + channel];
    const float rows = static_cast<float>(p.tiling.rows);
    if (p.pooled) {
      const float distance = mean - running_mean;  // the variance is that of Chan, Golub, LeVeque 1979
      if (p.momentum != 1.f) running_variance = fmaf(p.momentum * distance, distance, running_variance);
      move_running(running_mean, mean, p.momentum);
      move_running(running_variance, variance, p.momentum);
    } else {
      move_running(running_mean, mean, p.momentum);
      move_running(running_variance, p.tiling.rows > 1 ? variance * (rows / (rows - 1.f)) : variance, p.momentum);
    }
  }
  return {mean, scale};
}

/// y = relu?(scale (x - mean) + shift + residual): the rows that are read again first, in reverse.
template <class T, int N>
__device__ __forceinline__ void write_normalized(const BatchNormForward<T>& p, const Vector<T, N>* tile,
                                                 const MemberPlace& place, const Channels<N>& mean,
                                                 const Channels<N>& scale, const Channels<N>& shift, int resident) {
  struct Row {
    Vector<T, N> x, residual;
  };
  const auto write = [&](int step, const Row& row) {
    Vector<T, N> y;
    LPW_UNROLL
    for (int j = 0; j < N; ++j) {
      float z = fmaf(float(row.x[j]) - mean[j], scale[j], shift[j]);
      if (p.residual) z += float(row.residual[j]);
      y[j] = T(p.relu && z <= 0.f ? 0.f : z);
    }
    store_result(p.y + place.element(step), y, p.tiling.streaming);
  };
  const auto residual_of = [&](int step) {
    return p.residual ? load_vector<N>(p.residual + place.element(step)) : Vector<T, N>{};
  };
  const auto reversed = [&](int i) { return place.steps - 1 - i; };
  sweep<4>(
      place.steps - resident,
      [&](int i) {
        return Row{load_vector<N, Cache::streaming>(p.x + place.element(reversed(i))), residual_of(reversed(i))};
      },
      [&](int i, const Row& row) { write(reversed(i), row); });
  sweep<4>(
      resident,
      [&](int step) {
        return Row{tile[step * member_threads + threadIdx.x], residual_of(step)};
      },
      write);
}

}  // namespace detail

/// Statistics of x, or those given, and y = relu?(gamma (x - mean) / sqrt(variance + epsilon) + beta + residual). N is
/// widest<T> or 1.
template <class T, int N>
__global__ void __launch_bounds__(member_threads, member_blocks) batch_norm_forward(const BatchNormForward<T> p) {
  const MemberTiling& tiling = p.tiling;
  SharedMemory memory;
  float* scratch = memory.take<float>(tiling.scratch_floats());
  float* values = memory.take<float>(2 * tiling.width());
  auto* tile = memory.take<Vector<T, N>>(tiling.tile_vectors());
  const int group = static_cast<int>(blockIdx.x) / tiling.group;
  float* const group_sums = p.workspace.sums_of(tiling, group);
  unsigned* const group_barrier = p.workspace.barrier_of(tiling, group);

  for (int item = group; item < tiling.items(); item += tiling.groups) {
    const MemberPlace place = MemberPlace::of(tiling, item);
    if (p.batch_statistics) {
      auto sums = detail::row_moments<T, N>(p.x, tile, tiling, place);
      reduce_rows<MergeMoments>(tiling, sums, scratch);
      combine_channels<MergeMoments>(tiling, place, sums, values, group_sums, group_barrier,
                                     [&](int c, float mean, float m2) {
                                       return detail::finish_moments(p, place.member, place.channel + c, mean,
                                                                     m2 / static_cast<float>(tiling.rows));
                                     });
    } else {
      __syncthreads();
      for (int c = static_cast<int>(threadIdx.x); c < place.width; c += member_threads) {
        const int channel = place.channel + c;
        const float mean = p.running_mean[place.member * p.mean_stride + channel],
                    variance = p.running_variance[place.member * p.variance_stride + channel];
        const Coefficients map = detail::finish_moments(p, place.member, channel, mean, variance);
        values[c] = map.first;
        values[tiling.width() + c] = map.second;
      }
      __syncthreads();
    }
    if (!p.y) continue;
    const Channels<N> mean(values, place), scale(values + tiling.width(), place);
    const Channels<N> shift(p.beta + place.member * p.beta_stride + place.channel, place);
    detail::write_normalized(p, tile, place, mean, scale, shift, p.batch_statistics ? place.resident(tiling) : 0);
  }
}

namespace detail {

/// What backward reads of one vector of a row.
template <class T, int N>
struct GradientRow {
  Vector<T, N> x, dy, residual;
};

template <class T, int N>
__device__ __forceinline__ GradientRow<T, N> load_gradient_row(const BatchNormBackward<T>& p, std::int64_t at) {
  return {load_vector<N>(p.x + at), load_vector<N>(p.dy + at),
          p.residual ? load_vector<N>(p.residual + at) : Vector<T, N>{}};
}

/// dy where the forward's ReLU was open, else 0.
template <class T, int N>
__device__ __forceinline__ Vector<T, N> masked(const BatchNormBackward<T>& p, const GradientRow<T, N>& row,
                                               const Channels<N>& mean, const Channels<N>& scale,
                                               const Channels<N>& shift) {
  if (!p.relu) return row.dy;
  Vector<T, N> g;
  LPW_UNROLL
  for (int j = 0; j < N; ++j) {
    float z = fmaf(float(row.x[j]) - mean[j], scale[j], shift[j]);
    if (p.residual) z += float(row.residual[j]);
    g[j] = z > 0.f ? row.dy[j] : T(0.f);
  }
  return g;
}

template <class T, int N>
__device__ __forceinline__ void write_residual_gradient(const BatchNormBackward<T>& p, std::int64_t at,
                                                        Vector<T, N> g) {
  if (p.add_to_dresidual) {
    const auto before = load_vector<N>(p.dresidual + at);
    LPW_UNROLL
    for (int j = 0; j < N; ++j) g[j] = T(float(g[j]) + float(before[j]));
  }
  store_vector(p.dresidual + at, g);
}

/// Sums of g and g (x - mean) over this thread's rows, g the masked dy; x and g of the resident rows are in the tiles
/// afterwards.
template <class T, int N>
__device__ __forceinline__ RowSums<N> row_gradients(const BatchNormBackward<T>& p, Vector<T, N>* x_tile,
                                                    Vector<T, N>* g_tile, const MemberPlace& place,
                                                    const Channels<N>& mean, const Channels<N>& scale,
                                                    const Channels<N>& shift) {
  RowSums<N> sums;
  const int resident = place.resident(p.tiling);
  LPW_UNROLL
  for (int stage = 0; stage < tile_stage_count; ++stage) {
    copy_tile_stage(p.x, x_tile, place, tile_stage(resident, stage), tile_stage(resident, stage + 1));
    copy_tile_stage(p.dy, g_tile, place, tile_stage(resident, stage), tile_stage(resident, stage + 1));
    commit_copies();
  }
  const auto add = [&](int step, const GradientRow<T, N>& row) {
    const auto g = masked(p, row, mean, scale, shift);
    LPW_UNROLL
    for (int j = 0; j < N; ++j) {
      sums.first[j] += float(g[j]);
      sums.second[j] = fmaf(float(g[j]), float(row.x[j]) - mean[j], sums.second[j]);
    }
    if (p.dresidual) write_residual_gradient(p, place.element(step), g);
    return g;
  };
  sweep<2>(
      place.steps - resident, [&](int i) { return load_gradient_row<T, N>(p, place.element(resident + i)); },
      [&](int i, const GradientRow<T, N>& row) { static_cast<void>(add(resident + i, row)); });
  visit_tile(resident, [&](int step) {
    const int slot = step * member_threads + static_cast<int>(threadIdx.x);
    const auto residual = p.residual ? load_vector<N>(p.residual + place.element(step)) : Vector<T, N>{};
    g_tile[slot] = add(step, {x_tile[slot], g_tile[slot], residual});
  });
  return sums;
}

/// dx = scale (g - mean_g - (x - mean) slope): the rows that are read again first, in reverse.
template <class T, int N>
__device__ __forceinline__ void write_input_gradient(const BatchNormBackward<T>& p, const Vector<T, N>* x_tile,
                                                     const Vector<T, N>* g_tile, const MemberPlace& place,
                                                     const Channels<N>& mean, const Channels<N>& scale,
                                                     const Channels<N>& shift, const Channels<N>& mean_g,
                                                     const Channels<N>& slope) {
  const auto write = [&](int step, const Vector<T, N>& x, const Vector<T, N>& g) {
    T* to = p.dx + place.element(step);
    Vector<T, N> dx, before = {};
    if (p.add_to_dx) before = load_vector<N>(to);
    LPW_UNROLL
    for (int j = 0; j < N; ++j) {
      const float value = scale[j] * (float(g[j]) - mean_g[j] - (float(x[j]) - mean[j]) * slope[j]);
      dx[j] = T(p.add_to_dx ? float(before[j]) + value : value);
    }
    store_result(to, dx, p.tiling.streaming);
  };
  const int resident = place.resident(p.tiling);
  const auto reversed = [&](int i) { return place.steps - 1 - i; };
  const bool masked_before = p.dresidual && !p.add_to_dresidual;  // then this thread has just written g there
  sweep<2>(
      place.steps - resident,
      [&](int i) {
        const std::int64_t at = place.element(reversed(i));
        if (!masked_before) return load_gradient_row<T, N>(p, at);
        return GradientRow<T, N>{load_vector<N>(p.x + at), load_vector<N>(p.dresidual + at), {}};
      },
      [&](int i, const GradientRow<T, N>& row) {
        write(reversed(i), row.x, masked_before ? row.dy : masked(p, row, mean, scale, shift));
      });
  for (int step = 0; step < resident; ++step) {
    const int slot = step * member_threads + static_cast<int>(threadIdx.x);
    write(step, x_tile[slot], g_tile[slot]);
  }
}

__device__ __forceinline__ void put_gradient(float* to, float value, bool add) { *to = add ? *to + value : value; }

/// Writes one channel's sums and parameter gradients, or leaves these for sum_over_members(); returns mean_g and slope.
template <class T>
__device__ __forceinline__ Coefficients finish_gradients(const BatchNormBackward<T>& p, int member, int channel,
                                                         float sum, float product) {
  const std::int64_t at = static_cast<std::int64_t>(member) * p.tiling.channels + channel;
  const std::int64_t of_sums = at + static_cast<std::int64_t>(member) * p.tiling.channels;
  const float inverse = p.inverse_deviation[at];
  if (p.dgamma && p.dgamma_stride)
    put_gradient(p.dgamma + member * p.dgamma_stride + channel, product * inverse, p.add_to_dgamma);
  if (p.dbeta && p.dbeta_stride) put_gradient(p.dbeta + member * p.dbeta_stride + channel, sum, p.add_to_dbeta);
  if (p.workspace.member_sums) {
    float* sums = p.workspace.member_sums + of_sums;
    store_fresh(sums, product * inverse);
    store_fresh(sums + p.tiling.channels, sum);
  }
  if (p.sums) {
    p.sums[of_sums] = p.weight * double(sum);
    p.sums[of_sums + p.tiling.channels] = p.weight * double(product);
  }
  if (!p.batch_statistics) return {0.f, 0.f};
  if (p.known) {
    sum = static_cast<float>(p.known[of_sums]);
    product = static_cast<float>(p.known[of_sums + p.tiling.channels]);
  }
  const float rows = static_cast<float>(p.tiling.rows);
  return {sum / rows, product / rows * inverse * inverse};
}

/// The block that finishes the last member's slab adds up the members in order.
template <class T>
__device__ __forceinline__ void sum_over_members(const BatchNormBackward<T>& p, const MemberPlace& place,
                                                 unsigned* scratch) {
  const unsigned arrivals = static_cast<unsigned>(p.tiling.members * p.tiling.group);
  if (!arrives_last(p.workspace.slab_arrivals + place.slab, arrivals, scratch)) return;
  for (int c = static_cast<int>(threadIdx.x); c < place.width; c += member_threads) {
    const int channel = place.channel + c;
    const float* sums = p.workspace.member_sums + channel;
    float dgamma = 0, dbeta = 0;
    sweep<4>(
        p.tiling.members,
        [&](int member) {
          const float* at = sums + static_cast<std::int64_t>(2 * member) * p.tiling.channels;
          return Coefficients{load_fresh(at), load_fresh(at + p.tiling.channels)};
        },
        [&](int, const Coefficients& of) {
          dgamma += of.first;
          dbeta += of.second;
        });
    if (p.dgamma && !p.dgamma_stride) put_gradient(p.dgamma + channel, dgamma, p.add_to_dgamma);
    if (p.dbeta && !p.dbeta_stride) put_gradient(p.dbeta + channel, dbeta, p.add_to_dbeta);
  }
}

}  // namespace detail

/// Gradients of relu?(gamma (x - mean) inverse_deviation + beta + residual) from dy. N is widest<T> or 1.
template <class T, int N>
__global__ void __launch_bounds__(member_threads, member_blocks) batch_norm_backward(const BatchNormBackward<T> p) {
  const MemberTiling& tiling = p.tiling;
  SharedMemory memory;
  float* scratch = memory.take<float>(tiling.scratch_floats());
  float* values = memory.take<float>(2 * tiling.width());
  unsigned* flag = memory.take<unsigned>(1);
  auto* x_tile = memory.take<Vector<T, N>>(tiling.tile_vectors());
  auto* g_tile = memory.take<Vector<T, N>>(tiling.tile_vectors());
  const int group = static_cast<int>(blockIdx.x) / tiling.group;
  float* const group_sums = p.workspace.sums_of(tiling, group);
  unsigned* const group_barrier = p.workspace.barrier_of(tiling, group);

  for (int item = group; item < tiling.items(); item += tiling.groups) {
    const MemberPlace place = MemberPlace::of(tiling, item);
    const std::int64_t row = static_cast<std::int64_t>(place.member) * tiling.channels + place.channel;
    const Channels<N> mean(p.mean + row, place), scale(p.scale + row, place), shift(p.shift + row, place);
    auto sums = detail::row_gradients(p, x_tile, g_tile, place, mean, scale, shift);
    reduce_rows<AddSums>(tiling, sums, scratch);
    combine_channels<AddSums>(tiling, place, sums, values, group_sums, group_barrier,
                              [&](int c, float sum, float product) {
                                return detail::finish_gradients(p, place.member, place.channel + c, sum, product);
                              });
    if (p.workspace.member_sums) detail::sum_over_members(p, place, flag);
    if (!p.dx) continue;
    const Channels<N> mean_g(values, place), slope(values + tiling.width(), place);
    detail::write_input_gradient(p, x_tile, g_tile, place, mean, scale, shift, mean_g, slope);
  }
}

}  // namespace lpw::inline LPW_ABI::kernels
