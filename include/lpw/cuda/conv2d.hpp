// Convolutions on the GPU: cuDNN. A weight with one row makes one convolution of all members' images; a row per member makes K of them.
#pragma once

#include <cassert>

#include <lpw/cuda/activation.hpp>
#include <lpw/cuda/cudnn.hpp>

namespace lpw {

namespace cuda::detail {

/// Runs a pass for each row of the weight. The operands' row() gives each its part.
template <class Pass, class T, class X, class Weight, class Y>
void convolve_rows(const Conv2dGeometry& g, X& x, Weight& weight, Y& y, bool accumulate) {
  for (std::int64_t k = 0; k < weight.dim(0); ++k) {
    ConvolutionOperands operands{const_cast<T*>(x.row(k)), const_cast<T*>(weight.row(k)), const_cast<T*>(y.row(k))};
    const void* output = Pass::output(operands);
    const std::int64_t size = output == operands.x   ? g.images * g.in_size()
                              : output == operands.y ? g.images * g.out_size()
                                                     : weight.shape().size_from(1);
    convolve<Pass, T>(g, operands, size, accumulate);
  }
}

}  // namespace cuda::detail

/// y [K, B, Ho, Wo, O] = x [K, B, H, W, C] * weight [1 or K, O, kh, kw, C] (cross-correlation), Ho and Wo by window_count.
template <class T>
[[nodiscard]] Tensor<T, Cuda> conv2d_forward(const Activation<T, Cuda>& x, const Tensor<float, Cuda>& weight, Conv2dOptions options) {
  const Conv2dGeometry g = conv2d_geometry(x.shape(), weight.shape(), options);
  const auto input = materialize(x);
  const auto w = cuda::weights_as<T>(weight);
  Tensor<T, Cuda> y({x.shape()[0], x.shape()[1], g.out_height(), g.out_width(), g.out_channels});
  cuda::detail::convolve_rows<cuda::detail::ForwardPass, T>(g, input, w, y, false);
  return y;
}

/// dx [K, B, H, W, C] from dy [K, B, Ho, Wo, O].
template <class T>
void conv2d_backward_data(const Tensor<T, Cuda>& dy, const Tensor<float, Cuda>& weight, Conv2dOptions options, Gradient<T, Cuda>& dx) {
  const Conv2dGeometry g = conv2d_geometry(dx.tensor.shape(), weight.shape(), options);
  const auto w = cuda::weights_as<T>(weight);
  cuda::detail::convolve_rows<cuda::detail::BackwardDataPass, T>(g, dx.tensor, w, dy, dx.accumulate);
}

/// dweight [1 or K, O, kh, kw, C] from x and dy: summed over the images, and over the members too if it has one row. In bfloat16 cuDNN
/// rounds the sum, which is then added in float.
template <class T>
void conv2d_backward_weight(const Activation<T, Cuda>& x, const Tensor<T, Cuda>& dy, Conv2dOptions options,
                            Gradient<float, Cuda>& dweight) {
  const Conv2dGeometry g = conv2d_geometry(x.shape(), dweight.tensor.shape(), options);
  const auto input = materialize(x);
  using cuda::detail::BackwardWeightPass;
  if constexpr (std::is_same_v<T, float>) {
    cuda::detail::convolve_rows<BackwardWeightPass, T>(g, input, dweight.tensor, dy, dweight.accumulate);
  } else {
    Tensor<T, Cuda> rounded(dweight.tensor.shape());
    cuda::detail::convolve_rows<BackwardWeightPass, T>(g, input, rounded, dy, false);
    cuda::convert(rounded, dweight.tensor, dweight.accumulate);
  }
}

}  // namespace lpw
