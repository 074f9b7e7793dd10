// Convolutions by oneDNN's direct algorithm. Activations stay dense NHWC; the weight takes whatever layout oneDNN likes best, and is
// reordered from (or, as a gradient, to) the float32 OHWI store on every call: it changes every step, and the reorder is small beside the
// work.
#pragma once

#include <lpw/cpu/conv2d_geometry.hpp>
#include <lpw/cpu/matrix.hpp>
#include <lpw/cpu/onednn.hpp>
#include <lpw/cpu/parallel.hpp>

namespace lpw::onednn {

enum class Conv2dPass : std::int64_t { forward, backward_data, backward_weight };

/// One pass of one convolution, and the reorder between the weight's store and the layout the pass wants.
struct Conv2dPlan {
  Operation convolution, reorder;
  dnnl::memory::desc in, weight, out, store;
};

namespace detail {

using Descs = std::array<dnnl::memory::desc, 3>;  // input, weight, output; `any` lets oneDNN choose

template <class T>
[[nodiscard]] Descs conv2d_descs(const Conv2dGeometry& g, dnnl::memory::data_type weight_type) {
  using Tag = dnnl::memory::format_tag;
  return {dnnl::memory::desc({g.images, g.channels, g.height, g.width}, data_type<T>, Tag::nhwc),
          dnnl::memory::desc({g.out_channels, g.channels, g.kernel_height, g.kernel_width}, weight_type, Tag::any),
          dnnl::memory::desc({g.images, g.out_channels, g.out_height(), g.out_width()}, data_type<T>, Tag::nhwc)};
}

template <class T>
[[nodiscard]] Conv2dPlan make_conv2d(Conv2dPass pass, const Conv2dGeometry& g, bool accumulate) {
  const auto direct = dnnl::algorithm::convolution_direct;
  const dnnl::memory::dims stride{g.stride, g.stride}, padding{g.padding, g.padding};
  const dnnl::memory::desc store({g.out_channels, g.channels, g.kernel_height, g.kernel_width}, dnnl::memory::data_type::f32,
                                 dnnl::memory::format_tag::ohwi);
  const auto [in, weight, out] = conv2d_descs<T>(g, data_type<T>);
  const auto forward = describe<dnnl::convolution_forward>(attributes(), dnnl::prop_kind::forward_training, direct, in, weight, out, stride,
                                                           padding, padding);
  if (pass == Conv2dPass::forward) {
    const auto chosen = forward.weights_desc();
    return {{dnnl::convolution_forward(forward), forward}, onednn::reorder(store, chosen), in, chosen, out, store};
  }
  if (pass == Conv2dPass::backward_data) {
    const auto desc =
        describe_backward<dnnl::convolution_backward_data>(attributes(), forward, direct, in, weight, out, stride, padding, padding);
    const auto chosen = desc.weights_desc();
    return {{dnnl::convolution_backward_data(desc), desc}, onednn::reorder(store, chosen), in, chosen, out, store};
  }
  const auto gradient = conv2d_descs<T>(g, dnnl::memory::data_type::f32)[1];
  const auto desc =
      describe_backward<dnnl::convolution_backward_weights>(attributes(), forward, direct, in, gradient, out, stride, padding, padding);
  const auto chosen = desc.diff_weights_desc();
  return {{dnnl::convolution_backward_weights(desc), desc}, onednn::reorder(chosen, store, accumulate), in, chosen, out, store};
}

template <class T>
[[nodiscard]] std::shared_ptr<const Conv2dPlan> find_conv2d(Conv2dPass pass, const Conv2dGeometry& g, bool accumulate = false) {
  // oneDNN fixes a primitive's division of work among threads when it is made.
  Cache<Conv2dPlan>::Key key{static_cast<std::int64_t>(pass), static_cast<std::int64_t>(data_type<T>), accumulate, max_threads()};
  const auto numbers = g.numbers();
  std::copy(numbers.begin(), numbers.end(), key.begin() + 4);
  return cache<Conv2dPlan>().find(key, [&] { return make_conv2d<T>(pass, g, accumulate); });
}

/// Converting bfloat16 to the float that it is convolved in takes a few images at a time, so that little memory holds them.
inline constexpr std::int64_t images_widened = 32;

/// Calls f(geometry, first image) for runs of images, while it returns true.
template <class F>
[[nodiscard]] bool for_each_widened(const Conv2dGeometry& g, F&& f) {
  for (std::int64_t first = 0; first < g.images; first += images_widened) {
    Conv2dGeometry part = g;
    part.images = std::min(images_widened, g.images - first);
    if (!f(part, first)) return false;
  }
  return true;
}

/// The inputs and the outputs of a convolution as matrices of image rows, over which conversions are parallel.
template <class T>
[[nodiscard]] MatrixView<T> in_rows(const Conv2dGeometry& g, T* images) {
  return matrix(images, g.images * g.height, g.width * g.channels);
}
template <class T>
[[nodiscard]] MatrixView<T> out_rows(const Conv2dGeometry& g, T* images) {
  return matrix(images, g.images * g.out_height(), g.out_width() * g.out_channels);
}

/// y = x * weight; false if oneDNN does not implement this case, with nothing written.
template <class T>
[[nodiscard]] bool convolve_forward(const Conv2dGeometry& g, const T* x, const float* weight, T* y) {
  return translate_errors("conv2d_forward", [&] {
    const auto plan = find_conv2d<T>(Conv2dPass::forward, g);
    if (!plan) return false;
    const Buffer reordered(plan->weight);
    plan->reorder.run({{DNNL_ARG_FROM, memory(plan->store, weight)}, {DNNL_ARG_TO, reordered.get()}});
    plan->convolution.run({{DNNL_ARG_SRC, memory(plan->in, x)}, {DNNL_ARG_WEIGHTS, reordered.get()}, {DNNL_ARG_DST, memory(plan->out, y)}});
    return true;
  });
}

/// dx from dy; false if oneDNN does not implement this case, with nothing written.
template <class T>
[[nodiscard]] bool convolve_backward_data(const Conv2dGeometry& g, const T* dy, const float* weight, T* dx) {
  return translate_errors("conv2d_backward_data", [&] {
    const auto plan = find_conv2d<T>(Conv2dPass::backward_data, g);
    if (!plan) return false;
    const Buffer reordered(plan->weight);
    plan->reorder.run({{DNNL_ARG_FROM, memory(plan->store, weight)}, {DNNL_ARG_TO, reordered.get()}});
    plan->convolution.run(
        {{DNNL_ARG_DIFF_SRC, memory(plan->in, dx)}, {DNNL_ARG_WEIGHTS, reordered.get()}, {DNNL_ARG_DIFF_DST, memory(plan->out, dy)}});
    return true;
  });
}

/// dweight (+)= the sum over images; false if oneDNN does not implement this case, with nothing written.
template <class T>
[[nodiscard]] bool convolve_backward_weight(const Conv2dGeometry& g, const T* x, const T* dy, float* dweight, bool accumulate) {
  return translate_errors("conv2d_backward_weight", [&] {
    const auto plan = find_conv2d<T>(Conv2dPass::backward_weight, g, accumulate);
    if (!plan) return false;
    const Buffer gradient(plan->weight);
    plan->convolution.run(
        {{DNNL_ARG_SRC, memory(plan->in, x)}, {DNNL_ARG_DIFF_WEIGHTS, gradient.get()}, {DNNL_ARG_DIFF_DST, memory(plan->out, dy)}});
    plan->reorder.run({{DNNL_ARG_FROM, gradient.get()}, {DNNL_ARG_TO, memory(plan->store, dweight)}});
    return true;
  });
}

}  // namespace detail

/// y = x * weight; false if oneDNN does not implement this case. bfloat16 is convolved in float where that is faster.
template <class T>
[[nodiscard]] bool conv2d_forward(const Conv2dGeometry& g, const T* x, const float* weight, T* y) {
  if constexpr (std::is_same_v<T, bfloat16>)
    if (!bfloat16_is_fast())
      return detail::for_each_widened(g, [&](const Conv2dGeometry& part, std::int64_t first) {
        const ConvertedMatrix<float> in(detail::in_rows(part, x + first * g.in_size()));
        Tensor<float, Cpu> out({part.images * g.out_size()});
        if (!detail::convolve_forward(part, in.view().data, weight, out.data())) return false;
        put_converted<float>(detail::out_rows(part, out.data()), detail::out_rows(part, y + first * g.out_size()), false);
        return true;
      });
  return detail::convolve_forward(g, x, weight, y);
}

/// dx (+)= the adjoint of the forward applied to dy; false if oneDNN does not implement this case, with nothing written.
template <class T>
[[nodiscard]] bool conv2d_backward_data(const Conv2dGeometry& g, const T* dy, const float* weight, T* dx, bool accumulate = false) {
  if constexpr (std::is_same_v<T, bfloat16>)
    if (!bfloat16_is_fast())
      return detail::for_each_widened(g, [&](const Conv2dGeometry& part, std::int64_t first) {
        const ConvertedMatrix<float> out(detail::out_rows(part, dy + first * g.out_size()));
        Tensor<float, Cpu> in({part.images * g.in_size()});
        if (!detail::convolve_backward_data(part, out.view().data, weight, in.data())) return false;
        put_converted<float>(detail::in_rows(part, in.data()), detail::in_rows(part, dx + first * g.in_size()), accumulate);
        return true;
      });
  if (!accumulate) return detail::convolve_backward_data(g, dy, weight, dx);
  Tensor<T, Cpu> fresh({g.images * g.in_size()});  // oneDNN's backward convolutions cannot add to their destination
  if (!detail::convolve_backward_data(g, dy, weight, fresh.data())) return false;
  put_converted<T>(detail::in_rows(g, fresh.data()), detail::in_rows(g, dx), true);
  return true;
}

/// dweight (+)= the sum over images; false if oneDNN does not implement this case, with nothing written.
template <class T>
[[nodiscard]] bool conv2d_backward_weight(const Conv2dGeometry& g, const T* x, const T* dy, float* dweight, bool accumulate) {
  if constexpr (std::is_same_v<T, bfloat16>)
    if (!bfloat16_is_fast())
      return detail::for_each_widened(g, [&](const Conv2dGeometry& part, std::int64_t first) {
        const ConvertedMatrix<float> in(detail::in_rows(part, x + first * g.in_size()));
        const ConvertedMatrix<float> out(detail::out_rows(part, dy + first * g.out_size()));
        return detail::convolve_backward_weight(part, in.view().data, out.view().data, dweight, accumulate || first > 0);
      });
  return detail::convolve_backward_weight(g, x, dy, dweight, accumulate);
}

}  // namespace lpw::onednn
