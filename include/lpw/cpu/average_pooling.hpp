// primitives/average_pooling.hpp on the CPU, channels last. Both passes gather, a row of pixels at a time.
#pragma once

#include <lpw/cpu/base/channel_sums.hpp>
#include <lpw/cpu/base/parallel.hpp>
#include <lpw/primitives/average_pooling.hpp>
#include <lpw/primitives/layout.hpp>

namespace lpw::inline LPW_ABI {

namespace detail {

/// Adds pixels of one image [H, W, C] within rows and columns, each times weight(row, column).
template <class T, class W, class Weight>
void sum_pixels(const T* image, std::int64_t width, std::int64_t channels, WindowAxis::Range rows,
                WindowAxis::Range columns, Weight&& weight, ChannelSums<W>& sum) {
  for (std::int64_t i = rows.first; i < rows.last; ++i)
    for (std::int64_t j = columns.first; j < columns.last; ++j)
      sum.add(image + (i * width + j) * channels, weight(i, j));
}

}  // namespace detail

template <class T>
[[nodiscard]] Tensor<T, Cpu> average_pool2d_forward(const Tensor<T, Cpu>& x, const AverageWindows& windows) {
  using W = Accumulate<T>;
  const WindowAxis &down = windows.height, &across = windows.width;
  const std::int64_t channels = x.dim(4), size = down.in * across.in * channels;
  Tensor<T, Cpu> y(windows.output(x.shape()));
  const std::int64_t rows = x.dim(0) * x.dim(1) * down.out;
  const std::int64_t read =
      down.in * across.in / down.out + across.out;  // pixels of a row of windows, where few overlap
  parallel_runs(rows, 2 * read * channels, [&](std::int64_t first, std::int64_t last) {
    ChannelSums<W> sum(channels);
    for (std::int64_t row = first; row < last; ++row) {
      const std::int64_t o = row % down.out;
      T* out = y.data() + row * across.out * channels;
      for (std::int64_t p = 0; p < across.out; ++p, out += channels) {
        sum.begin([](std::int64_t) { return W(0); });
        detail::sum_pixels(
            x.data() + row / down.out * size, across.in, channels, down.window(o), across.window(p),
            [](std::int64_t, std::int64_t) { return W(1); }, sum);
        const auto count = static_cast<W>(down.count(o) * across.count(p));
        for (std::int64_t c = 0; c < channels; ++c) store(out[c], sum[c] / count);
      }
    }
  });
  return y;
}

template <class T>
void average_pool2d_backward(const Tensor<T, Cpu>& dy, const AverageWindows& windows, Gradient<T, Cpu>& dx) {
  using W = Accumulate<T>;
  const WindowAxis &down = windows.height, &across = windows.width;
  const std::int64_t channels = dy.dim(4), size = down.out * across.out * channels;
  const std::int64_t rows = dy.dim(0) * dy.dim(1) * down.in;
  const std::int64_t read = down.out * across.out / down.in + across.in;
  parallel_runs(rows, 2 * read * channels, [&](std::int64_t first, std::int64_t last) {
    ChannelSums<W> sum(channels);
    for (std::int64_t row = first; row < last; ++row) {
      T* out = dx.tensor.data() + row * across.in * channels;
      for (std::int64_t j = 0; j < across.in; ++j, out += channels) {
        sum.begin([&](std::int64_t c) { return dx.accumulate ? W(out[c]) : W(0); });
        detail::sum_pixels(
            dy.data() + row / down.in * size, across.out, channels, down.readers(row % down.in), across.readers(j),
            [&](std::int64_t o, std::int64_t p) { return W(1) / static_cast<W>(down.count(o) * across.count(p)); },
            sum);
        for (std::int64_t c = 0; c < channels; ++c) store(out[c], sum[c]);
      }
    }
  });
}

}  // namespace lpw::inline LPW_ABI
