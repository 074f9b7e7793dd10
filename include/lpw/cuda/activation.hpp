// primitives/activation.hpp on the GPU: one read and one write.
#pragma once

#include <lpw/cuda/base/rows.hpp>
#include <lpw/primitives/activation.hpp>

namespace lpw::inline LPW_ABI {

template <class T>
[[nodiscard]] Tensor<T, Cuda> materialize(const Activation<T, Cuda>& x) {
  if (!x.pending()) return x.raw;
  Tensor<T, Cuda> y(x.shape());
  cuda::with_row_plan<T>(cuda::member_rows("materialize", x.shape()), {x.raw.data(), y.data()}, false,
                         [&](auto width, const auto& plan) {
                           const kernels::AffineForward<T> p{x.raw.data(),   y.data(), x.mean.data(), x.scale.data(),
                                                             x.shift.data(), x.relu,   plan.tiling};
                           cuda::launch(kernels::affine_forward<T, width()>, plan.launch, p);
                         });
  return y;
}

}  // namespace lpw::inline LPW_ABI
