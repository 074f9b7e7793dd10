// primitives/pooling.hpp on the CPU, channels last.
#pragma once

#include <limits>
#include <vector>

#include <lpw/cpu/base/channel_sums.hpp>
#include <lpw/cpu/base/parallel.hpp>
#include <lpw/cpu/base/put_row.hpp>
#include <lpw/primitives/layout.hpp>
#include <lpw/primitives/pooling.hpp>
#include <lpw/tensor/float_bits.hpp>

namespace lpw::inline LPW_ABI {

template <class T>
[[nodiscard]] MaxPooled<T, Cpu> max_pool2d_forward(const Tensor<T, Cpu>& x, PoolOptions options) {
  const Shape& in = x.shape();
  const std::int64_t height = in[2], width = in[3], channels = in[4];
  const Shape out = pool_output(in, options);
  const std::int64_t out_height = out[2], out_width = out[3];
  const PerAxis window = options.kernel_size, stride = options.step();
  MaxPooled<T, Cpu> result{Tensor<T, Cpu>(out), Tensor<std::int32_t, Cpu>(out)};
  const std::int64_t row_cost = 4 * out_width * window.height * window.width * channels;
  parallel_for(in[0] * in[1] * out_height, row_cost, [&](std::int64_t row) {
    const std::int64_t image = row / out_height, top = row % out_height * stride.height - options.padding.height;
    const T* pixels = x.data() + image * height * width * channels;
    for (std::int64_t column = 0; column < out_width; ++column) {
      T* best = result.y.data() + (row * out_width + column) * channels;
      std::int32_t* winner = result.winner.data() + (row * out_width + column) * channels;
      std::fill_n(winner, channels, -1);
      const std::int64_t left = column * stride.width - options.padding.width;
      for (std::int64_t i = std::max<std::int64_t>(0, top); i < std::min(height, top + window.height); ++i)
        for (std::int64_t j = std::max<std::int64_t>(0, left); j < std::min(width, left + window.width); ++j)
          for (std::int64_t c = 0; c < channels; ++c) {
            const T candidate = pixels[(i * width + j) * channels + c];
            if (winner[c] >= 0 && (is_nan(best[c]) || (!is_nan(candidate) && candidate <= best[c])))
              continue;  // NaN wins and stays
            best[c] = candidate;
            winner[c] = static_cast<std::int32_t>(i * width + j);
          }
    }
  });
  return result;
}

namespace detail {

/// Scatters. Windows may overlap: they are summed in `Sum`, and rounded once.
template <class Sum, class T>
void scatter_to_winners(const Tensor<std::int32_t, Cpu>& winner, const Tensor<T, Cpu>& dy, Gradient<T, Cpu>& dx) {
  using W = Accumulate<T>;
  const Shape& in = dx.tensor.shape();
  const std::int64_t pixels = in[2] * in[3], channels = in[4], windows = dy.dim(2) * dy.dim(3);
  parallel_runs(in[0] * in[1], 2 * (pixels + 4 * windows) * channels, [&](std::int64_t first, std::int64_t last) {
    std::vector<Sum> sum(to_size(pixels * channels));
    for (std::int64_t image = first; image < last; ++image) {
      T* out = dx.tensor.data() + image * pixels * channels;
      for (std::int64_t i = 0; i < pixels * channels; ++i) sum[to_size(i)] = dx.accumulate ? Sum(out[i]) : Sum(0);
      for (std::int64_t i = 0; i < windows * channels; ++i) {
        const std::int64_t from = image * windows * channels + i;
        sum[to_size(winner.data()[from] * channels + i % channels)] += Sum(dy.data()[from]);
      }
      for (std::int64_t i = 0; i < pixels * channels; ++i) store(out[i], static_cast<W>(sum[to_size(i)]));
    }
  });
}

}  // namespace detail

/// The sum of more windows than are a run of ChannelSums is in double. (A device that gathers needs the windows'
/// geometry; here it says no more than how many of them hold a pixel.)
template <class T>
void max_pool2d_backward(const Tensor<std::int32_t, Cpu>& winner, const Tensor<T, Cpu>& dy, PoolOptions options,
                         Gradient<T, Cpu>& dx) {
  using W = Accumulate<T>;
  const PerAxis window = options.kernel_size, stride = options.step();
  const auto holding = [](std::int64_t size, std::int64_t step) { return (size + step - 1) / step; };
  if (holding(window.height, stride.height) * holding(window.width, stride.width) > ChannelSums<W>::run)
    detail::scatter_to_winners<double>(winner, dy, dx);
  else
    detail::scatter_to_winners<W>(winner, dy, dx);
}

template <class T>
[[nodiscard]] Tensor<T, Cpu> global_average_pool_forward(const Tensor<T, Cpu>& x) {
  using W = Accumulate<T>;
  const Shape& in = x.shape();
  const std::int64_t pixels = in[2] * in[3], channels = in[4];
  Tensor<T, Cpu> y({in[0], in[1], channels});
  T* out = y.data();
  parallel_runs(in[0] * in[1], pixels * channels, [&](std::int64_t first, std::int64_t last) {
    ChannelSums<W> sum(channels);
    for (std::int64_t image = first; image < last; ++image) {
      sum.begin([](std::int64_t) { return W(0); });
      for (std::int64_t p = 0; p < pixels; ++p) sum.add(x.data() + (image * pixels + p) * channels, W(1));
      for (std::int64_t c = 0; c < channels; ++c) store(out[image * channels + c], sum[c] / static_cast<W>(pixels));
    }
  });
  return y;
}

template <class T>
void global_average_pool_backward(const Tensor<T, Cpu>& dy, Gradient<T, Cpu>& dx) {
  using W = Accumulate<T>;
  const Shape& in = dx.tensor.shape();
  const std::int64_t pixels = in[2] * in[3], channels = in[4];
  const W share = W(1) / static_cast<W>(pixels);
  parallel_for(in[0] * in[1], pixels * channels, [&](std::int64_t image) {
    for (std::int64_t p = 0; p < pixels; ++p) {
      const T* d = dy.data() + image * channels;
      detail::put_row(dx.tensor.data() + (image * pixels + p) * channels, channels, dx.accumulate,
                      [=](std::int64_t c) { return W(d[c]) * share; });
    }
  });
}

}  // namespace lpw::inline LPW_ABI
