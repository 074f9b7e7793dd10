// Convolutions on the CPU: for each pass the algorithm that choose_convolution() names. A weight with one row makes one
// convolution over [K B, H, W, C]; a weight with a row per member makes K of them, each over its own images. Winograd's
// algorithm and strided 1x1 kernels apply a pending activation while they read; for the others it is materialised.
#pragma once

#include <cassert>

#include <lpw/cpu/activation.hpp>
#include <lpw/cpu/convolution/algorithm.hpp>
#include <lpw/cpu/convolution/direct.hpp>
#include <lpw/cpu/convolution/pointwise.hpp>
#include <lpw/cpu/elementwise.hpp>
#include <lpw/cpu/winograd/convolution.hpp>

namespace lpw::inline LPW_ABI {

namespace detail {

/// The map pending on x from member k on.
template <class T>
[[nodiscard]] winograd::PendingMap pending_map(const Activation<T, Cpu>& x, std::int64_t k) {
  if (!x.pending()) return {};
  assert(x.mean.contiguous() && x.scale.contiguous() && x.shift.contiguous());
  return {x.mean.row(k), x.scale.row(k), x.shift.row(k), x.shape()[1], x.relu};
}

/// y, plus the residual unless it is empty, and with `moments` set y's: all in one pass over the tiles.
template <class T>
[[nodiscard]] Activation<T, Cpu> forward_by_winograd(const Conv2dGeometry& g, const Activation<T, Cpu>& x,
                                                     const Tensor<float, Cpu>& weight, const Tensor<T, Cpu>& residual,
                                                     bool moments) {
  const Shape out = conv2d_output(x.shape(), g);
  Activation<T, Cpu> y{residual.unique() ? residual : Tensor<T, Cpu>(out)};
  if (moments) y.moments = {Tensor<float, Cpu>({out[0], out[4]}), Tensor<float, Cpu>({out[0], out[4]})};
  for (std::int64_t k = 0; k < weight.dim(0); ++k) {
    const T* const addend = residual.empty() ? nullptr : residual.row(k);
    const auto map = pending_map(x, k);
    if (moments) {
      auto sums = winograd::moment_sums(g);
      winograd::conv2d_forward(g, x.raw.row(k), map, weight.row(k), y.raw.row(k), addend, sums);
      sums.finish(x.shape()[1], k, y.moments);
    } else {
      winograd::conv2d_forward(g, x.raw.row(k), map, weight.row(k), y.raw.row(k), addend);
    }
  }
  return y;
}

/// dx, and the sums of what is pending on x, unless that is nothing or has no ReLU.
template <class T>
[[nodiscard]] Tensor<double, Cpu> backward_by_winograd(const Conv2dGeometry& g, const Tensor<T, Cpu>& dy,
                                                       const Tensor<float, Cpu>& weight, const Activation<T, Cpu>& x,
                                                       Gradient<T, Cpu>& dx) {
  Tensor<double, Cpu> sums;
  if (x.pending() && x.relu) sums = Tensor<double, Cpu>({dx.tensor.dim(0), 2, g.channels});
  for (std::int64_t k = 0; k < weight.dim(0); ++k) {
    if (sums.empty()) {
      winograd::conv2d_backward_data(g, dy.row(k), weight.row(k), dx.tensor.row(k), dx.accumulate);
    } else {
      auto partial = winograd::gradient_sums(g, x.raw.row(k), pending_map(x, k));
      winograd::conv2d_backward_data(g, dy.row(k), weight.row(k), dx.tensor.row(k), dx.accumulate, partial);
      partial.finish(k, sums);
    }
  }
  return sums;
}

template <class T>
void weight_gradient_by_winograd(const Conv2dGeometry& g, const Activation<T, Cpu>& x, const Tensor<T, Cpu>& dy,
                                 Gradient<float, Cpu>& dweight) {
  for (std::int64_t k = 0; k < dweight.tensor.dim(0); ++k)
    winograd::conv2d_backward_weight(g, x.raw.row(k), pending_map(x, k), dy.row(k), dweight.tensor.row(k),
                                     dweight.accumulate);
}

}  // namespace detail

template <class T>
[[nodiscard]] Tensor<T, Cpu> conv2d_forward(const Activation<T, Cpu>& x, const Tensor<Accumulate<T>, Cpu>& weight,
                                            Conv2dOptions options) {
  return conv2d_forward(x, weight, options, Tensor<T, Cpu>(), false).raw;
}

/// Winograd's algorithm adds the residual while it writes y, rounding to bfloat16 once, and sums the moments then.
template <class T>
[[nodiscard]] Activation<T, Cpu> conv2d_forward(const Activation<T, Cpu>& x, const Tensor<Accumulate<T>, Cpu>& weight,
                                                Conv2dOptions options, Tensor<T, Cpu> residual, bool moments) {
  const Conv2dGeometry g = conv2d_geometry(x.shape(), weight.shape(), options);
  assert(residual.empty() || (residual.shape() == conv2d_output(x.shape(), g) && residual.contiguous()));
  Tensor<T, Cpu> y;
  switch (choose_convolution<T>(g, x.shape()[1])) {
    case ConvolutionAlgorithm::winograd:
      if constexpr (detail::has_winograd<T>) return detail::forward_by_winograd(g, x, weight, residual, moments);
      break;
    case ConvolutionAlgorithm::products:
      y = pointwise::conv2d_forward(g, x, weight);
      break;
    case ConvolutionAlgorithm::direct:
      y = direct::conv2d_forward(g, x, weight);
      break;
  }
  return {residual.empty() ? std::move(y) : add_forward(std::move(y), residual)};
}

template <class T>
void conv2d_backward_data(const Tensor<T, Cpu>& dy, const Tensor<Accumulate<T>, Cpu>& weight, Conv2dOptions options,
                          Gradient<T, Cpu>& dx) {
  (void)conv2d_backward_data(dy, weight, options, dx, Activation<T, Cpu>());
}

/// Winograd's algorithm alone sums, while it writes dx.
template <class T>
[[nodiscard]] Tensor<double, Cpu> conv2d_backward_data(const Tensor<T, Cpu>& dy,
                                                       const Tensor<Accumulate<T>, Cpu>& weight, Conv2dOptions options,
                                                       Gradient<T, Cpu>& dx, const Activation<T, Cpu>& x) {
  const Conv2dGeometry g = conv2d_geometry(dx.tensor.shape(), weight.shape(), options);
  assert(dy.dim(2) == g.out_height() && dy.dim(3) == g.out_width() && dy.dim(4) == g.out_channels);
  switch (choose_convolution<T>(g, dy.dim(1))) {
    case ConvolutionAlgorithm::winograd:
      if constexpr (detail::has_winograd<T>) return detail::backward_by_winograd(g, dy, weight, x, dx);
      break;
    case ConvolutionAlgorithm::products:
      pointwise::conv2d_backward_data(g, dy, weight, dx);
      break;
    case ConvolutionAlgorithm::direct:
      direct::conv2d_backward_data(g, dy, weight, dx);
      break;
  }
  return {};
}

template <class T>
void conv2d_backward_weight(const Activation<T, Cpu>& x, const Tensor<T, Cpu>& dy, Conv2dOptions options,
                            Gradient<Accumulate<T>, Cpu>& dweight) {
  const Conv2dGeometry g = conv2d_geometry(x.shape(), dweight.tensor.shape(), options);
  assert(dy.dim(2) == g.out_height() && dy.dim(3) == g.out_width() && dy.dim(4) == g.out_channels);
  switch (choose_convolution<T>(g, dy.dim(1))) {
    case ConvolutionAlgorithm::winograd:
      if constexpr (detail::has_winograd<T>) detail::weight_gradient_by_winograd(g, x, dy, dweight);
      break;
    case ConvolutionAlgorithm::products:
      pointwise::conv2d_backward_weight(g, x, dy, dweight);
      break;
    case ConvolutionAlgorithm::direct:
      direct::conv2d_backward_weight(g, x, dy, dweight);
      break;
  }
}

}  // namespace lpw::inline LPW_ABI
