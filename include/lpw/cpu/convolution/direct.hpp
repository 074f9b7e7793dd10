// Direct convolutions: oneDNN's, or where it is not the engine or lacks the case, products of gathered patches. A
// pending activation is materialised into a pooled temporary that lives only as long as the call.
#pragma once

#include <lpw/cpu/activation.hpp>
#include <lpw/cpu/base/engine.hpp>
#include <lpw/cpu/convolution/im2col.hpp>
#if LPW_WITH_ONEDNN
#include <lpw/cpu/onednn/conv2d.hpp>
#endif

namespace lpw::inline LPW_ABI::direct {

namespace detail {

template <class T, class W>
void forward(const Conv2dGeometry& g, const T* x, const W* weight, T* y) {
#if LPW_WITH_ONEDNN
  if constexpr (onednn::supports<T>)
    if (cpu_engine() == CpuEngine::onednn && onednn::conv2d_forward(g, x, weight, y)) return;
#endif
  im2col::conv2d_forward(g, x, weight, y);
}

template <class T, class W>
void backward_data(const Conv2dGeometry& g, const T* dy, const W* weight, T* dx, bool accumulate) {
#if LPW_WITH_ONEDNN
  if constexpr (onednn::supports<T>)
    if (cpu_engine() == CpuEngine::onednn && onednn::conv2d_backward_data(g, dy, weight, dx, accumulate)) return;
#endif
  im2col::conv2d_backward_data(g, dy, weight, dx, accumulate);
}

template <class T, class W>
void backward_weight(const Conv2dGeometry& g, const T* x, const T* dy, W* dweight, bool accumulate) {
#if LPW_WITH_ONEDNN
  if constexpr (onednn::supports<T>)
    if (cpu_engine() == CpuEngine::onednn && onednn::conv2d_backward_weight(g, x, dy, dweight, accumulate)) return;
#endif
  im2col::conv2d_backward_weight(g, x, dy, dweight, accumulate);
}

}  // namespace detail

/// y [K, B, Ho, Wo, O] from x [K, B, H, W, C] and weight [1 or K, O, kh, kw, C / G].
template <class T>
[[nodiscard]] Tensor<T, Cpu> conv2d_forward(const Conv2dGeometry& g, const Activation<T, Cpu>& x,
                                            const Tensor<Accumulate<T>, Cpu>& weight) {
  Tensor<T, Cpu> y(conv2d_output(x.shape(), g));
  const Tensor<T, Cpu> input = materialize(x);
  for (std::int64_t k = 0; k < weight.dim(0); ++k) detail::forward(g, input.row(k), weight.row(k), y.row(k));
  return y;
}

/// dx [K, B, H, W, C] (+)= the adjoint of the forward applied to dy [K, B, Ho, Wo, O].
template <class T>
void conv2d_backward_data(const Conv2dGeometry& g, const Tensor<T, Cpu>& dy, const Tensor<Accumulate<T>, Cpu>& weight,
                          Gradient<T, Cpu>& dx) {
  for (std::int64_t k = 0; k < weight.dim(0); ++k)
    detail::backward_data(g, dy.row(k), weight.row(k), dx.tensor.row(k), dx.accumulate);
}

/// dweight [1 or K, O, kh, kw, C / G] (+)= the sum over the images of each of its rows.
template <class T>
void conv2d_backward_weight(const Conv2dGeometry& g, const Activation<T, Cpu>& x, const Tensor<T, Cpu>& dy,
                            Gradient<Accumulate<T>, Cpu>& dweight) {
  const Tensor<T, Cpu> input = materialize(x);
  for (std::int64_t k = 0; k < dweight.tensor.dim(0); ++k)
    detail::backward_weight(g, input.row(k), dy.row(k), dweight.tensor.row(k), dweight.accumulate);
}

}  // namespace lpw::inline LPW_ABI::direct
