// primitives/group_norm.hpp on the CPU, sample by sample: the second pass over a sample finds it in the cache.
//
// Moments are batch norm's: of each channel over blocks of places, shifted by the block's first, then merged in double.
// The parameters' gradients are sums over blocks of samples, cut by shape and added in order: the result does not
// depend on the number of threads.
#pragma once

#include <algorithm>
#include <cmath>
#include <vector>

#include <lpw/cpu/batch_norm.hpp>
#include <lpw/primitives/group_norm.hpp>

namespace lpw::inline LPW_ABI {

namespace detail {

/// Mean and sum of squared deviations from it of `count` values so far, to which more are merged by Chan's rule.
struct RunningMoments {
  double count = 0, mean = 0, m2 = 0;

  void merge(double n, double other_mean, double other_m2) {
    const double delta = other_mean - mean, share = n / (count + n);
    mean += delta * share;
    m2 += other_m2 + delta * delta * count * share;
    count += n;
  }
};

/// Those of `channels` channels whose own moments over `rows` rows are known.
[[nodiscard]] inline RunningMoments merged_channels(const double* mean, const double* m2, std::int64_t channels,
                                                    std::int64_t rows) {
  const double n = static_cast<double>(rows);
  double sum = 0, square = 0;
#pragma omp simd reduction(+ : sum)
  for (std::int64_t c = 0; c < channels; ++c) sum += mean[c];
  const double middle = sum / static_cast<double>(channels);
#pragma omp simd reduction(+ : square)
  for (std::int64_t c = 0; c < channels; ++c) square += m2[c] + n * (mean[c] - middle) * (mean[c] - middle);
  return {n * static_cast<double>(channels), middle, square};
}

/// The scratch of a thread: numbers for each channel of a sample.
template <class W>
struct GroupScratch {
  std::vector<W> shifted, first, second;  // [2 C] of block_moments; coefficients of channels [C]
  std::vector<double> mean, m2;           // [C]

  explicit GroupScratch(std::int64_t channels)
      : shifted(to_size(2 * channels)),
        first(to_size(channels)),
        second(to_size(channels)),
        mean(to_size(channels)),
        m2(to_size(channels)) {}
};

/// The places over which sums in W run.
[[nodiscard]] inline RowBlocks place_blocks(const SampleGroups& view) {
  constexpr std::int64_t length = 128;
  return {view.places, length, (view.places + length - 1) / length};
}

/// The moments of the groups of one sample x [P, C].
template <class T>
void sample_moments(const T* x, const SampleGroups& view, GroupScratch<Accumulate<T>>& scratch,
                    std::vector<RunningMoments>& moments) {
  const RowBlocks blocks = place_blocks(view);
  std::fill(moments.begin(), moments.end(), RunningMoments());
  for (std::int64_t b = 0; b < blocks.count; ++b) {
    const std::int64_t rows = blocks.last(b) - blocks.first(b);
    block_moments(x + blocks.first(b) * view.channels, rows, view.channels, scratch.shifted.data(), scratch.mean.data(),
                  scratch.m2.data());
    for (std::int64_t g = 0; g < view.groups; ++g) {
      const std::int64_t first = g * view.width();
      const auto block = merged_channels(scratch.mean.data() + first, scratch.m2.data() + first, view.width(), rows);
      moments[to_size(g)].merge(block.count, block.mean, block.m2);
    }
  }
}

/// to[c] = f(group) for the channels c of each group.
template <class W, class F>
void spread_groups(const SampleGroups& view, std::vector<W>& to, F f) {
  for (std::int64_t g = 0; g < view.groups; ++g)
    std::fill_n(to.begin() + g * view.width(), view.width(), static_cast<W>(f(g)));
}

/// How samples are cut into blocks, each of some 64 KB, within a member.
[[nodiscard]] inline RowBlocks sample_blocks(const SampleGroups& view) {
  const std::int64_t length = std::max<std::int64_t>(1, 16384 / std::max<std::int64_t>(view.sample_size(), 1));
  return {view.samples, length, (view.samples + length - 1) / length};
}

/// Calls f(member, sample of all, scratch, block of all) for all samples, in parallel by blocks.
template <class W, class F>
void for_each_sample(const SampleGroups& view, std::int64_t cost, F&& f) {
  const RowBlocks blocks = sample_blocks(view);
  parallel_runs(view.members * blocks.count, cost * blocks.length * view.sample_size(),
                [&](std::int64_t begin, std::int64_t end) {
                  GroupScratch<W> scratch(view.channels);
                  for (std::int64_t item = begin; item < end; ++item) {
                    const std::int64_t k = item / blocks.count, b = item % blocks.count;
                    for (std::int64_t s = blocks.first(b); s < blocks.last(b); ++s)
                      f(k, k * view.samples + s, scratch, item);
                  }
                });
}

}  // namespace detail

template <class T>
[[nodiscard]] GroupNormResult<T, Cpu> group_norm_forward(const Tensor<T, Cpu>& x,
                                                         const Tensor<Accumulate<T>, Cpu>& gamma,
                                                         const Tensor<Accumulate<T>, Cpu>& beta, std::int64_t groups,
                                                         double epsilon) {
  using W = Accumulate<T>;
  const auto view = SampleGroups::of(x.shape(), groups);
  const Shape statistics{view.members, view.samples, groups};
  GroupNormResult<T, Cpu> result{Tensor<T, Cpu>(x.shape()),
                                 {x, Tensor<W, Cpu>(statistics), Tensor<W, Cpu>(statistics)}};
  detail::for_each_sample<W>(view, 4, [&](std::int64_t k, std::int64_t i, auto& scratch, std::int64_t) {
    thread_local std::vector<detail::RunningMoments> moments;
    moments.resize(to_size(groups));
    const T* in = x.data() + i * view.sample_size();
    detail::sample_moments(in, view, scratch, moments);
    W *mean = result.saved.mean.data() + i * groups, *inverse = result.saved.inverse_deviation.data() + i * groups;
    for (std::int64_t g = 0; g < groups; ++g) {
      const auto& of = moments[to_size(g)];
      mean[g] = static_cast<W>(of.mean);
      inverse[g] = static_cast<W>(1 / std::sqrt(of.m2 / of.count + epsilon));
    }
    const W* scale = member_row(gamma, k);
    W* scaled = scratch.second.data();
    detail::spread_groups(view, scratch.first, [&](std::int64_t g) { return mean[g]; });
    detail::spread_groups(view, scratch.second, [&](std::int64_t g) { return inverse[g]; });
    for (std::int64_t c = 0; c < view.channels; ++c) scaled[c] *= scale[c];
    detail::apply_centred<false>(in, scratch.first.data(), scaled, member_row(beta, k), view.places, view.channels,
                                 result.y.data() + i * view.sample_size());
  });
  return result;
}

namespace detail {

/// Sums over the places of one sample of dy and dy (x - mean), [C] each, in double.
template <class T>
void sample_gradient_sums(const T* x, const T* dy, const SampleGroups& view, const Accumulate<T>* mean,
                          std::vector<Accumulate<T>>& scratch, double* sum, double* product) {
  using W = Accumulate<T>;
  const std::int64_t channels = view.channels;
  const RowBlocks blocks = place_blocks(view);
  std::fill_n(sum, channels, 0.0);
  std::fill_n(product, channels, 0.0);
  W *s = scratch.data(), *p = s + channels;
  for (std::int64_t b = 0; b < blocks.count; ++b) {
    std::fill_n(s, 2 * channels, W(0));
    for (std::int64_t r = blocks.first(b); r < blocks.last(b); ++r) {
      const T *in = x + r * channels, *d = dy + r * channels;
#pragma omp simd
      for (std::int64_t c = 0; c < channels; ++c) {
        s[c] += W(d[c]);
        p[c] += W(d[c]) * (W(in[c]) - mean[c]);
      }
    }
    for (std::int64_t c = 0; c < channels; ++c) {
      sum[c] += double(s[c]);
      product[c] += double(p[c]);
    }
  }
}

/// dx of one sample: inverse (dy gamma - a - (x - mean) b) with coefficients [C] of each channel.
template <class T, class W>
void sample_data_gradient(const T* x, const T* dy, const SampleGroups& view, const W* gamma, const W* mean,
                          const W* inverse, const W* a, const W* b, bool add, T* dx) {
  for (std::int64_t r = 0; r < view.places; ++r, x += view.channels, dy += view.channels, dx += view.channels)
    put_row(dx, view.channels, add,
            [=](std::int64_t c) { return inverse[c] * (W(dy[c]) * gamma[c] - a[c] - (W(x[c]) - mean[c]) * b[c]); });
}

/// Adds the sums of `blocks` blocks of each member, C of 2 C doubles of `partial` from `first` on, to a parameter's
/// gradient.
template <class W>
void add_block_sums(const Tensor<double, Cpu>& partial, std::int64_t blocks, std::int64_t first,
                    Gradient<W, Cpu>& target) {
  const std::int64_t channels = target.tensor.dim(1), members = partial.dim(0) / blocks;
  if (!target.accumulate) fill(target.tensor, W(0));
  std::vector<double> sum(to_size(channels));
  for (std::int64_t k = 0; k < members; ++k) {
    std::fill(sum.begin(), sum.end(), 0.0);
    for (std::int64_t b = 0; b < blocks; ++b)
      for (std::int64_t c = 0; c < channels; ++c) sum[to_size(c)] += partial.row(k * blocks + b)[first + c];
    W* out = target.tensor.dim(0) == 1 ? target.tensor.data() : target.tensor.row(k);
    for (std::int64_t c = 0; c < channels; ++c) out[c] += static_cast<W>(sum[to_size(c)]);
  }
}

}  // namespace detail

template <class T>
void group_norm_backward(const GroupNormSaved<T, Cpu>& saved, const Tensor<Accumulate<T>, Cpu>& gamma,
                         const Tensor<T, Cpu>& dy, Gradient<Accumulate<T>, Cpu>* dgamma,
                         Gradient<Accumulate<T>, Cpu>* dbeta, Gradient<T, Cpu>* dx) {
  using W = Accumulate<T>;
  const std::int64_t groups = saved.mean.dim(2);
  const auto view = SampleGroups::of(dy.shape(), groups);
  const std::int64_t channels = view.channels, blocks = detail::sample_blocks(view).count;
  auto partial = zeros<double, Cpu>({view.members * blocks, 2 * channels});
  const double size = static_cast<double>(view.group_size());
  detail::for_each_sample<W>(view, 6, [&](std::int64_t k, std::int64_t i, auto& scratch, std::int64_t item) {
    thread_local std::vector<W> inverse, a, b;
    for (auto* of : {&inverse, &a, &b}) of->resize(to_size(channels));
    const T *in = saved.x.data() + i * view.sample_size(), *d = dy.data() + i * view.sample_size();
    const W* scale = member_row(gamma, k);
    const W *mean = saved.mean.data() + i * groups, *deviation = saved.inverse_deviation.data() + i * groups;
    detail::spread_groups(view, scratch.first, [&](std::int64_t g) { return mean[g]; });
    detail::spread_groups(view, inverse, [&](std::int64_t g) { return deviation[g]; });
    double *sum = scratch.mean.data(), *product = scratch.m2.data(), *sums = partial.row(item);
    detail::sample_gradient_sums(in, d, view, scratch.first.data(), scratch.shifted, sum, product);
    for (std::int64_t c = 0; c < channels; ++c) {
      sums[c] += double(inverse[to_size(c)]) * product[c];
      sums[channels + c] += sum[c];
    }
    if (!dx) return;
    const auto group_sum = [&](std::int64_t g, const double* of) {
      double total = 0;
      for (std::int64_t c = g * view.width(); c < (g + 1) * view.width(); ++c) total += double(scale[c]) * of[c];
      return total / size;
    };
    detail::spread_groups(view, a, [&](std::int64_t g) { return group_sum(g, sum); });
    detail::spread_groups(
        view, b, [&](std::int64_t g) { return group_sum(g, product) * double(deviation[g]) * double(deviation[g]); });
    detail::sample_data_gradient(in, d, view, scale, scratch.first.data(), inverse.data(), a.data(), b.data(),
                                 dx->accumulate, dx->tensor.data() + i * view.sample_size());
  });
  if (dgamma) detail::add_block_sums(partial, blocks, 0, *dgamma);
  if (dbeta) detail::add_block_sums(partial, blocks, channels, *dbeta);
}

}  // namespace lpw::inline LPW_ABI
