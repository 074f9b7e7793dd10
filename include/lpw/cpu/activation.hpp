// primitives/activation.hpp on the CPU: the pending map is applied in one read and one write, with arithmetic in W.
//
// centred() is the only place where the map is evaluated: batch norm's backward recomputes ReLU's mask from it, so
// every user must round alike, which the explicit fma guarantees whatever the compiler does with the surrounding code.
// The mean is subtracted before anything is scaled: scale x and a shift that holds -scale mean would each be large
// beside a large mean, and their rounding errors would remain.
#pragma once

#include <cmath>

#include <lpw/cpu/base/row_blocks.hpp>
#include <lpw/primitives/activation.hpp>
#include <lpw/tensor/float_bits.hpp>

namespace lpw::inline LPW_ABI {

/// scale (x - mean) + shift: the difference rounded, which is exact for x near the mean, and the rest rounded once.
template <class W>
[[nodiscard]] inline W centred(W x, W mean, W scale, W shift) {
  return std::fma(x - mean, scale, shift);
}

namespace detail {

template <bool Relu, class T, class W>
inline void apply_centred(const T* in, const W* mean, const W* scale, const W* shift, std::int64_t rows,
                          std::int64_t channels, T* out) {
  for (std::int64_t r = 0; r < rows; ++r, in += channels, out += channels) {
#pragma omp simd
    for (std::int64_t c = 0; c < channels; ++c) {
      const W y = centred(W(in[c]), mean[c], scale[c], shift[c]);
      store(out[c], Relu ? rectified(y) : y);
    }
  }
}

/// `rows` rows of member k through the pending map of x.
template <class T>
void apply_pending(const Activation<T, Cpu>& x, std::int64_t k, const T* in, std::int64_t rows, T* out) {
  const std::int64_t channels = x.shape()[-1];
  if (x.relu) {
    apply_centred<true>(in, x.mean.row(k), x.scale.row(k), x.shift.row(k), rows, channels, out);
  } else {
    apply_centred<false>(in, x.mean.row(k), x.scale.row(k), x.shift.row(k), rows, channels, out);
  }
}

}  // namespace detail

template <class T>
[[nodiscard]] Tensor<T, Cpu> materialize(const Activation<T, Cpu>& x) {
  if (!x.pending()) return x.raw;
  const auto view = MemberRows::of(x.shape());
  Tensor<T, Cpu> y(x.shape());
  for_each_row_block(view, [&](std::int64_t k, std::int64_t offset, std::int64_t rows) {
    detail::apply_pending(x, k, x.raw.data() + offset, rows, y.data() + offset);
  });
  return y;
}

}  // namespace lpw::inline LPW_ABI
