// Convolution on the CPU: members, pending activations and the choice between Winograd's algorithm, matrix products, oneDNN and im2col. A
// weight with one row makes one convolution over [K B, H, W, C]; a weight with a row per member makes K of them, each over its own images.
// Winograd's algorithm and strided 1x1 kernels apply a pending activation while they read; for the others it is materialised into a pooled
// temporary that lives only as long as the call.
#pragma once

#include <cassert>

#include <lpw/cpu/activation.hpp>
#include <lpw/cpu/base/engine.hpp>
#include <lpw/cpu/convolution/im2col.hpp>
#include <lpw/cpu/convolution/pointwise.hpp>
#include <lpw/cpu/elementwise.hpp>
#include <lpw/cpu/winograd/convolution.hpp>
#if LPW_WITH_ONEDNN
#include <lpw/cpu/onednn/conv2d.hpp>
#endif

namespace lpw::inline LPW_ABI {

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
  assert(x.mean.contiguous() && x.scale.contiguous() && x.shift.contiguous());
  return {x.mean.row(k), x.scale.row(k), x.shift.row(k), x.shape()[1], x.relu};
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

/// The members of weight row k by Winograd's algorithm: y, with its moments unless they are empty, plus the residual unless it is empty.
template <class T>
void forward_by_winograd(const Conv2dGeometry& g, const Activation<T, Cpu>& x, const Tensor<float, Cpu>& weight,
                         const Tensor<T, Cpu>& residual, std::int64_t k, Activation<T, Cpu>& y) {
  const T* const addend = residual.empty() ? nullptr : residual.row(k);
  const auto map = pending_map(x, k);
  if (y.moments.mean.empty()) return winograd::conv2d_forward(g, x.raw.row(k), map, weight.row(k), y.raw.row(k), addend);
  auto sums = winograd::moment_sums(g);
  winograd::conv2d_forward(g, x.raw.row(k), map, weight.row(k), y.raw.row(k), addend, sums);
  sums.finish(x.shape()[1], k, y.moments);
}

/// The same of the gradient dx, with its sums unless they are empty.
template <class T>
void backward_by_winograd(const Conv2dGeometry& g, const Tensor<T, Cpu>& dy, const Tensor<float, Cpu>& weight, const Activation<T, Cpu>& x,
                          std::int64_t k, Gradient<T, Cpu>& dx, Tensor<double, Cpu>& sums) {
  if (sums.empty()) return winograd::conv2d_backward_data(g, dy.row(k), weight.row(k), dx.tensor.row(k), dx.accumulate);
  auto partial = winograd::gradient_sums(g, x.raw.row(k), pending_map(x, k));
  winograd::conv2d_backward_data(g, dy.row(k), weight.row(k), dx.tensor.row(k), dx.accumulate, partial);
  partial.finish(k, sums);
}

/// y of shape `out` by any other algorithm.
template <class T>
[[nodiscard]] Tensor<T, Cpu> convolve(const Conv2dGeometry& g, const Activation<T, Cpu>& x, const Tensor<Accumulate<T>, Cpu>& weight,
                                      const Shape& out) {
  if constexpr (has_products<T>)
    if (by_products(g)) return pointwise::conv2d_forward(g, x, weight);
  Tensor<T, Cpu> y(out);
  const Tensor<T, Cpu> input = materialize(x);
  for (std::int64_t k = 0; k < weight.dim(0); ++k) conv2d_forward(g, input.row(k), weight.row(k), y.row(k));
  return y;
}

}  // namespace detail

/// y [K, B, Ho, Wo, O] = x [K, B, H, W, C] * weight [1 or K, O, kh, kw, C] (cross-correlation), Ho and Wo by window_count.
template <class T>
[[nodiscard]] Tensor<T, Cpu> conv2d_forward(const Activation<T, Cpu>& x, const Tensor<Accumulate<T>, Cpu>& weight, Conv2dOptions options) {
  return conv2d_forward(x, weight, options, Tensor<T, Cpu>(), false).raw;
}

/// The same plus `residual`, an empty one being none, whose memory may become y's if nobody else holds it. Winograd's algorithm does both
/// in one, rounding to bfloat16 once, and with `moments` set sums those of y.
template <class T>
[[nodiscard]] Activation<T, Cpu> conv2d_forward(const Activation<T, Cpu>& x, const Tensor<Accumulate<T>, Cpu>& weight,
                                                Conv2dOptions options, Tensor<T, Cpu> residual, bool moments) {
  const Conv2dGeometry g = conv2d_geometry(x.shape(), weight.shape(), options);
  const Shape out = conv2d_output(x.shape(), g);
  assert(residual.empty() || (residual.shape() == out && residual.contiguous()));
  if constexpr (std::is_same_v<Accumulate<T>, float>)
    if (detail::by_winograd<T>(g, x.shape()[1])) {
      Activation<T, Cpu> y{residual.unique() ? residual : Tensor<T, Cpu>(out)};
      if (moments) y.moments = {Tensor<float, Cpu>({out[0], out[4]}), Tensor<float, Cpu>({out[0], out[4]})};
      for (std::int64_t k = 0; k < weight.dim(0); ++k) detail::forward_by_winograd(g, x, weight, residual, k, y);
      return y;
    }
  auto y = detail::convolve(g, x, weight, out);
  return {residual.empty() ? std::move(y) : add_forward(std::move(y), residual)};
}

/// dx [K, B, H, W, C] from dy [K, B, Ho, Wo, O]: the gradient with respect to the materialised activation.
template <class T>
void conv2d_backward_data(const Tensor<T, Cpu>& dy, const Tensor<Accumulate<T>, Cpu>& weight, Conv2dOptions options, Gradient<T, Cpu>& dx) {
  (void)conv2d_backward_data(dy, weight, options, dx, Activation<T, Cpu>());
}

/// The same. Where x, of which dx is the gradient, is a batch norm with ReLU pending on its input, and Winograd's algorithm can sum on the
/// way: dx's sums for batch_norm_backward, [K, 2, C]; else nothing.
template <class T>
[[nodiscard]] Tensor<double, Cpu> conv2d_backward_data(const Tensor<T, Cpu>& dy, const Tensor<Accumulate<T>, Cpu>& weight,
                                                       Conv2dOptions options, Gradient<T, Cpu>& dx, const Activation<T, Cpu>& x) {
  const Conv2dGeometry g = conv2d_geometry(dx.tensor.shape(), weight.shape(), options);
  assert(dy.dim(2) == g.out_height() && dy.dim(3) == g.out_width() && dy.dim(4) == g.out_channels);
  if constexpr (detail::has_products<T>)
    if (detail::by_products(g)) {
      pointwise::conv2d_backward_data(g, dy, weight, dx);
      return {};
    }
  if constexpr (std::is_same_v<Accumulate<T>, float>)
    if (detail::by_winograd<T>(g, dy.dim(1))) {
      const bool summed = x.pending() && x.relu;
      Tensor<double, Cpu> sums;
      if (summed) sums = Tensor<double, Cpu>({dx.tensor.dim(0), 2, g.channels});
      for (std::int64_t k = 0; k < weight.dim(0); ++k) detail::backward_by_winograd(g, dy, weight, x, k, dx, sums);
      return sums;
    }
  for (std::int64_t k = 0; k < weight.dim(0); ++k)
    detail::conv2d_backward_data(g, dy.row(k), weight.row(k), dx.tensor.row(k), dx.accumulate);
  return {};
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

}  // namespace lpw::inline LPW_ABI
