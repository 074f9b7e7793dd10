// Kernels [O, 3, 3, C] going into the Winograd domain, per point a matrix in panels, and their gradients coming back.
// The pairs of phases of a strided convolution lie one after another: in the depth of the forward's products, in the
// columns of the adjoint's.
#pragma once

#include <lpw/cpu/winograd/products.hpp>
#include <lpw/cpu/winograd/transform.hpp>

namespace lpw::inline LPW_ABI::winograd {

/// Elements of a kernel.
inline constexpr int taps = 9;

namespace detail {

// Channels going in, taps, channels coming out. Of floats: see zeros() on nvcc.
using KernelBlock = float[lanes][taps][lanes];

/// U[p] [ins of `In` phases, outs of `Out` phases] in panels, from a function that fills the block of the lanes from
/// `in` and `out` on.
template <int Stride, int In, int Out, class Gather>
void transform_kernel(std::int64_t ins, std::int64_t outs, float* u, Gather&& gather) {
  using S = Scheme<Stride>;
  const std::int64_t stride = point_stride(In * In * Out * Out * ins * outs);
  const std::int64_t blocks = ins / lanes;
  parallel_for(outs / lanes * blocks, 4 * S::points * lanes * lanes, [&](std::int64_t item) {
    const std::int64_t out = item / blocks * lanes, in = item % blocks * lanes;
    KernelBlock block;
    gather(in, out, block);
    for (std::int64_t l = 0; l < lanes; ++l)
      for_each_pair<Stride>([&](auto row, auto column) {
        transform<KernelTransform<S::taps(row)>, KernelTransform<S::taps(column)>>(
            [&](int r, int c) { return load(block[l][(row + r * Stride) * 3 + column + c * Stride]); },
            [&](int i, int j, Lanes v) {
              const std::int64_t depth = S::pairs(i, j, In) * ins, columns = S::pairs(i, j, Out) * outs;
              const std::int64_t step = (In > 1 ? S::pair(j, row, column, In) * ins : 0) + in + l;
              const std::int64_t to = (Out > 1 ? S::pair(j, row, column, Out) * outs : 0) + out;
              store(u + (i * S::patch + j) * stride + panel_offset(step, to, depth, columns), v);
            });
      });
  });
}

}  // namespace detail

/// The forward's kernel: U[p] [C of all phases, O].
template <int Stride>
void transform_kernel(const float* kernel, std::int64_t channels, std::int64_t out_channels, float* u) {
  using namespace detail;
  transform_kernel<Stride, Stride, 1>(channels, out_channels, u,
                                      [=](std::int64_t in, std::int64_t out, KernelBlock& block) {
                                        for (std::int64_t o = 0; o < lanes; ++o)
                                          for (int t = 0; t < taps; ++t) {
                                            const float* from = kernel + ((out + o) * taps + t) * channels + in;
                                            for (std::int64_t i = 0; i < lanes; ++i) block[i][t][o] = from[i];
                                          }
                                      });
}

/// The kernel of the gradient of the data, turned by half a turn (every phase's taps become those of the same phase)
/// and transposed: U[p] [O, C of all phases].
template <int Stride>
void transform_adjoint_kernel(const float* kernel, std::int64_t channels, std::int64_t out_channels, float* u) {
  using namespace detail;
  transform_kernel<Stride, 1, Stride>(
      out_channels, channels, u, [=](std::int64_t in, std::int64_t out, KernelBlock& block) {
        for (std::int64_t i = 0; i < lanes; ++i)
          for (int t = 0; t < taps; ++t)
            store(block[i][taps - 1 - t], load(kernel + ((in + i) * taps + t) * channels + out));
      });
}

/// gradient [O, 3, 3, C] (+)= the kernel's gradient from sums S[p] [O, C of all phases] of products.
template <int Stride>
void transform_kernel_gradient(const float* s, std::int64_t channels, std::int64_t out_channels, float* gradient,
                               bool accumulate) {
  using S = Scheme<Stride>;
  const std::int64_t stride = point_stride(Stride * Stride * channels * out_channels);
  parallel_for(out_channels, 4 * S::points * channels, [&](std::int64_t o) {
    for (std::int64_t c = 0; c < channels; c += lanes)
      for_each_pair<Stride>([&](auto row, auto column) {
        transform<KernelGradientTransform<S::taps(row)>, KernelGradientTransform<S::taps(column)>>(
            [&](int i, int j) {
              const std::int64_t at = o * S::pairs(i, j, Stride) + S::pair(j, row, column, Stride);
              return load(s + (i * S::patch + j) * stride + at * channels + c);
            },
            [&](int r, int t, Lanes v) {
              float* to = gradient + (o * taps + (row + r * Stride) * 3 + column + t * Stride) * channels + c;
              store(to, accumulate ? load(to) + v : v);
            });
      });
  });
}

}  // namespace lpw::inline LPW_ABI::winograd
