// Tensors in another element type: the weights, which are float, as what a library multiplies.
#pragma once

#include <lpw/cuda/base/device.hpp>

namespace lpw::inline LPW_ABI::cuda {

/// to (+)= from, rounded to To, row by row where either is strided.
template <class From, class To>
void convert(const Tensor<From, Cuda>& from, Tensor<To, Cuda>& to, bool accumulate = false) {
  if (from.size() == 0) return;
  const bool flat = from.contiguous() && to.contiguous();
  const kernels::Convert<From, To> p{from.data(),
                                     to.data(),
                                     flat ? 1 : from.dim(0),
                                     flat ? from.size() : from.shape().size_from(1),
                                     flat ? 0 : from.row_stride(),
                                     flat ? 0 : to.row_stride(),
                                     accumulate};
  launch(kernels::convert<From, To>, element_plan(p.length, p.rows), p);
}

/// A weight as T; shares its memory where it is that already.
template <class T>
[[nodiscard]] Tensor<T, Cuda> weights_as(const Tensor<float, Cuda>& weight) {
  if constexpr (std::is_same_v<T, float>) {
    return weight;
  } else {
    Tensor<T, Cuda> result(weight.shape());
    convert(weight, result);
    return result;
  }
}

}  // namespace lpw::inline LPW_ABI::cuda
