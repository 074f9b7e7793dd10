// Convolutions by oneDNN's direct algorithm. Activations stay dense NHWC; the weight takes whatever layout oneDNN likes
// best, and is reordered from (or, as a gradient, to) the float32 OHWI store on every call: it changes every step, and
// the reorder is small beside the work.
#pragma once

#include <bit>
#include <string_view>
#include <type_traits>
#include <vector>

#include <lpw/cpu/base/matrix.hpp>
#include <lpw/cpu/base/parts.hpp>
#include <lpw/cpu/onednn/plan.hpp>
#include <lpw/primitives/conv2d.hpp>

namespace lpw::inline LPW_ABI::onednn {

enum class Conv2dPass : std::int64_t { forward, backward_data, backward_weight };

/// One pass of one convolution, and the reorder between the weight's store and the layout the pass wants.
struct Conv2dPlan {
  Operation convolution, reorder;
  dnnl::memory::desc in, weight, out, store;
};

namespace detail {

/// Of a batch.
inline constexpr std::int64_t most_parts = 64;

using Descs = std::array<dnnl::memory::desc, 3>;  // input, weight, output; `any` lets oneDNN choose

/// The weight's axes as oneDNN has them: O, I, h, w, of each group where there are several.
[[nodiscard]] inline dnnl::memory::dims weight_axes(const Conv2dGeometry& g) {
  if (g.groups == 1) return {g.out_channels, g.channels, g.kernel_height, g.kernel_width};
  return {g.groups, g.group_outputs(), g.group_channels(), g.kernel_height, g.kernel_width};
}
/// The store, which is O, h, w, I whatever the groups.
[[nodiscard]] inline dnnl::memory::desc weight_store(const Conv2dGeometry& g) {
  const auto f32 = dnnl::memory::data_type::f32;
  if (g.groups == 1) return dnnl::memory::desc(weight_axes(g), f32, dnnl::memory::format_tag::ohwi);
  const std::int64_t pixel = g.group_channels(), row = g.kernel_width * pixel;
  return dnnl::memory::desc(weight_axes(g), f32,
                            dnnl::memory::dims{g.group_outputs() * g.patch(), g.patch(), 1, row, pixel});
}

/// Throws what an unimplemented case throws if oneDNN has but its reference code for groups or dilation, which is
/// slower than products of patches.
template <class Desc>
const Desc& with_code(const Conv2dGeometry& g, const Desc& desc) {
  if (!g.dense() && std::string_view(desc.impl_info_str()).starts_with("ref"))
    throw dnnl::error(dnnl_unimplemented, "reference code");
  return desc;
}

template <class T>
[[nodiscard]] Descs conv2d_descs(const Conv2dGeometry& g, dnnl::memory::data_type weight_type) {
  using Tag = dnnl::memory::format_tag;
  return {dnnl::memory::desc({g.images, g.channels, g.height, g.width}, data_type<T>, Tag::nhwc),
          dnnl::memory::desc(weight_axes(g), weight_type, Tag::any),
          dnnl::memory::desc({g.images, g.out_channels, g.out_height(), g.out_width()}, data_type<T>, Tag::nhwc)};
}

template <class T>
[[nodiscard]] Conv2dPlan make_conv2d(Conv2dPass pass, const Conv2dGeometry& g) {
  const auto direct = dnnl::algorithm::convolution_direct;
  const dnnl::memory::dims stride{g.stride.height, g.stride.width}, padding{g.padding.height, g.padding.width},
      dilation{g.dilation.height - 1, g.dilation.width - 1};  // oneDNN counts the gaps
  const auto store = weight_store(g);
  const auto [in, weight, out] = conv2d_descs<T>(g, data_type<T>);
  const auto forward = describe<dnnl::convolution_forward>(attributes(), dnnl::prop_kind::forward_training, direct, in,
                                                           weight, out, stride, dilation, padding, padding);
  if (pass == Conv2dPass::forward) {
    const auto chosen = with_code(g, forward).weights_desc();
    return {{dnnl::convolution_forward(forward), forward}, onednn::reorder(store, chosen), in, chosen, out, store};
  }
  if (pass == Conv2dPass::backward_data) {
    const auto desc = describe_backward<dnnl::convolution_backward_data>(attributes(), forward, direct, in, weight, out,
                                                                         stride, dilation, padding, padding);
    const auto chosen = with_code(g, desc).weights_desc();
    return {{dnnl::convolution_backward_data(desc), desc}, onednn::reorder(store, chosen), in, chosen, out, store};
  }
  const auto gradient = conv2d_descs<T>(g, dnnl::memory::data_type::f32)[1];
  const auto desc = describe_backward<dnnl::convolution_backward_weights>(attributes(), forward, direct, in, gradient,
                                                                          out, stride, dilation, padding, padding);
  const auto chosen = with_code(g, desc).diff_weights_desc();
  return {{dnnl::convolution_backward_weights(desc), desc}, onednn::reorder(chosen, store), in, chosen, out, store};
}

template <class T>
[[nodiscard]] std::shared_ptr<const Conv2dPlan> find_conv2d(Conv2dPass pass, const Conv2dGeometry& g) {
  Cache<Conv2dPlan>::Key key{static_cast<std::int64_t>(pass), static_cast<std::int64_t>(data_type<T>)};
  const auto numbers = g.numbers();
  std::copy(numbers.begin(), numbers.end(), key.begin() + 2);
  return cache<Conv2dPlan>().find(key, [&] { return make_conv2d<T>(pass, g); });
}

/// A pass over a batch in parts of images for the threads: `length` images each, a power of two so that batches mostly
/// have no rest. T is what is convolved.
template <class T>
class Conv2dParts {
 public:
  /// At most so many parts.
  Conv2dParts(Conv2dPass pass, const Conv2dGeometry& g, std::int64_t most) : g_(g) {
    const std::int64_t all = products_cost(g.images * g.out_size() * g.patch()),
                       wanted = std::clamp<std::int64_t>(all / least_part_cost, 1, most);
    length_ = static_cast<std::int64_t>(std::bit_ceil(static_cast<std::uint64_t>((g.images + wanted - 1) / wanted)));
    count = (g.images + length_ - 1) / length_;
    cost = all / count;
    whole_ = find_conv2d<T>(pass, of(0));
    rest_ = images(count - 1) == images(0) ? whole_ : find_conv2d<T>(pass, of(count - 1));
  }

  /// False if oneDNN does not implement the pass.
  [[nodiscard]] explicit operator bool() const { return whole_ && rest_; }
  [[nodiscard]] std::int64_t first(std::int64_t part) const { return part * length_; }
  [[nodiscard]] Conv2dGeometry of(std::int64_t part) const {
    Conv2dGeometry g = g_;
    g.images = images(part);
    return g;
  }
  [[nodiscard]] const Conv2dPlan& plan(std::int64_t part) const { return part + 1 < count ? *whole_ : *rest_; }

  std::int64_t count, cost;  // of a part

 private:
  static constexpr std::int64_t least_part_cost = 1 << 18;

  [[nodiscard]] std::int64_t images(std::int64_t part) const { return std::min(length_, g_.images - part * length_); }

  Conv2dGeometry g_;
  std::int64_t length_;
  std::shared_ptr<const Conv2dPlan> whole_, rest_;
};

/// A weight in the layouts that the parts' plans want it in.
template <class T>
class ReorderedWeight {
 public:
  ReorderedWeight(const Conv2dParts<T>& parts, const float* weight) {
    const auto reordered = [&](const Conv2dPlan& plan) {
      const Buffer to(plan.weight);
      plan.reorder.run({{DNNL_ARG_FROM, memory(plan.store, weight)}, {DNNL_ARG_TO, to.get()}});
      return to;
    };
    const Conv2dPlan &whole = parts.plan(0), &rest = parts.plan(parts.count - 1);
    buffers_.push_back(reordered(whole));
    if (rest.weight != whole.weight) buffers_.push_back(reordered(rest));
    last_ = parts.count - 1;
  }
  [[nodiscard]] const dnnl::memory& of(std::int64_t part) const {
    return part == last_ ? buffers_.back().get() : buffers_.front().get();
  }

 private:
  std::vector<Buffer> buffers_;
  std::int64_t last_ = 0;
};

/// The images as a matrix, one row per row of pixels.
template <class T>
[[nodiscard]] MatrixView<T> in_rows(const Conv2dGeometry& g, T* images) {
  return matrix(images, g.images * g.height, g.width * g.channels);
}
template <class T>
[[nodiscard]] MatrixView<T> out_rows(const Conv2dGeometry& g, T* images) {
  return matrix(images, g.images * g.out_height(), g.out_width() * g.out_channels);
}

/// Calls f(memory of F) for a part's result, and puts what it writes to `to`: directly where that is possible.
template <class F, class T, class Write>
void write_converted(MatrixView<T> to, bool accumulate, Write&& f) {
  if constexpr (std::is_same_v<F, T>)
    if (!accumulate) return f(to.data);
  Tensor<F, Cpu> fresh({to.rows, to.columns});  // oneDNN's backward convolutions cannot add to their destination
  f(fresh.data());
  put_converted<F>(matrix(std::as_const(fresh).data(), to.rows, to.columns), to, accumulate);
}

/// C is the type that T is convolved in.
template <class C, class T>
[[nodiscard]] bool conv2d_forward(const Conv2dGeometry& g, const T* x, const float* weight, T* y) {
  const Conv2dParts<C> parts(Conv2dPass::forward, g, most_parts);
  if (!parts) return false;
  const ReorderedWeight<C> reordered(parts, weight);
  parallel_for(parts.count, parts.cost, [&](std::int64_t part) {
    const Conv2dGeometry images = parts.of(part);
    const Conv2dPlan& plan = parts.plan(part);
    const ConvertedMatrix<C> in(in_rows(images, x + parts.first(part) * g.in_size()));
    write_converted<C>(out_rows(images, y + parts.first(part) * g.out_size()), false, [&](C* out) {
      plan.convolution.run({{DNNL_ARG_SRC, memory(plan.in, in.view().data)},
                            {DNNL_ARG_WEIGHTS, reordered.of(part)},
                            {DNNL_ARG_DST, memory(plan.out, out)}});
    });
  });
  return true;
}

template <class C, class T>
[[nodiscard]] bool conv2d_backward_data(const Conv2dGeometry& g, const T* dy, const float* weight, T* dx,
                                        bool accumulate) {
  const Conv2dParts<C> parts(Conv2dPass::backward_data, g, most_parts);
  if (!parts) return false;
  const ReorderedWeight<C> reordered(parts, weight);
  parallel_for(parts.count, parts.cost, [&](std::int64_t part) {
    const Conv2dGeometry images = parts.of(part);
    const Conv2dPlan& plan = parts.plan(part);
    const ConvertedMatrix<C> out(out_rows(images, dy + parts.first(part) * g.out_size()));
    write_converted<C>(in_rows(images, dx + parts.first(part) * g.in_size()), accumulate, [&](C* in) {
      plan.convolution.run({{DNNL_ARG_DIFF_SRC, memory(plan.in, in)},
                            {DNNL_ARG_WEIGHTS, reordered.of(part)},
                            {DNNL_ARG_DIFF_DST, memory(plan.out, out.view().data)}});
    });
  });
  return true;
}

/// The parts' gradients are added in order.
template <class C, class T>
[[nodiscard]] bool conv2d_backward_weight(const Conv2dGeometry& g, const T* x, const T* dy, float* dweight,
                                          bool accumulate) {
  constexpr std::int64_t budget = 16 << 20;
  const Conv2dParts<C> parts(Conv2dPass::backward_weight, g, std::clamp<std::int64_t>(budget / g.weight_size(), 2, 16));
  if (!parts) return false;
  Tensor<float, Cpu> partial({parts.count, g.weight_size()});
  parallel_for(parts.count, parts.cost, [&](std::int64_t part) {
    const Conv2dGeometry images = parts.of(part);
    const Conv2dPlan& plan = parts.plan(part);
    const ConvertedMatrix<C> in(in_rows(images, x + parts.first(part) * g.in_size()));
    const ConvertedMatrix<C> out(out_rows(images, dy + parts.first(part) * g.out_size()));
    const Buffer gradient(plan.weight);
    plan.convolution.run({{DNNL_ARG_SRC, memory(plan.in, in.view().data)},
                          {DNNL_ARG_DIFF_WEIGHTS, gradient.get()},
                          {DNNL_ARG_DIFF_DST, memory(plan.out, out.view().data)}});
    plan.reorder.run({{DNNL_ARG_FROM, gradient.get()}, {DNNL_ARG_TO, memory(plan.store, partial.row(part))}});
  });
  add_parts(std::as_const(partial), dweight, accumulate);
  return true;
}

/// Calls f with the type that T is convolved in: bfloat16 widened, a part at a time, where float is faster.
template <class T, class F>
[[nodiscard]] bool in_fastest_type(F&& f) {
  if constexpr (std::is_same_v<T, bfloat16>)
    if (!bfloat16_is_fast()) return f(std::type_identity<float>());
  return f(std::type_identity<T>());
}

}  // namespace detail

/// y = x * weight; false if oneDNN does not implement this case, with nothing written.
template <class T>
[[nodiscard]] bool conv2d_forward(const Conv2dGeometry& g, const T* x, const float* weight, T* y) {
  return translate_errors("conv2d_forward", [&] {
    return detail::in_fastest_type<T>(
        [&]<class C>(std::type_identity<C>) { return detail::conv2d_forward<C>(g, x, weight, y); });
  });
}

/// dx (+)= the adjoint of the forward applied to dy; false if oneDNN does not implement this case, with nothing
/// written.
template <class T>
[[nodiscard]] bool conv2d_backward_data(const Conv2dGeometry& g, const T* dy, const float* weight, T* dx,
                                        bool accumulate = false) {
  return translate_errors("conv2d_backward_data", [&] {
    return detail::in_fastest_type<T>(
        [&]<class C>(std::type_identity<C>) { return detail::conv2d_backward_data<C>(g, dy, weight, dx, accumulate); });
  });
}

/// dweight (+)= the sum over images; false if oneDNN does not implement this case, with nothing written.
template <class T>
[[nodiscard]] bool conv2d_backward_weight(const Conv2dGeometry& g, const T* x, const T* dy, float* dweight,
                                          bool accumulate) {
  return translate_errors("conv2d_backward_weight", [&] {
    return detail::in_fastest_type<T>([&]<class C>(std::type_identity<C>) {
      return detail::conv2d_backward_weight<C>(g, x, dy, dweight, accumulate);
    });
  });
}

}  // namespace lpw::inline LPW_ABI::onednn
