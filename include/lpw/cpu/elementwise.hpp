// primitives/elementwise.hpp on the CPU: one read of each input, one write of the output.
#pragma once

#include <vector>

#include <lpw/cpu/base/put_row.hpp>
#include <lpw/cpu/base/row_blocks.hpp>
#include <lpw/primitives/elementwise.hpp>
#include <lpw/tensor/float_bits.hpp>

namespace lpw::inline LPW_ABI {

template <class T>
void add_in_place(Tensor<T, Cpu>& target, const Tensor<T, Cpu>& value) {
  using W = Accumulate<T>;
  require<ShapeError>(target.shape() == value.shape(), "add: ", target.shape(), " and ", value.shape());
  if (target.size() == 0) return;
  const bool flat = target.contiguous() && value.contiguous();
  const std::int64_t rows = flat ? 1 : target.dim(0), length = target.size() / rows;
  for (std::int64_t row = 0; row < rows; ++row) {
    T* out = flat ? target.data() : target.row(row);
    const T* in = flat ? value.data() : value.row(row);
    parallel_elements(length, 1, [=](std::int64_t first, std::int64_t last) {
#pragma omp simd
      for (std::int64_t i = first; i < last; ++i) store(out[i], W(out[i]) + W(in[i]));
    });
  }
}

template <class T>
[[nodiscard]] Tensor<T, Cpu> add_forward(Tensor<T, Cpu> a, const Tensor<T, Cpu>& b) {
  Tensor<T, Cpu> sum = a.unique() && a.contiguous() ? std::move(a) : clone(a);
  add_in_place(sum, b);
  return sum;
}

template <class T>
[[nodiscard]] Tensor<T, Cpu> relu_forward(const Tensor<T, Cpu>& x) {
  Tensor<T, Cpu> y(x.shape());
  const T* in = x.data();
  T* out = y.data();
  parallel_elements(x.size(), 1, [=](std::int64_t first, std::int64_t last) {
#pragma omp simd
    for (std::int64_t i = first; i < last; ++i) out[i] = rectified(in[i]);
  });
  return y;
}

template <class T>
void relu_backward(const Tensor<T, Cpu>& y, const Tensor<T, Cpu>& dy, Gradient<T, Cpu>& dx) {
  using W = Accumulate<T>;
  const T *forward = y.data(), *d = dy.data();
  T* out = dx.tensor.data();
  const bool add = dx.accumulate;
  parallel_elements(y.size(), 1, [=](std::int64_t first, std::int64_t last) {
    detail::put_row(out + first, last - first, add, [forward = forward + first, d = d + first](std::int64_t i) {
      return forward[i] > T(0) ? W(d[i]) : W(0);
    });
  });
}

namespace detail {

/// out = f(in, coefficient of the channel, out before), coefficients [1 or K, C] broadcast over the rows of [K, ...,
/// C].
template <class T, class F>
void map_channels(const Tensor<T, Cpu>& in, const Tensor<Accumulate<T>, Cpu>& coefficients, Tensor<T, Cpu>& out, F f) {
  using W = Accumulate<T>;
  const auto view = MemberRows::of(in.shape());
  for_each_row_block(view, [&](std::int64_t k, std::int64_t offset, std::int64_t rows) {
    const W* coefficient = member_row(coefficients, k);
    for (std::int64_t r = 0; r < rows; ++r, offset += view.channels) {
      const T* from = in.data() + offset;
      T* to = out.data() + offset;
#pragma omp simd
      for (std::int64_t c = 0; c < view.channels; ++c) store(to[c], f(W(from[c]), coefficient[c], to[c]));
    }
  });
}

}  // namespace detail

template <class T>
[[nodiscard]] Tensor<T, Cpu> scale_channels_forward(const Tensor<T, Cpu>& x, const Tensor<Accumulate<T>, Cpu>& factor) {
  Tensor<T, Cpu> y(x.shape());
  detail::map_channels(x, factor, y, [](auto in, auto s, T) { return in * s; });
  return y;
}

template <class T>
[[nodiscard]] Tensor<T, Cpu> add_channels_forward(const Tensor<T, Cpu>& x, const Tensor<Accumulate<T>, Cpu>& bias) {
  Tensor<T, Cpu> y(x.shape());
  detail::map_channels(x, bias, y, [](auto in, auto b, T) { return in + b; });
  return y;
}

template <class T>
void scale_channels_backward_data(const Tensor<T, Cpu>& dy, const Tensor<Accumulate<T>, Cpu>& factor,
                                  Gradient<T, Cpu>& dx) {
  if (dx.accumulate) {
    detail::map_channels(dy, factor, dx.tensor,
                         [](auto in, auto s, T before) { return in * s + Accumulate<T>(before); });
  } else {
    detail::map_channels(dy, factor, dx.tensor, [](auto in, auto s, T) { return in * s; });
  }
}

/// Summed in fixed blocks, which are merged in double.
template <class T>
void scale_channels_backward_factor(const Tensor<T, Cpu>& x, const Tensor<T, Cpu>& dy,
                                    Gradient<Accumulate<T>, Cpu>& dfactor) {
  using W = Accumulate<T>;
  const auto view = MemberRows::of(x.shape());
  const auto blocks = RowBlocks::of(view);
  Tensor<W, Cpu> partial = zeros<W, Cpu>({view.members * blocks.count, view.channels});
  parallel_for(view.members * blocks.count, block_cost(view, blocks), [&](std::int64_t item) {
    const std::int64_t k = item / blocks.count, b = item % blocks.count;
    W* sum = partial.row(item);
    for (std::int64_t r = blocks.first(b); r < blocks.last(b); ++r) {
      const std::int64_t offset = (k * view.rows + r) * view.channels;
      const T *in = x.data() + offset, *d = dy.data() + offset;
#pragma omp simd
      for (std::int64_t c = 0; c < view.channels; ++c) sum[c] += W(in[c]) * W(d[c]);
    }
  });
  if (!dfactor.accumulate) fill(dfactor.tensor, W(0));
  for (std::int64_t k = 0; k < view.members; ++k) {
    std::vector<double> sum(to_size(view.channels), 0.0);
    for (std::int64_t b = 0; b < blocks.count; ++b)
      for (std::int64_t c = 0; c < view.channels; ++c) sum[to_size(c)] += double(partial.row(k * blocks.count + b)[c]);
    W* out = dfactor.tensor.dim(0) == 1 ? dfactor.tensor.data() : dfactor.tensor.row(k);
    for (std::int64_t c = 0; c < view.channels; ++c) out[c] += static_cast<W>(sum[to_size(c)]);
  }
}

}  // namespace lpw::inline LPW_ABI
