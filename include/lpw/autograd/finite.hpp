// Checks of a loop of one's own: NaN spreads from a loss to all weights in one step, and nothing else would say so.
#pragma once

#include <lpw/autograd/tape.hpp>
#include <lpw/tensor/float_bits.hpp>

namespace lpw::inline LPW_ABI {

/// Whether no element of a tensor is NaN or infinite; reads it to the host.
template <class T, class D>
[[nodiscard]] bool all_finite(const Tensor<T, D>& tensor) {
  if (tensor.size() == 0) return true;
  const auto host = to_host(tensor);
  const std::int64_t length = host.size() / host.dim(0);
  for (std::int64_t row = 0; row < host.dim(0); ++row)
    for (std::int64_t i = 0; i < length; ++i)
      if (!is_finite(host.row(row)[i])) return false;
  return true;
}

/// Throws NonFinite if a loss [K, ...] is NaN or infinite, naming the member. Call it before the optimizer's step,
/// which would make NaN of the weights. It costs a look at K numbers; on a GPU, waiting for them, as printing the loss
/// does.
template <class T, class D>
void require_finite(const Variable<T, D>& loss) {
  const auto host = to_host(loss.value());
  for (std::int64_t i = 0; i < host.size(); ++i)
    if (!is_finite(host.data()[i])) [[unlikely]]
      fail<NonFinite>("the loss of member ", i / (host.size() / host.dim(0)), " became ",
                      static_cast<double>(host.data()[i]),
                      ": training diverged; expected a finite number; lower the learning rate, or clip gradients; in a "
                      "loss of your own, look for log(0) or a division by 0");
}

}  // namespace lpw::inline LPW_ABI
