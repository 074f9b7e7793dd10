// primitives/conv2d.hpp on the GPU: cuDNN. A weight with one row makes one convolution of all members' images; a row
// per member makes K of them. A pending x is materialised, a residual added in a pass of its own, and nothing summed on
// the way: batch norm's launches sum what they need.
#pragma once

#include <cassert>

#include <lpw/cuda/activation.hpp>
#include <lpw/cuda/base/convolution_algorithm.hpp>
#include <lpw/cuda/elementwise.hpp>

namespace lpw::inline LPW_ABI {

namespace cuda::detail {

/// `size` elements from an address on, as an operand of a convolution: there, or where that is not aligned as cuDNN's
/// algorithms want it, in a copy. A result that is formed in a copy is brought back by give_back().
template <class T>
class AlignedOperand {
 public:
  AlignedOperand(T* data, std::int64_t size, bool copied) : there_(data), size_(size) {
    constexpr std::uintptr_t alignment = 16;
    if (reinterpret_cast<std::uintptr_t>(data) % alignment == 0) return;
    here_ = Tensor<T, Cuda>({size});
    if (copied) transfer(there_, here_.data());
  }
  [[nodiscard]] T* data() { return here_.empty() ? there_ : here_.data(); }
  [[nodiscard]] std::int64_t size() const { return size_; }
  void give_back() {
    if (!here_.empty()) transfer(here_.data(), there_);
  }

 private:
  void transfer(const T* from, T* to) const {
    cuda::check(
        cudaMemcpyAsync(to, from, static_cast<std::size_t>(size_) * sizeof(T), cudaMemcpyDeviceToDevice, stream()),
        "cudaMemcpyAsync");
  }

  T* there_;
  std::int64_t size_;
  Tensor<T, Cuda> here_;
};

/// Runs a pass for each row of the weight. The operands' row() gives each its part.
template <class Pass, class T, class X, class Weight, class Y>
void convolve_rows(const Conv2dGeometry& g, X& x, Weight& weight, Y& y, bool accumulate) {
  for (std::int64_t k = 0; k < weight.dim(0); ++k) {
    const auto operand = [&](auto& tensor, std::int64_t size, Operand which) {
      return AlignedOperand<T>(const_cast<T*>(tensor.row(k)), size, accumulate || which != Pass::output);
    };
    auto in = operand(x, g.images * g.in_size(), Operand::x),
         kernel = operand(weight, weight.shape().size_from(1), Operand::w),
         out = operand(y, g.images * g.out_size(), Operand::y);
    auto& result = Pass::output == Operand::x ? in : Pass::output == Operand::w ? kernel : out;
    convolve<Pass, T>(g, {in.data(), kernel.data(), out.data()}, result.size(), accumulate);
    result.give_back();
  }
}

}  // namespace cuda::detail

template <class T>
[[nodiscard]] Tensor<T, Cuda> conv2d_forward(const Activation<T, Cuda>& x, const Tensor<float, Cuda>& weight,
                                             Conv2dOptions options) {
  const Conv2dGeometry g = conv2d_geometry(x.shape(), weight.shape(), options);
  const auto input = materialize(x);
  const auto w = cuda::weights_as<T>(weight);
  Tensor<T, Cuda> y(conv2d_output(x.shape(), g));
  cuda::detail::convolve_rows<cuda::detail::ForwardPass, T>(g, input, w, y, false);
  return y;
}

template <class T>
[[nodiscard]] Activation<T, Cuda> conv2d_forward(const Activation<T, Cuda>& x, const Tensor<float, Cuda>& weight,
                                                 Conv2dOptions options, Tensor<T, Cuda> residual, bool /*moments*/) {
  auto y = conv2d_forward(x, weight, options);
  return {residual.empty() ? std::move(y) : add_forward(std::move(y), residual)};
}

template <class T>
void conv2d_backward_data(const Tensor<T, Cuda>& dy, const Tensor<float, Cuda>& weight, Conv2dOptions options,
                          Gradient<T, Cuda>& dx) {
  const Conv2dGeometry g = conv2d_geometry(dx.tensor.shape(), weight.shape(), options);
  const auto w = cuda::weights_as<T>(weight);
  cuda::detail::convolve_rows<cuda::detail::BackwardDataPass, T>(g, dx.tensor, w, dy, dx.accumulate);
}

template <class T>
[[nodiscard]] Tensor<double, Cuda> conv2d_backward_data(const Tensor<T, Cuda>& dy, const Tensor<float, Cuda>& weight,
                                                        Conv2dOptions options, Gradient<T, Cuda>& dx,
                                                        const Activation<T, Cuda>& /*x*/) {
  conv2d_backward_data(dy, weight, options, dx);
  return {};
}

/// In bfloat16 cuDNN rounds the sum, which is then added in float.
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

}  // namespace lpw::inline LPW_ABI
