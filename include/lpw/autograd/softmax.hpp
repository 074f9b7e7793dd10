// Softmax over the last axis, as attention takes it.
#pragma once

#include <lpw/autograd/elementwise.hpp>
#include <lpw/primitives/softmax.hpp>

namespace lpw::inline LPW_ABI {

/// How softmax masks. An additive mask is added before, as in add(x, mask, {.over = {2}}), with -infinity for what is
/// not read.
struct SoftmaxOptions {
  bool causal = false;  // x is [..., M, N], and row i reads columns 0 to i
};

/// exp(x) / sum exp(x) over the last axis of x [K, ..., N]; zero where masked. A row of -infinity alone becomes NaN.
/// Saves its result. Throws ShapeError.
template <class T, class D>
[[nodiscard]] Variable<T, D> softmax(const Variable<T, D>& x, const SoftmaxOptions& options = {}) {
  const Shape& in = x.shape();
  detail::require_axes("softmax", options.causal ? "[K ... M N]" : "[K ... N]", in.rank() >= (options.causal ? 3 : 2),
                       in);
  detail::require_elements("softmax", in);
  auto y = softmax_forward(x.value(), options.causal);
  return record(
      {"softmax", {{"causal", std::int64_t{options.causal}}}}, y,
      [y, dx = x.edge()](Tensor<T, D> dy) {
        auto target = dx.sink(y.shape());
        softmax_backward(y, dy, target);
      },
      x);
}

}  // namespace lpw::inline LPW_ABI
