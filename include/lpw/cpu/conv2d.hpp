// Convolution on the CPU: members, pending activations and the choice between Winograd's algorithm, oneDNN and im2col. A weight with one
// row makes one convolution over [K B, H, W, C]; a weight with a row per member makes K of them, each over its own images.
// Winograd's algorithm applies a pending activation while it reads; for the others it is materialised into a pooled temporary that
// lives only as long as the call.
#pragma once

#include <cassert>

#include <lpw/cpu/activation.hpp>
#include <lpw/cpu/engine.hpp>
#include <lpw/cpu/im2col.hpp>
#include <lpw/cpu/winograd.hpp>
#if LPW_WITH_ONEDNN
#include <lpw/cpu/onednn_conv2d.hpp>
#endif

namespace lpw {

namespace detail {

/// True if Winograd's algorithm is to convolve members with `batch` images each, of float.
[[nodiscard]] inline bool by_winograd(const Conv2dGeometry& g, std::int64_t batch) {
  return convolution() == Convolution::winograd && winograd::pays(g, batch);
}

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

/// target += value.
template <class T>
void add_to(T* target, const T* value, std::int64_t size) {
  using W = Accumulate<T>;
#pragma omp parallel for simd schedule(static)
  for (std::int64_t i = 0; i < size; ++i) store(target[i], W(target[i]) + W(value[i]));
}

template <class T, class W>
void conv2d_backward_data(const Conv2dGeometry& g, const T* dy, const W* weight, T* dx, bool accumulate) {
#if LPW_WITH_ONEDNN
  if constexpr (onednn::supports<T>)
    if (cpu_engine() == CpuEngine::onednn) {
      // oneDNN's backward convolutions cannot add to their destination.
      const std::int64_t size = g.images * g.in_size();
      Tensor<T, Cpu> fresh = accumulate ? Tensor<T, Cpu>({size}) : Tensor<T, Cpu>();
      if (onednn::conv2d_backward_data(g, dy, weight, accumulate ? fresh.data() : dx)) {
        if (accumulate) add_to(dx, fresh.data(), size);
        return;
      }
    }
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
  Tensor<T, Cpu> y({x.shape()[0], x.shape()[1], g.out_height(), g.out_width(), g.out_channels});
  if constexpr (std::is_same_v<T, float>)
    if (detail::by_winograd(g, x.shape()[1])) {
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
  if constexpr (std::is_same_v<T, float>)
    if (detail::by_winograd(g, dy.dim(1))) {
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
  if constexpr (std::is_same_v<T, float>)
    if (detail::by_winograd(g, dy.dim(1))) {
      for (std::int64_t k = 0; k < dweight.tensor.dim(0); ++k)
        winograd::conv2d_backward_weight(g, x.raw.row(k), detail::pending_map(x, k), dy.row(k), dweight.tensor.row(k), dweight.accumulate);
      return;
    }
  const Tensor<T, Cpu> input = materialize(x);
  for (std::int64_t k = 0; k < dweight.tensor.dim(0); ++k)
    detail::conv2d_backward_weight(g, input.row(k), dy.row(k), dweight.tensor.row(k), dweight.accumulate);
}

}  // namespace lpw
