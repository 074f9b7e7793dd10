// primitives/batch_norm.hpp on the CPU, per member and channel, over x as [K, M, C].
//
// Passes over memory: the statistics read x once, unless the convolution that made x has summed them; the normalisation
// is left pending (Activation) or done by normalize() in one read and one write; backward reads x and dy twice, or once
// if the convolution that made dy has summed it, and writes dx once. ReLU's mask is never stored: it is recomputed from
// x with the forward's own rounding. Sums run over fixed row blocks in W, shifted by the block's first row so that a
// large mean costs no digits, and blocks merge in double in fixed order by Chan's rule: the result does not depend on
// the number of threads.
#pragma once

#include <cmath>
#include <vector>

#include <lpw/cpu/activation.hpp>
#include <lpw/cpu/base/put_row.hpp>
#include <lpw/cpu/base/vector.hpp>
#include <lpw/primitives/batch_norm.hpp>
#include <lpw/primitives/layout.hpp>

namespace lpw::inline LPW_ABI {

namespace detail {

/// Sums of (x - s) and (x - s)^2 over the rows [first, last) of one block, s its first row; then (mean, M2) in double.
template <class T>
void block_moments(const T* x, std::int64_t rows, std::int64_t channels, Accumulate<T>* scratch, double* mean,
                   double* m2) {
  using W = Accumulate<T>;
  W *sum = scratch, *square = scratch + channels;
  std::fill_n(scratch, 2 * channels, W(0));
  for (std::int64_t r = 1; r < rows; ++r) {
    const T* row = x + r * channels;
#pragma omp simd
    for (std::int64_t c = 0; c < channels; ++c) {
      const W d = W(row[c]) - W(x[c]);
      sum[c] += d;
      square[c] += d * d;
    }
  }
  const double n = static_cast<double>(rows);
  for (std::int64_t c = 0; c < channels; ++c) {
    mean[c] = double(W(x[c])) + double(sum[c]) / n;
    m2[c] = std::max(0.0, double(square[c]) - double(sum[c]) * double(sum[c]) / n);
  }
}

}  // namespace detail

/// Per-member, per-channel mean and biased variance of x [K, ..., C].
template <class T>
[[nodiscard]] Moments<Accumulate<T>, Cpu> batch_moments(const Tensor<T, Cpu>& x) {
  using W = Accumulate<T>;
  const auto view = MemberRows::of(x.shape());
  const auto blocks = RowBlocks::of(view);
  const std::int64_t channels = view.channels;
  Moments<W, Cpu> result{Tensor<W, Cpu>({view.members, channels}), Tensor<W, Cpu>({view.members, channels})};
  Tensor<double, Cpu> partial({view.members * blocks.count, 2, channels});
  parallel_runs(view.members * blocks.count, block_cost(view, blocks), [&](std::int64_t begin, std::int64_t end) {
    std::vector<W> scratch(to_size(2 * channels));
    for (std::int64_t item = begin; item < end; ++item) {
      const std::int64_t k = item / blocks.count, b = item % blocks.count;
      const T* block = x.data() + (k * view.rows + blocks.first(b)) * channels;
      double* moments = partial.data() + item * 2 * channels;
      detail::block_moments(block, blocks.last(b) - blocks.first(b), channels, scratch.data(), moments,
                            moments + channels);
    }
  });
  for (std::int64_t k = 0; k < view.members; ++k)
    for (std::int64_t c = 0; c < channels; ++c) {
      double n = 0, mean = 0, m2 = 0;
      for (std::int64_t b = 0; b < blocks.count; ++b) {  // Chan, Golub, LeVeque 1979
        const double* moments = partial.data() + (k * blocks.count + b) * 2 * channels;
        const double m = static_cast<double>(blocks.last(b) - blocks.first(b)), delta = moments[c] - mean;
        mean += delta * m / (n + m);
        m2 += moments[channels + c] + delta * delta * n * m / (n + m);
        n += m;
      }
      result.mean.row(k)[c] = static_cast<W>(mean);
      result.variance.row(k)[c] = static_cast<W>(m2 / n);
    }
  return result;
}

/// Moves the running statistics `mean` and `variance` [K, C] by a minibatch of M = `rows` rows, as batch_norm_forward
/// does.
template <class W>
void update_running(Tensor<W, Cpu> mean, Tensor<W, Cpu> variance, const Moments<W, Cpu>& batch, std::int64_t rows,
                    double momentum, bool pooled = false) {
  const W keep = static_cast<W>(1 - momentum), take = static_cast<W>(momentum);
  const W unbias = rows > 1 && !pooled ? static_cast<W>(double(rows) / double(rows - 1)) : W(1);
  for (std::int64_t k = 0; k < batch.mean.dim(0); ++k)
    for (std::int64_t c = 0; c < batch.mean.dim(1); ++c) {
      W &m = mean.row(k)[c], &v = variance.row(k)[c];
      if (momentum == 1) m = v = W(0);  // a new beginning: 0 times a NaN of before would stay NaN
      const W distance = batch.mean.row(k)[c] - m;
      m = pooled && momentum != 1 ? m + take * distance : keep * m + take * batch.mean.row(k)[c];
      const W between = pooled && momentum != 1 ? take * distance * distance : W(0);
      v = keep * (v + between) + take * unbias * batch.variance.row(k)[c];
    }
}

/// The normalisation by the given moments [K, C]; gamma and beta are [1, C] or [K, C].
template <class W>
[[nodiscard]] Normalizer<W, Cpu> make_normalizer(const Moments<W, Cpu>& moments, const Tensor<W, Cpu>& gamma,
                                                 const Tensor<W, Cpu>& beta, double epsilon) {
  const Shape shape = moments.mean.shape();
  Normalizer<W, Cpu> result{clone(moments.mean), Tensor<W, Cpu>(shape), Tensor<W, Cpu>(shape), Tensor<W, Cpu>(shape)};
  for (std::int64_t k = 0; k < shape[0]; ++k) {
    const W *g = member_row(gamma, k), *b = member_row(beta, k);
    for (std::int64_t c = 0; c < shape[1]; ++c) {
      const double inverse = 1.0 / std::sqrt(double(moments.variance.row(k)[c]) + epsilon);
      result.inverse_deviation.row(k)[c] = static_cast<W>(inverse);
      result.scale.row(k)[c] = static_cast<W>(double(g[c]) * inverse);
      result.shift.row(k)[c] = b[c];
    }
  }
  return result;
}

/// y = relu?(scale (x - mean) + shift + residual) in one pass; an empty residual is none.
template <class T>
[[nodiscard]] Tensor<T, Cpu> normalize(const Tensor<T, Cpu>& x, const Normalizer<Accumulate<T>, Cpu>& by,
                                       const Tensor<T, Cpu>& residual, bool relu) {
  using W = Accumulate<T>;
  if (residual.empty()) return materialize(Activation<T, Cpu>{x, by.mean, by.scale, by.shift, relu});
  const auto view = MemberRows::of(x.shape());
  Tensor<T, Cpu> y(x.shape());
  for_each_row_block(view, [&](std::int64_t k, std::int64_t offset, std::int64_t rows) {
    const W *mean = by.mean.row(k), *scale = by.scale.row(k), *shift = by.shift.row(k);
    for (std::int64_t r = 0; r < rows; ++r, offset += view.channels) {
      const T *in = x.data() + offset, *other = residual.data() + offset;
      T* out = y.data() + offset;
#pragma omp simd
      for (std::int64_t c = 0; c < view.channels; ++c) {
        const W z = centred(W(in[c]), mean[c], scale[c], shift[c]) + W(other[c]);
        store(out[c], relu ? rectified(z) : z);
      }
    }
  });
  return y;
}

/// The result is pending on x where the residual is empty.
template <class T>
[[nodiscard]] BatchNormResult<T, Cpu> batch_norm_forward(const Tensor<T, Cpu>& x, const Tensor<T, Cpu>& residual,
                                                         const Tensor<Accumulate<T>, Cpu>& gamma,
                                                         const Tensor<Accumulate<T>, Cpu>& beta,
                                                         const RunningStatistics<Accumulate<T>, Cpu>& running,
                                                         const BatchNormPass& pass,
                                                         const Moments<Accumulate<T>, Cpu>& known = {}) {
  Moments<Accumulate<T>, Cpu> moments{running.mean, running.variance};
  if (pass.batch_statistics) {
    moments = known.variance.empty() ? batch_moments(x) : known;
    const std::int64_t rows = pass.rows > 0 ? pass.rows : MemberRows::of(x.shape()).rows;
    update_running(running.mean, running.variance, moments, rows, pass.momentum, pass.pooled);
  }
  const auto by = make_normalizer(moments, gamma, beta, pass.epsilon);
  const BatchNormSaved<T, Cpu> saved{x, by, pass.relu ? residual : Tensor<T, Cpu>(), pass.relu, pass.batch_statistics};
  if (residual.empty()) return {{x, by.mean, by.scale, by.shift, pass.relu}, saved};
  return {{normalize(x, by, residual, pass.relu)}, saved};
}

namespace detail {

/// How many elements ahead backward asks for x and dy: behind ReLU's mask a compiler loads dy under that mask, so only
/// once x has come.
template <class T>
inline constexpr std::int64_t elements_ahead = 2048 / sizeof(T);
template <bool Residual, class T>
void ask_ahead(const T* x, const T* dy, const T* residual, std::int64_t channels) {
  simd::will_read(x + elements_ahead<T>, channels);
  simd::will_read(dy + elements_ahead<T>, channels);
  if constexpr (Residual) simd::will_read(residual + elements_ahead<T>, channels);
}

/// dy where the forward's ReLU was open, else 0.
template <bool Relu, bool Residual, class T, class W = Accumulate<T>>
inline W masked(T dy, T x, T residual, W mean, W scale, W shift) {
  if constexpr (!Relu) return W(dy);
  W z = centred(W(x), mean, scale, shift);
  if constexpr (Residual) z += W(residual);
  return z > W(0) ? W(dy) : W(0);
}

/// Per member and channel: sums of g and of g (x - mean), g the masked dy. Result [K, 2, C] in double.
template <bool Relu, bool Residual, class T>
[[nodiscard]] Tensor<double, Cpu> batch_norm_sums(const BatchNormSaved<T, Cpu>& saved, const Tensor<T, Cpu>& dy) {
  using W = Accumulate<T>;
  const auto view = MemberRows::of(dy.shape());
  const auto blocks = RowBlocks::of(view);
  const std::int64_t channels = view.channels;
  Tensor<double, Cpu> partial({view.members * blocks.count, 2, channels});
  parallel_runs(view.members * blocks.count, 2 * block_cost(view, blocks), [&](std::int64_t begin, std::int64_t end) {
    std::vector<W> scratch(to_size(2 * channels));
    W *sum = scratch.data(), *product = sum + channels;
    for (std::int64_t item = begin; item < end; ++item) {
      const std::int64_t k = item / blocks.count, b = item % blocks.count;
      const W *scale = saved.by.scale.row(k), *shift = saved.by.shift.row(k), *mean = saved.by.mean.row(k);
      std::fill_n(sum, 2 * channels, W(0));
      for (std::int64_t r = blocks.first(b); r < blocks.last(b); ++r) {
        const std::int64_t offset = (k * view.rows + r) * channels;
        const T *x = saved.x.data() + offset, *d = dy.data() + offset,
                *other = Residual ? saved.residual.data() + offset : x;
        ask_ahead<Residual>(x, d, other, channels);
#pragma omp simd
        for (std::int64_t c = 0; c < channels; ++c) {
          const W g = masked<Relu, Residual>(d[c], x[c], other[c], mean[c], scale[c], shift[c]);
          sum[c] += g;
          product[c] += g * (W(x[c]) - mean[c]);
        }
      }
      std::copy_n(sum, 2 * channels, partial.data() + item * 2 * channels);
    }
  });
  Tensor<double, Cpu> sums = zeros<double, Cpu>({view.members, 2, channels});
  for (std::int64_t k = 0; k < view.members; ++k)
    for (std::int64_t b = 0; b < blocks.count; ++b) {
      const double* from = partial.data() + (k * blocks.count + b) * 2 * channels;
      double* to = sums.row(k);
      for (std::int64_t c = 0; c < 2 * channels; ++c) to[c] += from[c];
    }
  return sums;
}

/// dx = scale (g - mean(g) - (x - mean) inverse^2 mean(g (x - mean))), or scale g with constant moments; dresidual = g.
template <bool Relu, bool Residual, class T>
void batch_norm_data_gradient(const BatchNormSaved<T, Cpu>& saved, const Tensor<T, Cpu>& dy,
                              const Tensor<double, Cpu>& sums, Gradient<T, Cpu>& dx, Gradient<T, Cpu>* dresidual) {
  using W = Accumulate<T>;
  const auto view = MemberRows::of(dy.shape());
  const auto blocks = RowBlocks::of(view);
  const std::int64_t channels = view.channels;
  Tensor<W, Cpu> coefficients({view.members, 2, channels});
  for (std::int64_t k = 0; k < view.members; ++k)
    for (std::int64_t c = 0; c < channels; ++c) {
      const double inverse = saved.by.inverse_deviation.row(k)[c], m = static_cast<double>(view.rows);
      coefficients.row(k)[c] = saved.batch_statistics ? static_cast<W>(sums.row(k)[c] / m) : W(0);
      coefficients.row(k)[channels + c] =
          saved.batch_statistics ? static_cast<W>(sums.row(k)[channels + c] / m * inverse * inverse) : W(0);
    }
  parallel_for(view.members * blocks.count, 2 * block_cost(view, blocks), [&](std::int64_t item) {
    const std::int64_t k = item / blocks.count, b = item % blocks.count;
    const W *scale = saved.by.scale.row(k), *shift = saved.by.shift.row(k), *mean = saved.by.mean.row(k);
    const W *mean_g = coefficients.row(k), *slope = mean_g + channels;
    for (std::int64_t r = blocks.first(b); r < blocks.last(b); ++r) {
      const std::int64_t offset = (k * view.rows + r) * channels;
      const T *x = saved.x.data() + offset, *d = dy.data() + offset,
              *other = Residual ? saved.residual.data() + offset : x;
      ask_ahead<Residual>(x, d, other, channels);
      const auto g = [=](std::int64_t c) {
        return masked<Relu, Residual>(d[c], x[c], other[c], mean[c], scale[c], shift[c]);
      };
      if (dresidual) put_row(dresidual->tensor.data() + offset, channels, dresidual->accumulate, g);
      put_row(dx.tensor.data() + offset, channels, dx.accumulate,
              [=](std::int64_t c) { return scale[c] * (g(c) - mean_g[c] - (W(x[c]) - mean[c]) * slope[c]); });
    }
  });
}

template <bool Relu, bool Residual, class T>
void batch_norm_backward(const BatchNormSaved<T, Cpu>& saved, const Tensor<T, Cpu>& dy,
                         Gradient<Accumulate<T>, Cpu>* dgamma, Gradient<Accumulate<T>, Cpu>* dbeta,
                         Gradient<T, Cpu>* dx, Gradient<T, Cpu>* dresidual, const Tensor<double, Cpu>& known) {
  using W = Accumulate<T>;
  const auto sums = known.empty() ? batch_norm_sums<Relu, Residual>(saved, dy) : known;
  const std::int64_t channels = sums.dim(2);
  const auto add_rows = [&](Gradient<W, Cpu>& target, auto&& value) {
    if (!target.accumulate) fill(target.tensor, W(0));
    for (std::int64_t k = 0; k < sums.dim(0); ++k) {
      W* row = target.tensor.dim(0) == 1 ? target.tensor.data() : target.tensor.row(k);
      for (std::int64_t c = 0; c < channels; ++c) row[c] += static_cast<W>(value(k, c));
    }
  };
  if (dgamma)
    add_rows(*dgamma,
             [&](auto k, auto c) { return sums.row(k)[channels + c] * double(saved.by.inverse_deviation.row(k)[c]); });
  if (dbeta) add_rows(*dbeta, [&](auto k, auto c) { return sums.row(k)[c]; });
  if (dx) {
    batch_norm_data_gradient<Relu, Residual>(saved, dy, sums, *dx, dresidual);
  } else if (dresidual) {
    Gradient<T, Cpu> unused{Tensor<T, Cpu>(dy.shape()), false};
    batch_norm_data_gradient<Relu, Residual>(saved, dy, sums, unused, dresidual);
  }
}

}  // namespace detail

/// What batch_norm_backward takes as known of dy: per member and channel the sums of g and of g (x - mean), where g is
/// dy behind ReLU's mask. [K, 2, C].
template <class T>
[[nodiscard]] Tensor<double, Cpu> batch_norm_gradient_sums(const BatchNormSaved<T, Cpu>& saved,
                                                           const Tensor<T, Cpu>& dy) {
  if (!saved.relu) return detail::batch_norm_sums<false, false>(saved, dy);
  if (saved.residual.empty()) return detail::batch_norm_sums<true, false>(saved, dy);
  return detail::batch_norm_sums<true, true>(saved, dy);
}

/// Reads x and dy once if their sums are `known`, else twice.
template <class T>
void batch_norm_backward(const BatchNormSaved<T, Cpu>& saved, const Tensor<T, Cpu>& dy,
                         Gradient<Accumulate<T>, Cpu>* dgamma, Gradient<Accumulate<T>, Cpu>* dbeta,
                         Gradient<T, Cpu>* dx, Gradient<T, Cpu>* dresidual, const Tensor<double, Cpu>& known = {}) {
  const bool residual = saved.relu && !saved.residual.empty();
  if (!saved.relu) return detail::batch_norm_backward<false, false>(saved, dy, dgamma, dbeta, dx, dresidual, known);
  if (!residual) return detail::batch_norm_backward<true, false>(saved, dy, dgamma, dbeta, dx, dresidual, known);
  return detail::batch_norm_backward<true, true>(saved, dy, dgamma, dbeta, dx, dresidual, known);
}

template <class T>
[[nodiscard]] Tensor<double, Cpu> batch_norm_part_sums(const BatchNormSaved<T, Cpu>& saved, const Tensor<T, Cpu>& dy,
                                                       Gradient<Accumulate<T>, Cpu>* dgamma,
                                                       Gradient<Accumulate<T>, Cpu>* dbeta, double weight,
                                                       const Tensor<double, Cpu>& known = {}) {
  auto sums = known.empty() ? batch_norm_gradient_sums(saved, dy) : clone(known);
  if (dgamma || dbeta) batch_norm_backward<T>(saved, dy, dgamma, dbeta, nullptr, nullptr, sums);
  for (std::int64_t i = 0; i < sums.size(); ++i) sums.data()[i] *= weight;
  return sums;
}

}  // namespace lpw::inline LPW_ABI
