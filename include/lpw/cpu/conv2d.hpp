// Convolution on the CPU: members, pending activations and the choice between Winograd's algorithm, matrix products, oneDNN and im2col. A
// weight with one row makes one convolution over [K B, H, W, C]; a weight with a row per member makes K of them, each over its own images.
// Winograd's algorithm and 1x1 kernels apply a pending activation while they read; for the others it is materialised into a pooled
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

/// True if Winograd's algorithm is to convolve members with `batch` images each: of float, and of bfloat16 where that is not faster itself.
template <class T>
[[nodiscard]] bool by_winograd(const Conv2dGeometry& g, std::int64_t batch) {
  bool slow = std::is_same_v<T, bfloat16>;
#if LPW_WITH_ONEDNN
  slow = slow && !(cpu_engine() == CpuEngine::onednn && onednn::bfloat16_is_fast());
#endif
  return (std::is_same_v<T, float> || slow) && convolution() == Convolution::winograd && winograd::pays(g, batch);
}

/// True if a 1x1 convolution of T is to be a matrix product. Eigen's would leave most of a weight's gradient to one thread.
template <class T>
[[nodiscard]] bool by_pixels([[maybe_unused]] const Conv2dGeometry& g) {
#if LPW_WITH_ONEDNN
  if constexpr (onednn::supports<T>) return cpu_engine() == CpuEngine::onednn && pointwise::supports(g);
#endif
  return false;
}

/// The map pending on x from member k on.
template <class T>
[[nodiscard]] winograd::PendingMap pending_map(const Activation<T, Cpu>& x, std::int64_t k) {
  if (!x.pending()) return {};
  assert(x.scale.contiguous() && x.shift.contiguous());
  return {x.scale.row(k), x.shift.row(k), x.shape()[1], x.relu};
}

/// target (+)= value, rounded.
template <class T, class V>
void put(T* target, const V* value, std::int64_t size, bool accumulate) {
  using W = Accumulate<T>;
#pragma omp parallel for simd schedule(static)
  for (std::int64_t i = 0; i < size; ++i) store(target[i], accumulate ? W(target[i]) + W(value[i]) : W(value[i]));
}

#if LPW_WITH_ONEDNN
/// The type that oneDNN is to convolve T in.
template <class T, class F>
void with_onednn_type(F&& f) {
  if constexpr (std::is_same_v<T, bfloat16>)
    if (!onednn::bfloat16_is_fast()) return f(float());
  f(T());
}

/// A matrix as F: where they lie, or converted.
template <class F, class T>
[[nodiscard]] ConvertedMatrix<F> elements_as(const T* data, std::int64_t rows, std::int64_t columns) {
  return ConvertedMatrix<F>(matrix(data, rows, columns));
}

/// The three passes by oneDNN; false if it does not implement a case, with nothing written.
template <class T>
[[nodiscard]] bool conv2d_onednn(const Conv2dGeometry& g, const T* x, const float* weight, T* y) {
  bool done = false;
  with_onednn_type<T>([&]<class F>(F) {
    const auto in = elements_as<F>(x, g.images, g.in_size());
    if constexpr (std::is_same_v<F, T>) {
      done = onednn::conv2d_forward(g, in.view().data, weight, y);
    } else {
      Tensor<F, Cpu> out({g.images * g.out_size()});
      done = onednn::conv2d_forward(g, in.view().data, weight, out.data());
      if (done) put(y, out.data(), out.size(), false);
    }
  });
  return done;
}

template <class T>
[[nodiscard]] bool conv2d_data_onednn(const Conv2dGeometry& g, const T* dy, const float* weight, T* dx, bool accumulate) {
  bool done = false;
  with_onednn_type<T>([&]<class F>(F) {
    const auto out = elements_as<F>(dy, g.images, g.out_size());
    if constexpr (std::is_same_v<F, T>)
      if (!accumulate) {
        done = onednn::conv2d_backward_data(g, out.view().data, weight, dx);
        return;
      }
    Tensor<F, Cpu> fresh({g.images * g.in_size()});  // oneDNN's backward convolutions cannot add to their destination
    done = onednn::conv2d_backward_data(g, out.view().data, weight, fresh.data());
    if (done) put(dx, fresh.data(), fresh.size(), accumulate);
  });
  return done;
}

template <class T>
[[nodiscard]] bool conv2d_weight_onednn(const Conv2dGeometry& g, const T* x, const T* dy, float* dweight, bool accumulate) {
  bool done = false;
  with_onednn_type<T>([&]<class F>(F) {
    const auto in = elements_as<F>(x, g.images, g.in_size()), out = elements_as<F>(dy, g.images, g.out_size());
    done = onednn::conv2d_backward_weight(g, in.view().data, out.view().data, dweight, accumulate);
  });
  return done;
}
#endif

template <class T, class W>
void conv2d_forward(const Conv2dGeometry& g, const T* x, const W* weight, T* y) {
#if LPW_WITH_ONEDNN
  if constexpr (onednn::supports<T>)
    if (cpu_engine() == CpuEngine::onednn && conv2d_onednn(g, x, weight, y)) return;
#endif
  im2col::conv2d_forward(g, x, weight, y);
}

template <class T, class W>
void conv2d_backward_data(const Conv2dGeometry& g, const T* dy, const W* weight, T* dx, bool accumulate) {
#if LPW_WITH_ONEDNN
  if constexpr (onednn::supports<T>)
    if (cpu_engine() == CpuEngine::onednn && conv2d_data_onednn(g, dy, weight, dx, accumulate)) return;
#endif
  im2col::conv2d_backward_data(g, dy, weight, dx, accumulate);
}

template <class T, class W>
void conv2d_backward_weight(const Conv2dGeometry& g, const T* x, const T* dy, W* dweight, bool accumulate) {
#if LPW_WITH_ONEDNN
  if constexpr (onednn::supports<T>)
    if (cpu_engine() == CpuEngine::onednn && conv2d_weight_onednn(g, x, dy, dweight, accumulate)) return;
#endif
  im2col::conv2d_backward_weight(g, x, dy, dweight, accumulate);
}

}  // namespace detail

/// y [K, B, Ho, Wo, O] = x [K, B, H, W, C] * weight [1 or K, O, kh, kw, C] (cross-correlation), Ho and Wo by window_count.
template <class T>
[[nodiscard]] Tensor<T, Cpu> conv2d_forward(const Activation<T, Cpu>& x, const Tensor<Accumulate<T>, Cpu>& weight, Conv2dOptions options) {
  const Conv2dGeometry g = conv2d_geometry(x.shape(), weight.shape(), options);
  Tensor<T, Cpu> y({x.shape()[0], x.shape()[1], g.out_height(), g.out_width(), g.out_channels});
  if constexpr (std::is_same_v<Accumulate<T>, float>)
    if (detail::by_winograd<T>(g, x.shape()[1])) {
      for (std::int64_t k = 0; k < weight.dim(0); ++k)
        winograd::conv2d_forward(g, x.raw.row(k), detail::pending_map(x, k), weight.row(k), y.row(k));
      return y;
    }
  if (detail::by_pixels<T>(g)) {
    pointwise::conv2d_forward(g, x, weight, y);
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
  if constexpr (std::is_same_v<Accumulate<T>, float>)
    if (detail::by_winograd<T>(g, dy.dim(1))) {
      for (std::int64_t k = 0; k < weight.dim(0); ++k)
        winograd::conv2d_backward_data(g, dy.row(k), weight.row(k), dx.tensor.row(k), dx.accumulate);
      return;
    }
  if (detail::by_pixels<T>(g)) return pointwise::conv2d_backward_data(g, dy, weight, dx);
  for (std::int64_t k = 0; k < weight.dim(0); ++k)
    detail::conv2d_backward_data(g, dy.row(k), weight.row(k), dx.tensor.row(k), dx.accumulate);
}

/// dweight [1 or K, O, kh, kw, C] from x and dy: summed over the images, and over the members too if it has one row.
template <class T>
void conv2d_backward_weight(const Activation<T, Cpu>& x, const Tensor<T, Cpu>& dy, Conv2dOptions options,
                            Gradient<Accumulate<T>, Cpu>& dweight) {
  const Conv2dGeometry g = conv2d_geometry(x.shape(), dweight.tensor.shape(), options);
  assert(dy.dim(2) == g.out_height() && dy.dim(3) == g.out_width() && dy.dim(4) == g.out_channels);
  if constexpr (std::is_same_v<Accumulate<T>, float>)
    if (detail::by_winograd<T>(g, dy.dim(1))) {
      for (std::int64_t k = 0; k < dweight.tensor.dim(0); ++k)
        winograd::conv2d_backward_weight(g, x.raw.row(k), detail::pending_map(x, k), dy.row(k), dweight.tensor.row(k), dweight.accumulate);
      return;
    }
  if (detail::by_pixels<T>(g)) return pointwise::conv2d_backward_weight(g, x, dy, dweight);
  const Tensor<T, Cpu> input = materialize(x);
  for (std::int64_t k = 0; k < dweight.tensor.dim(0); ++k)
    detail::conv2d_backward_weight(g, input.row(k), dy.row(k), dweight.tensor.row(k), dweight.accumulate);
}

}  // namespace lpw
