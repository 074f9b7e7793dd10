// Kernels [O, 3, 3, C] going into the Winograd domain, [36] matrices [in, out] in panels, and their gradients coming back.
#pragma once

#include <lpw/cpu/winograd_gemm.hpp>
#include <lpw/cpu/winograd_transform.hpp>

namespace lpw::winograd {

/// Elements of a kernel.
inline constexpr int taps = 9;

namespace detail {

// Channels going in, taps, channels coming out. Of floats: see zeros() on nvcc.
using KernelBlock = float[lanes][taps][lanes];

/// U[p] [ins, outs] in panels, from a function that fills the block of the lanes from `in` and `out` on.
template <class Gather>
void transform_kernel(std::int64_t ins, std::int64_t outs, float* u, Gather&& gather) {
  const std::int64_t stride = point_stride(ins * outs);
#pragma omp parallel for collapse(2) schedule(static)
  for (std::int64_t out = 0; out < outs; out += lanes)
    for (std::int64_t in = 0; in < ins; in += lanes) {
      KernelBlock block;
      gather(in, out, block);
      for (std::int64_t i = 0; i < lanes; ++i) {
        float* point = u + panel_offset(in + i, out, ins, outs);
        transform<KernelTransform>([&](int r, int c) { return load(block[i][r * 3 + c]); },
                                   [&](int r, int c, Lanes v) { store(point + (r * patch + c) * stride, v); });
      }
    }
}

}  // namespace detail

/// The forward's kernel: U[p] [C, O].
inline void transform_kernel(const float* kernel, std::int64_t channels, std::int64_t out_channels, float* u) {
  using namespace detail;
  transform_kernel(channels, out_channels, u, [=](std::int64_t in, std::int64_t out, KernelBlock& block) {
    for (std::int64_t o = 0; o < lanes; ++o)
      for (int t = 0; t < taps; ++t) {
        const float* from = kernel + ((out + o) * taps + t) * channels + in;
        for (std::int64_t i = 0; i < lanes; ++i) block[i][t][o] = from[i];
      }
  });
}

/// The kernel of the gradient of the data, turned by half a turn and transposed: U[p] [O, C].
inline void transform_adjoint_kernel(const float* kernel, std::int64_t channels, std::int64_t out_channels, float* u) {
  using namespace detail;
  transform_kernel(out_channels, channels, u, [=](std::int64_t in, std::int64_t out, KernelBlock& block) {
    for (std::int64_t i = 0; i < lanes; ++i)
      for (int t = 0; t < taps; ++t) store(block[i][taps - 1 - t], load(kernel + ((in + i) * taps + t) * channels + out));
  });
}

/// gradient [O, 3, 3, C] (+)= the kernel's gradient from sums S[p] [O, C] of products.
inline void transform_kernel_gradient(const float* s, std::int64_t channels, std::int64_t out_channels, float* gradient, bool accumulate) {
  const std::int64_t stride = point_stride(channels * out_channels);
#pragma omp parallel for schedule(static)
  for (std::int64_t o = 0; o < out_channels; ++o)
    for (std::int64_t c = 0; c < channels; c += lanes)
      transform<KernelGradientTransform>([&](int i, int j) { return load(s + (i * patch + j) * stride + o * channels + c); },
                                         [&](int i, int j, Lanes v) {
                                           float* to = gradient + (o * taps + i * 3 + j) * channels + c;
                                           store(to, accumulate ? load(to) + v : v);
                                         });
}

}  // namespace lpw::winograd
