// 1x1 convolutions without padding as matrix products of pixels. The pixels that the kernel reads are gathered once, a pending activation
// applied on the way, and a strided kernel reads few of them; with stride 1 and nothing pending the images are the matrix as they lie.
#pragma once

#include <lpw/cpu/activation.hpp>
#include <lpw/cpu/conv2d_geometry.hpp>
#include <lpw/cpu/gemm.hpp>

namespace lpw::pointwise {

/// What these functions compute.
[[nodiscard]] inline bool supports(const Conv2dGeometry& g) { return g.kernel_height == 1 && g.kernel_width == 1 && g.padding == 0; }

namespace detail {

/// One weight row's product: `rows` pixels that the kernel reads, of `images` images.
struct Pixels {
  std::int64_t rows, in, out;

  explicit Pixels(const Conv2dGeometry& g) : rows(g.images * g.out_height() * g.out_width()), in(g.channels), out(g.out_channels) {}
  template <class T>
  [[nodiscard]] MatrixView<T> inputs(T* data, std::int64_t product) const {
    return matrix(data + product * rows * in, rows, in);
  }
  template <class T>
  [[nodiscard]] MatrixView<T> outputs(T* data, std::int64_t product) const {
    return matrix(data + product * rows * out, rows, out);
  }
  template <class W>
  [[nodiscard]] MatrixView<W> weight(W* row) const {
    return matrix(row, out, in);
  }
};

/// The pixels of x [K, B, H, W, C] at multiples of the stride, finished: [K, B, Ho, Wo, C].
template <class T>
[[nodiscard]] Tensor<T, Cpu> strided_pixels(const Activation<T, Cpu>& x, const Conv2dGeometry& g) {
  const std::int64_t members = x.shape()[0], batch = x.shape()[1], height = g.out_height(), width = g.out_width(), channels = g.channels;
  Tensor<T, Cpu> pixels({members, batch, height, width, channels});
#pragma omp parallel for schedule(static)
  for (std::int64_t row = 0; row < members * batch * height; ++row) {
    const std::int64_t image = row / height, k = image / batch;
    const T* in = x.raw.data() + (image * g.height + row % height * g.stride) * g.width * channels;
    T* out = pixels.data() + row * width * channels;
    for (std::int64_t j = 0; j < width; ++j, in += g.stride * channels, out += channels) {
      if (!x.pending()) {
        std::copy_n(in, channels, out);
      } else if (x.relu) {
        lpw::detail::apply_affine<true>(in, x.scale.row(k), x.shift.row(k), 1, channels, out);
      } else {
        lpw::detail::apply_affine<false>(in, x.scale.row(k), x.shift.row(k), 1, channels, out);
      }
    }
  }
  return pixels;
}

template <class T>
[[nodiscard]] Tensor<T, Cpu> pixels_read(const Activation<T, Cpu>& x, const Conv2dGeometry& g) {
  return g.stride == 1 ? materialize(x) : strided_pixels(x, g);
}

/// dx [K, B, H, W, C] (+)= pixels [K, B, Ho, Wo, C] at multiples of the stride, 0 between them.
template <class T>
void spread_pixels(const Tensor<T, Cpu>& pixels, const Conv2dGeometry& g, Gradient<T, Cpu>& dx) {
  using W = Accumulate<T>;
  const std::int64_t height = g.out_height(), width = g.out_width(), channels = g.channels, run = g.width * channels;
#pragma omp parallel for schedule(static)
  for (std::int64_t row = 0; row < dx.tensor.size() / run; ++row) {
    T* out = dx.tensor.data() + row * run;
    if (!dx.accumulate) std::fill_n(out, run, T(W(0)));
    const std::int64_t image = row / g.height, y = row % g.height;
    if (y % g.stride != 0) continue;
    const T* in = pixels.data() + (image * height + y / g.stride) * width * channels;
    for (std::int64_t j = 0; j < width; ++j, in += channels, out += g.stride * channels) {
#pragma omp simd
      for (std::int64_t c = 0; c < channels; ++c) store(out[c], W(out[c]) + W(in[c]));
    }
  }
}

}  // namespace detail

/// y [K, B, Ho, Wo, O] from x [K, B, H, W, C] and weight [1 or K, O, 1, 1, C].
template <class T>
void conv2d_forward(const Conv2dGeometry& g, const Activation<T, Cpu>& x, const Tensor<Accumulate<T>, Cpu>& weight, Tensor<T, Cpu>& y) {
  const detail::Pixels product(g);
  const auto pixels = detail::pixels_read(x, g);
  for (std::int64_t k = 0; k < weight.dim(0); ++k)
    gemm(product.inputs(pixels.data(), k), product.weight(weight.row(k)).transposed(), product.outputs(y.data(), k));
}

/// dx [K, B, H, W, C] (+)= dy weight at the pixels that were read.
template <class T>
void conv2d_backward_data(const Conv2dGeometry& g, const Tensor<T, Cpu>& dy, const Tensor<Accumulate<T>, Cpu>& weight,
                          Gradient<T, Cpu>& dx) {
  const detail::Pixels product(g);
  const bool direct = g.stride == 1;
  Tensor<T, Cpu> pixels = direct ? dx.tensor : Tensor<T, Cpu>({dy.dim(0), dy.dim(1), dy.dim(2), dy.dim(3), g.channels});
  for (std::int64_t k = 0; k < weight.dim(0); ++k)
    gemm(product.outputs(dy.data(), k), product.weight(weight.row(k)), product.inputs(pixels.data(), k), direct && dx.accumulate);
  if (!direct) detail::spread_pixels(pixels, g, dx);
}

/// dweight [1 or K, O, 1, 1, C] (+)= dy^T times the pixels that were read.
template <class T>
void conv2d_backward_weight(const Conv2dGeometry& g, const Activation<T, Cpu>& x, const Tensor<T, Cpu>& dy,
                            Gradient<Accumulate<T>, Cpu>& dweight) {
  const detail::Pixels product(g);
  const auto pixels = detail::pixels_read(x, g);
  for (std::int64_t k = 0; k < dweight.tensor.dim(0); ++k)
    gemm(product.outputs(dy.data(), k).transposed(), product.inputs(pixels.data(), k), product.weight(dweight.tensor.row(k)),
         dweight.accumulate);
}

}  // namespace lpw::pointwise
