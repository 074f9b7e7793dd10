// The gradients of a dense weight with rank-1 factors on the CPU: primitives/linear.hpp.
#pragma once

#include <algorithm>
#include <vector>

#include <lpw/cpu/base/parallel.hpp>
#include <lpw/primitives/layout.hpp>
#include <lpw/primitives/linear.hpp>

namespace lpw::inline LPW_ABI {

namespace detail {

/// The row of a gradient that member k adds to.
template <class W>
[[nodiscard]] W* gradient_row(Gradient<W, Cpu>& gradient, std::int64_t k) {
  return gradient.tensor.dim(0) == 1 ? gradient.tensor.data() : gradient.tensor.row(k);
}

/// What member k's output o contributes: to dW's row, and to ds; returns its dr.
template <class W>
W rank_one_row(const W* product, const W* weight, W r, const W* s, std::int64_t inputs, W* dweight, W* ds) {
  W dr = 0;
#pragma omp simd reduction(+ : dr)
  for (std::int64_t i = 0; i < inputs; ++i) {
    const W scaled = product[i] * s[i], weighted = product[i] * weight[i];
    dr += weight[i] * scaled;
    ds[i] += weighted * r;
    dweight[i] += scaled * r;
  }
  return dr;
}

}  // namespace detail

/// Blocks of 32 outputs, each with a partial ds; added up in order.
template <class W>
void rank_one_backward(const Tensor<W, Cpu>& product, const Tensor<W, Cpu>& weight, const Tensor<W, Cpu>& output,
                       const Tensor<W, Cpu>& input, Gradient<W, Cpu>& dweight, Gradient<W, Cpu>& doutput,
                       Gradient<W, Cpu>& dinput) {
  constexpr std::int64_t length = 32;
  const std::int64_t members = product.dim(0), outputs = product.dim(1), inputs = product.dim(2),
                     blocks = (outputs + length - 1) / length;
  for (Gradient<W, Cpu>* gradient : {&dweight, &doutput, &dinput})
    if (!gradient->tensor.empty() && !gradient->accumulate) fill(gradient->tensor, W(0));
  Tensor<W, Cpu> partial = zeros<W, Cpu>({blocks, members, inputs});
  parallel_runs(blocks, 2 * std::min(length, outputs) * members * inputs, [&](std::int64_t first, std::int64_t last) {
    std::vector<W> unwanted(static_cast<std::size_t>(inputs));
    for (std::int64_t block = first; block < last; ++block)
      for (std::int64_t o = block * length; o < std::min(outputs, (block + 1) * length); ++o)
        for (std::int64_t k = 0; k < members; ++k) {
          W* dw = dweight.tensor.empty() ? unwanted.data() : detail::gradient_row(dweight, k) + o * inputs;
          const W dr = detail::rank_one_row(product.row(k) + o * inputs, member_row(weight, k) + o * inputs,
                                            member_row(output, k)[o], member_row(input, k), inputs, dw,
                                            partial.row(block) + k * inputs);
          if (!doutput.tensor.empty()) detail::gradient_row(doutput, k)[o] += dr;
        }
  });
  if (dinput.tensor.empty()) return;
  for (std::int64_t k = 0; k < members; ++k) {
    W* ds = detail::gradient_row(dinput, k);
    parallel_for(inputs, 4 * blocks, [&](std::int64_t i) {
      double sum = 0;
      for (std::int64_t block = 0; block < blocks; ++block) sum += double(partial.row(block)[k * inputs + i]);
      ds[i] += static_cast<W>(sum);
    });
  }
}

}  // namespace lpw::inline LPW_ABI
