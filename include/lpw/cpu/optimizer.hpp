// Optimizer steps on the CPU: one pass over a flat store reads gradient, momentum and weight once and leaves the gradient zero.
#pragma once

#include <lpw/tensor/operands.hpp>

namespace lpw {

struct SgdStep {
  double learning_rate = 0.1;
  double momentum = 0;
  bool nesterov = false;
  double weight_decay = 0;
  double gradient_scale = 1;
};

/// g = gradient_scale gradient + weight_decay w; v = momentum v + g; w -= learning_rate (nesterov ? g + momentum v : v); gradient = 0.
/// PyTorch's convention (Sutskever et al. 2013, with the rate outside the velocity). All tensors contiguous and of one size.
template <class W>
void sgd_step(Tensor<W, Cpu>& weight, Tensor<W, Cpu>& gradient, Tensor<W, Cpu>& velocity, const SgdStep& step) {
  const W rate = static_cast<W>(step.learning_rate), momentum = static_cast<W>(step.momentum), decay = static_cast<W>(step.weight_decay);
  const W scale = static_cast<W>(step.gradient_scale);
  const bool nesterov = step.nesterov;
  W *w = weight.data(), *g = gradient.data(), *v = velocity.data();
  const std::int64_t size = weight.size();
#pragma omp parallel for simd schedule(static) if (size > 16384)
  for (std::int64_t i = 0; i < size; ++i) {
    const W d = scale * g[i] + decay * w[i];
    const W next = momentum * v[i] + d;
    v[i] = next;
    w[i] -= rate * (nesterov ? d + momentum * next : next);
    g[i] = W(0);
  }
}

}  // namespace lpw
