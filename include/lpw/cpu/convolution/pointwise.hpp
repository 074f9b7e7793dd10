// 1x1 convolutions without padding or groups as products of a matrix of pixels. A strided kernel's pixels are gathered,
// with a pending activation applied on the way; with stride 1 the images, finished, are the matrix as they lie.
#pragma once

#include <algorithm>

#include <lpw/cpu/activation.hpp>
#include <lpw/cpu/linear.hpp>
#include <lpw/primitives/conv2d.hpp>

namespace lpw::inline LPW_ABI::pointwise {

/// What these functions compute.
[[nodiscard]] inline bool supports(const Conv2dGeometry& g) {
  return g.kernel_height == 1 && g.kernel_width == 1 && g.padding == 0 && g.groups == 1;
}

namespace detail {

/// The pixels of x [K, B, H, W, C] at multiples of the stride, finished: [K, B, Ho, Wo, C].
template <class T>
[[nodiscard]] Tensor<T, Cpu> strided_pixels(const Activation<T, Cpu>& x, const Conv2dGeometry& g) {
  const std::int64_t members = x.shape()[0], batch = x.shape()[1], height = g.out_height(), width = g.out_width(),
                     channels = g.channels;
  Tensor<T, Cpu> pixels({members, batch, height, width, channels});
  parallel_for(members * batch * height, width * channels, [&](std::int64_t row) {
    const std::int64_t image = row / height, k = image / batch;
    const T* in = x.raw.data() + (image * g.height + row % height * g.stride.height) * g.width * channels;
    T* out = pixels.data() + row * width * channels;
    for (std::int64_t j = 0; j < width; ++j, in += g.stride.width * channels, out += channels) {
      if (x.pending()) {
        lpw::detail::apply_pending(x, k, in, 1, out);
      } else {
        std::copy_n(in, channels, out);
      }
    }
  });
  return pixels;
}

/// dx [K, B, H, W, C] (+)= pixels [K, B, Ho, Wo, C] at multiples of the stride, 0 between them.
template <class T>
void spread_pixels(const Tensor<T, Cpu>& pixels, const Conv2dGeometry& g, Gradient<T, Cpu>& dx) {
  using W = Accumulate<T>;
  const std::int64_t height = g.out_height(), width = g.out_width(), channels = g.channels, run = g.width * channels;
  parallel_for(dx.tensor.size() / run, run, [&](std::int64_t row) {
    T* out = dx.tensor.data() + row * run;
    if (!dx.accumulate) std::fill_n(out, run, T(W(0)));
    const std::int64_t image = row / g.height, y = row % g.height;
    if (y % g.stride.height != 0) return;
    const T* in = pixels.data() + (image * height + y / g.stride.height) * width * channels;
    for (std::int64_t j = 0; j < width; ++j, in += channels, out += g.stride.width * channels) {
#pragma omp simd
      for (std::int64_t c = 0; c < channels; ++c) store(out[c], W(out[c]) + W(in[c]));
    }
  });
}

/// [K, B, H, W, C] as [K, B H W, C], and a weight or its gradient [1 or K, O, 1, 1, C] as [1 or K, O, C].
template <class T>
[[nodiscard]] Tensor<T, Cpu> rows_of(const Tensor<T, Cpu>& images) {
  const Shape& shape = images.shape();
  return images.reshaped({shape[0], shape[1] * shape[2] * shape[3], shape[4]});
}
template <class W>
[[nodiscard]] Tensor<W, Cpu> matrix_of(const Tensor<W, Cpu>& weight) {
  return weight.reshaped({weight.dim(0), weight.dim(1), weight.dim(4)});
}

/// The pixels that the kernel reads.
template <class T>
[[nodiscard]] Tensor<T, Cpu> pixels_read(const Activation<T, Cpu>& x, const Conv2dGeometry& g) {
  return rows_of(g.pointwise() ? materialize(x) : strided_pixels(x, g));
}

}  // namespace detail

/// y [K, B, Ho, Wo, O] from x [K, B, H, W, C] and weight [1 or K, O, 1, 1, C].
template <class T>
[[nodiscard]] Tensor<T, Cpu> conv2d_forward(const Conv2dGeometry& g, const Activation<T, Cpu>& x,
                                            const Tensor<Accumulate<T>, Cpu>& weight) {
  return linear_forward(detail::pixels_read(x, g), detail::matrix_of(weight), {}).reshaped(conv2d_output(x.shape(), g));
}

/// dx [K, B, H, W, C] (+)= dy weight at the pixels that were read.
template <class T>
void conv2d_backward_data(const Conv2dGeometry& g, const Tensor<T, Cpu>& dy, const Tensor<Accumulate<T>, Cpu>& weight,
                          Gradient<T, Cpu>& dx) {
  const bool direct = g.pointwise();
  const auto pixels = direct ? dx.tensor : Tensor<T, Cpu>({dy.dim(0), dy.dim(1), dy.dim(2), dy.dim(3), g.channels});
  Gradient<T, Cpu> rows{detail::rows_of(pixels), direct && dx.accumulate};
  linear_backward_data(detail::rows_of(dy), detail::matrix_of(weight), rows);
  if (!direct) detail::spread_pixels(pixels, g, dx);
}

/// dweight [1 or K, O, 1, 1, C] (+)= dy^T times the pixels that were read.
template <class T>
void conv2d_backward_weight(const Conv2dGeometry& g, const Activation<T, Cpu>& x, const Tensor<T, Cpu>& dy,
                            Gradient<Accumulate<T>, Cpu>& dweight) {
  Gradient<Accumulate<T>, Cpu> target{detail::matrix_of(dweight.tensor), dweight.accumulate};
  linear_backward_weight(detail::pixels_read(x, g), detail::rows_of(dy), target);
}

}  // namespace lpw::inline LPW_ABI::pointwise
