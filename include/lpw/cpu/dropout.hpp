// primitives/dropout.hpp on the CPU: four draws at a time.
#pragma once

#include <lpw/cpu/base/parallel.hpp>
#include <lpw/primitives/dropout.hpp>

namespace lpw::inline LPW_ABI {

template <class T>
void apply_dropout(const Tensor<T, Cpu>& x, const DropoutMask& mask, Gradient<T, Cpu>& y) {
  using W = Accumulate<T>;
  const W keep = static_cast<W>(1 / (1 - mask.rate));
  const float rate = static_cast<float>(mask.rate);
  const std::int64_t length = x.shape().size_from(1), quads = (length + 3) / 4;
  constexpr std::int64_t quad_cost = 80;  // Philox's ten rounds
  const T* in = x.data();
  T* out = y.tensor.data();
  parallel_for(x.dim(0) * quads, quad_cost, [&](std::int64_t item) {
    const std::int64_t k = item / quads, quad = item % quads;
    const std::uint64_t counter = (mask.operation << 48) + (static_cast<std::uint64_t>(mask.first_member + k) << 36) +
                                  static_cast<std::uint64_t>(quad);
    const auto bits = mask.random(counter);
    const std::int64_t first = quad * 4, count = std::min<std::int64_t>(4, length - first);
    for (std::int64_t i = 0; i < count; ++i) {
      const std::int64_t at = k * length + first + i;
      const W value = Philox::to_uniform(bits[to_size(i)]) >= rate ? W(in[at]) * keep : W(0);
      store(out[at], y.accumulate ? W(out[at]) + value : value);
    }
  });
}

}  // namespace lpw::inline LPW_ABI
