// primitives/dropout.hpp on the GPU. In a captured graph the random numbers' step is the one that is replayed.
#pragma once

#include <lpw/cuda/base/graph.hpp>
#include <lpw/cuda/base/rows.hpp>
#include <lpw/primitives/dropout.hpp>

namespace lpw::inline LPW_ABI {

template <class T>
void apply_dropout(const Tensor<T, Cuda>& x, const DropoutMask& mask, Gradient<T, Cuda>& y) {
  const kernels::Dropout<T> p{.x = x.data(),
                              .y = y.tensor.data(),
                              .members = x.dim(0),
                              .runs = mask.runs,
                              .length = x.shape().size_from(1) / mask.runs,
                              .before = mask.before,
                              .whole = mask.whole,
                              .random = mask.random,
                              .step = cuda::replay_step(),
                              .operation = mask.operation,
                              .first_member = mask.first_member,
                              .rate = static_cast<float>(mask.rate),
                              .keep = static_cast<float>(1 / (1 - mask.rate)),
                              .accumulate = y.accumulate};
  const bool quads_begin = p.before % 4 == 0 && p.whole % 4 == 0;
  const int width = quads_begin ? vector_width<T>(p.length, {p.x, p.y}) : 1;
  const auto plan = cuda::element_plan(p.length / std::max(width, 4), p.members * p.runs);
  cuda::with_width<T>(width, [&](auto n) { cuda::launch(kernels::dropout<T, n()>, plan, p); });
}

}  // namespace lpw::inline LPW_ABI
