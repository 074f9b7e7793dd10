// The check of weights of losses, which on the CPU costs nothing beside them.
#pragma once

#include <lpw/tensor/float_bits.hpp>
#include <lpw/tensor/tensor.hpp>

namespace lpw::inline LPW_ABI::detail {

/// Throws OptionError for a weight that is negative or not finite: "cross_entropy: class weight" -1 at 2.
template <class W>
void require_loss_weights(const char* what, const Tensor<W, Cpu>& weights) {
  const auto values = packed(weights);
  for (std::int64_t i = 0; i < values.size(); ++i) {
    const W weight = std::as_const(values).data()[i];
    require<OptionError>(is_finite(weight) && weight >= 0, what, ' ', weight, " at ", i,
                         "; expected a number of 0 or more");
  }
}

}  // namespace lpw::inline LPW_ABI::detail
