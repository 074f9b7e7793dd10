// primitives/elementwise.hpp on the GPU.
#pragma once

#include <lpw/cuda/base/rows.hpp>
#include <lpw/kernels/rank_one.cuh>
#include <lpw/primitives/elementwise.hpp>

namespace lpw::inline LPW_ABI {

namespace cuda::detail {

/// sum = a + b, row by row where any is strided; b may be one row, to be added to each. `sum` may be a.
template <class T>
void add_rows(const Tensor<T, Cuda>& a, const Tensor<T, Cuda>& b, Tensor<T, Cuda>& sum) {
  if (a.size() == 0) return;
  const bool flat = a.shape() == b.shape() && a.contiguous() && b.contiguous() && sum.contiguous();
  const auto stride = [&](const auto& tensor) { return flat || tensor.dim(0) == 1 ? 0 : tensor.row_stride(); };
  const std::int64_t rows = flat ? 1 : a.dim(0);
  const kernels::Add<T> p{a.data(), b.data(), sum.data(), rows, a.size() / rows, stride(a), stride(b), stride(sum)};
  const int width =
      vector_width<T>(p.a_stride | p.b_stride | p.sum_stride, {p.a, p.b, p.sum});  // | keeps every factor's low bits
  with_width<T>(width, [&](auto n) { launch(kernels::add<T, n()>, element_plan(p.length / width, rows), p); });
}

template <class T>
void add(const Tensor<T, Cuda>& a, const Tensor<T, Cuda>& b, Tensor<T, Cuda>& sum) {
  require<ShapeError>(a.shape() == b.shape(), "add: ", a.shape(), " and ", b.shape());
  add_rows(a, b, sum);
}

/// y (+)= x factor, factor [1 or K, C] broadcast over the rows of x [K, ..., C].
template <class T>
void scale_channels(const Tensor<T, Cuda>& x, const Tensor<float, Cuda>& factor, Tensor<T, Cuda>& y, bool accumulate) {
  const auto view = member_rows("scale_channels", x.shape());
  with_row_plan<T>(view, {x.data(), y.data()}, false, [&](auto width, const auto& plan) {
    const std::int64_t stride = member_stride(factor, view.members);
    const kernels::ScaleChannels<T> p{x.data(), y.data(), factor.data(), stride, accumulate, plan.tiling};
    launch(kernels::scale_channels<T, width()>, plan.launch, p);
  });
}

/// sum [1 or K, C] (+)= the sum over the rows of x dy, and over the members if it has one row; an empty x is ones.
template <class T>
void sum_products(const char* primitive, const Tensor<T, Cuda>& x, const Tensor<T, Cuda>& dy,
                  Gradient<float, Cuda>& sum) {
  const auto view = member_rows(primitive, dy.shape());
  with_row_plan<T>(view, {x.data(), dy.data()}, true, [&](auto width, const auto& plan) {
    Tensor<float, Cuda> partial({view.members * plan.tiling.group * view.channels});
    kernels::ScaleChannelsBackward<T> p{};
    p.x = x.data();
    p.dy = dy.data();
    p.dfactor = sum.tensor.data();
    p.dfactor_stride = member_stride(sum.tensor, view.members);
    p.add_to_dfactor = sum.accumulate;
    p.partial = partial.data();
    p.arrivals = counters(static_cast<std::size_t>(plan.tiling.items()));
    p.tiling = plan.tiling;
    launch(kernels::scale_channels_backward<T, width()>, plan.launch, p);
  });
}

}  // namespace cuda::detail

template <class T>
void add_in_place(Tensor<T, Cuda>& target, const Tensor<T, Cuda>& value) {
  cuda::detail::add(target, value, target);
}

template <class T>
[[nodiscard]] Tensor<T, Cuda> add_forward(Tensor<T, Cuda> a, const Tensor<T, Cuda>& b) {
  const bool in_place = a.unique() && a.contiguous();
  Tensor<T, Cuda> sum = in_place ? a : Tensor<T, Cuda>(a.shape());
  cuda::detail::add(a, b, sum);
  return sum;
}

template <class T>
[[nodiscard]] Tensor<T, Cuda> relu_forward(const Tensor<T, Cuda>& x) {
  Tensor<T, Cuda> y(x.shape());
  const kernels::ReluForward<T> p{x.data(), y.data(), x.size()};
  const int width = vector_width<T>(0, {p.x, p.y});  // of one row; the kernel takes what is left at its end
  cuda::with_width<T>(
      width, [&](auto n) { cuda::launch(kernels::relu_forward<T, n()>, cuda::element_plan(p.size / width), p); });
  return y;
}

template <class T>
void relu_backward(const Tensor<T, Cuda>& y, const Tensor<T, Cuda>& dy, Gradient<T, Cuda>& dx) {
  const kernels::ReluBackward<T> p{y.data(), dy.data(), dx.tensor.data(), y.size(), dx.accumulate};
  const int width = vector_width<T>(0, {p.y, p.dy, p.dx});
  cuda::with_width<T>(
      width, [&](auto n) { cuda::launch(kernels::relu_backward<T, n()>, cuda::element_plan(p.size / width), p); });
}

template <class T>
[[nodiscard]] Tensor<T, Cuda> scale_channels_forward(const Tensor<T, Cuda>& x, const Tensor<float, Cuda>& factor) {
  Tensor<T, Cuda> y(x.shape());
  cuda::detail::scale_channels(x, factor, y, false);
  return y;
}

template <class T>
void scale_channels_backward_data(const Tensor<T, Cuda>& dy, const Tensor<float, Cuda>& factor, Gradient<T, Cuda>& dx) {
  cuda::detail::scale_channels(dy, factor, dx.tensor, dx.accumulate);
}

template <class T>
void scale_channels_backward_factor(const Tensor<T, Cuda>& x, const Tensor<T, Cuda>& dy,
                                    Gradient<float, Cuda>& dfactor) {
  cuda::detail::sum_products("scale_channels", x, dy, dfactor);
}

template <class T>
[[nodiscard]] Tensor<T, Cuda> add_channels_forward(const Tensor<T, Cuda>& x, const Tensor<float, Cuda>& bias) {
  const auto view = cuda::member_rows("add_channels", x.shape());
  Tensor<T, Cuda> y(x.shape());
  cuda::with_row_plan<T>(view, {x.data(), y.data()}, false, [&](auto width, const auto& plan) {
    const kernels::AddChannels<T> p{x.data(), y.data(), bias.data(), cuda::member_stride(bias, view.members),
                                    plan.tiling};
    cuda::launch(kernels::add_channels<T, width()>, plan.launch, p);
  });
  return y;
}

}  // namespace lpw::inline LPW_ABI
