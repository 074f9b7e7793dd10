// primitives/linear.hpp on the GPU: cuBLAS for the product, all members in one call, and kernels for the bias.
#pragma once

#include <cassert>

#include <lpw/cuda/elementwise.hpp>
#include <lpw/cuda/gemm.hpp>
#include <lpw/primitives/linear.hpp>

namespace lpw::inline LPW_ABI {

namespace cuda::detail {

/// How [K, B, features] meets a weight: one product over all K B rows if it has one row, a product for each member if
/// it has K.
struct LinearProducts {
  std::int64_t count, rows;

  LinearProducts(const Shape& x, std::int64_t weight_rows) : count(weight_rows), rows(x[0] * x[1] / weight_rows) {
    assert(x.rank() == 3 && (weight_rows == 1 || weight_rows == x[0]));
  }
  template <class T>
  [[nodiscard]] Matrices<T> of(T* data, std::int64_t features) const {
    return {data, rows, features, features, rows * features};
  }
};

/// The matrices [out, in] of a weight.
template <class T, class Weight>
[[nodiscard]] Matrices<T> weight_matrices(Weight& weight) {
  return {weight.data(), weight.dim(1), weight.dim(2), weight.dim(2), weight.row_stride()};
}

/// y [K, B, out] = x [K, B, in] weight^T for a weight [1 or K, out, in] of the type that is multiplied.
template <class T>
[[nodiscard]] Tensor<T, Cuda> linear_product(const Tensor<T, Cuda>& x, const Tensor<T, Cuda>& weight) {
  const LinearProducts products(x.shape(), weight.dim(0));
  Tensor<T, Cuda> y({x.dim(0), x.dim(1), weight.dim(1)});
  gemm<T>(products.count, products.of(x.data(), x.dim(2)), weight_matrices<const T>(weight).transpose(),
          products.of(y.data(), y.dim(2)), false);
  return y;
}

/// dx [K, B, in] (+)= dy [K, B, out] weight, for such a weight.
template <class T>
void linear_product_backward(const Tensor<T, Cuda>& dy, const Tensor<T, Cuda>& weight, Gradient<T, Cuda>& dx) {
  const LinearProducts products(dy.shape(), weight.dim(0));
  gemm<T>(products.count, products.of(dy.data(), dy.dim(2)), weight_matrices<const T>(weight),
          products.of(dx.tensor.data(), weight.dim(2)), dx.accumulate);
}

}  // namespace cuda::detail

template <class T>
[[nodiscard]] Tensor<T, Cuda> linear_forward(const Tensor<T, Cuda>& x, const Tensor<float, Cuda>& weight,
                                             const Tensor<float, Cuda>& bias) {
  const auto y = cuda::detail::linear_product(x, cuda::weights_as<T>(weight));
  return bias.empty() ? y : add_channels_forward(y, bias);
}

template <class T>
void linear_backward_data(const Tensor<T, Cuda>& dy, const Tensor<float, Cuda>& weight, Gradient<T, Cuda>& dx) {
  cuda::detail::linear_product_backward(dy, cuda::weights_as<T>(weight), dx);
}

/// Sums in float.
template <class T>
void linear_backward_weight(const Tensor<T, Cuda>& x, const Tensor<T, Cuda>& dy, Gradient<float, Cuda>& dweight) {
  const cuda::detail::LinearProducts products(x.shape(), dweight.tensor.dim(0));
  cuda::gemm<T>(products.count, products.of(dy.data(), dy.dim(2)).transpose(), products.of(x.data(), x.dim(2)),
                cuda::detail::weight_matrices<float>(dweight.tensor), dweight.accumulate);
}

template <class T>
void linear_backward_bias(const Tensor<T, Cuda>& dy, Gradient<float, Cuda>& dbias) {
  cuda::detail::sum_products("linear", {}, dy, dbias);
}

}  // namespace lpw::inline LPW_ABI
