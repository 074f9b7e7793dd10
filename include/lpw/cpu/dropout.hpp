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
  const std::int64_t runs = x.dim(0) * mask.runs, length = x.size() / std::max<std::int64_t>(runs, 1),
                     quads = (length + 3) / 4 + (mask.before % 4 != 0 || mask.whole % 4 != 0);
  constexpr std::int64_t quad_cost = 80;  // Philox's ten rounds
  const T* in = x.data();
  T* out = y.tensor.data();
  parallel_for(runs * quads, quad_cost, [&](std::int64_t item) {
    const std::int64_t run = item / quads, k = run / mask.runs, begin = mask.first_of(run % mask.runs);
    const std::int64_t quad = begin / 4 + item % quads, end = std::min(4 * quad + 4, begin + length);
    const std::uint64_t counter = (mask.operation << 48) + (static_cast<std::uint64_t>(mask.first_member + k) << 36) +
                                  static_cast<std::uint64_t>(quad);
    const auto bits = mask.random(counter);
    for (std::int64_t i = std::max(4 * quad, begin); i < end; ++i) {
      const std::int64_t at = run * length + i - begin;
      const W value = Philox::to_uniform(bits[to_size(i % 4)]) >= rate ? W(in[at]) * keep : W(0);
      store(out[at], y.accumulate ? W(out[at]) + value : value);
    }
  });
}

}  // namespace lpw::inline LPW_ABI
