// Convolution on the CPU: members, pending activations and the choice between Winograd's algorithm, matrix products, oneDNN and im2col. A
// weight with one row makes one convolution over [K B, H, W, C]; a weight with a row per member makes K of them, each over its own images.
// Winograd's algorithm and strided 1x1 kernels apply a pending activation while they read; for the others it is materialised into a pooled
// temporary that lives only as long as the call.
#pragma once

#include <cassert>

#include <lpw/cpu/activation.hpp>
#include <lpw/cpu/engine.hpp>
#include <lpw/cpu/im2col.hpp>
#include <lpw/cpu/pointwise.hpp>
#include <lpw/cpu/winograd.hpp>
#if LPW_WITH_ONEDNN
#include <lpw/cpu/onednn_conv2d.hpp>
#endif

namespace lpw {

namespace detail {

/// True if Winograd's algorithm is to convolve members with `batch` images each: of float, and of bfloat16 unless its own products are
/// faster.
template <class T>
[[nodiscard]] bool by_winograd(const Conv2dGeometry& g, std::int64_t batch) {
#if LPW_WITH_ONEDNN
  if (std::is_same_v<T, bfloat16> && cpu_engine() == CpuEngine::onednn && onednn::bfloat16_is_fast()) return false;
#endif
  return convolution() == Convolution::winograd && winograd::pays(g, batch);
}

/// Whether 1x1 convolutions of T may be matrix products: oneDNN's, since Eigen's leave most of a weight's gradient to one thread.
template <class T>
inline constexpr bool has_products = LPW_WITH_ONEDNN != 0 && !std::is_same_v<T, double>;

[[nodiscard]] inline bool by_products(const Conv2dGeometry& g) { return cpu_engine() == CpuEngine::onednn && pointwise::supports(g); }

/// The map pending on x from member k on.
template <class T>
[[nodiscard]] winograd::PendingMap pending_map(const Activation<T, Cpu>& x, std::int64_t k) {
  if (!x.pending()) return {};
  assert(x.scale.contiguous() && x.shift.contiguous());
  return {x.scale.row(k), x.shift.row(k), x.shape()[1], x.relu};
}

template <class T, class W>
void conv2d_forward(const Conv2dGeometry& g, const T* x, const W* weight, T* y) {
#if LPW_WITH_ONEDNN
  if constexpr (onednn::supports<T>)
    if (cpu_engine() == CpuEngine::onednn && onednn::conv2d_forward(g, x, weight, y)) return;
#endif
  im2col::conv2d_forward(g, x, weight, y);
}

template <class T, class W>
void conv2d_backward_data(const Conv2dGeometry& g, const T* dy, const W* weight, T* dx, bool accumulate) {
#if LPW_WITH_ONEDNN
  if constexpr (onednn::supports<T>)
    if (cpu_engine() == CpuEngine::onednn && onednn::conv2d_backward_data(g, dy, weight, dx, accumulate)) return;
#endif
  im2col::conv2d_backward_data(g, dy, weight, dx, accumulate);
}

template <class T, class W>
void conv2d_backward_weight(const Conv2dGeometry& g, const T* x, const T* dy, W* dweight, bool accumulate) {
#if LPW_WITH_ONEDNN
  if constexpr (onednn::supports<T>)
    if (cpu_engine() == CpuEngine::onednn && onednn::conv2d_backward_weight(g, x, dy, dweight, accumulate)) return;
#endif
  im2col::conv2d_backward_weight(g, x, dy, dweight, accumulate);
}

}  // namespace detail

/// y [K, B, Ho, Wo, O] = x [K, B, H, W, C] * weight [1 or K, O, kh, kw, C] (cross-correlation), Ho and Wo by window_count.
template <class T>
[[nodiscard]] Tensor<T, Cpu> conv2d_forward(const Activation<T, Cpu>& x, const Tensor<Accumulate<T>, Cpu>& weight, Conv2dOptions options) {
  const Conv2dGeometry g = conv2d_geometry(x.shape(), weight.shape(), options);
  if constexpr (detail::has_products<T>)
    if (detail::by_products(g)) return pointwise::conv2d_forward(g, x, weight);
  Tensor<T, Cpu> y({x.shape()[0], x.shape()[1], g.out_height(), g.out_width(), g.out_channels});
  if constexpr (std::is_same_v<Accumulate<T>, float>)
    if (detail::by_winograd<T>(g, x.shape()[1])) {
      for (std::int64_t k = 0; k < weight.dim(0); ++k)
        winograd::conv2d_forward(g, x.raw.row(k), detail::pending_map(x, k), weight.row(k), y.row(k));
      return y;
    }
  const Tensor<T, Cpu> input = materialize(x);
  for (std::int64_t k = 0; k < weight.dim(0); ++k) detail::conv2d_forward(g, input.row(k), weight.row(k), y.row(k));
  return y;
}

/// dx [K, B, H, W, C] from dy [K, B, Ho, Wo, O]: the gradient with respect to the materialised activation.
template <class T>
void conv2d_backward_data(const Tensor<T, Cpu>& dy, const Tensor<Accumulate<T>, Cpu>& weight, Conv2dOptions options, Gradient<T, Cpu>& dx) {
  const Conv2dGeometry g = conv2d_geometry(dx.tensor.shape(), weight.shape(), options);
  assert(dy.dim(2) == g.out_height() && dy.dim(3) == g.out_width() && dy.dim(4) == g.out_channels);
  if constexpr (detail::has_products<T>)
    if (detail::by_products(g)) return pointwise::conv2d_backward_data(g, dy, weight, dx);
  if constexpr (std::is_same_v<Accumulate<T>, float>)
    if (detail::by_winograd<T>(g, dy.dim(1))) {
      for (std::int64_t k = 0; k < weight.dim(0); ++k)
        winograd::conv2d_backward_data(g, dy.row(k), weight.row(k), dx.tensor.row(k), dx.accumulate);
      return;
    }
  for (std::int64_t k = 0; k < weight.dim(0); ++k)
    detail::conv2d_backward_data(g, dy.row(k), weight.row(k), dx.tensor.row(k), dx.accumulate);
}

/// dweight [1 or K, O, kh, kw, C] from x and dy: summed over the images, and over the members too if it has one row.
template <class T>
void conv2d_backward_weight(const Activation<T, Cpu>& x, const Tensor<T, Cpu>& dy, Conv2dOptions options,
                            Gradient<Accumulate<T>, Cpu>& dweight) {
  const Conv2dGeometry g = conv2d_geometry(x.shape(), dweight.tensor.shape(), options);
  assert(dy.dim(2) == g.out_height() && dy.dim(3) == g.out_width() && dy.dim(4) == g.out_channels);
  if constexpr (detail::has_products<T>)
    if (detail::by_products(g)) return pointwise::conv2d_backward_weight(g, x, dy, dweight);
  if constexpr (std::is_same_v<Accumulate<T>, float>)
    if (detail::by_winograd<T>(g, dy.dim(1))) {
      for (std::int64_t k = 0; k < dweight.tensor.dim(0); ++k)
        winograd::conv2d_backward_weight(g, x.raw.row(k), detail::pending_map(x, k), dy.row(k), dweight.tensor.row(k), dweight.accumulate);
      return;
    }
  const Tensor<T, Cpu> input = materialize(x);
  for (std::int64_t k = 0; k < dweight.tensor.dim(0); ++k)
    detail::conv2d_backward_weight(g, input.row(k), dy.row(k), dweight.tensor.row(k), dweight.accumulate);
}

}  // namespace lpw
