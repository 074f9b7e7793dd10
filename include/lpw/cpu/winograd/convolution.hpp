// Convolutions of 3x3 kernels with stride 1 or 2 by Winograd's algorithm, F(4x4, 3x3) or the four phases of F(4x4, 2x2
// and less): a quarter or nine sixteenths of the products of the direct one, summed in float32, on float or bfloat16,
// channels last. A pending activation is applied while patches are read, so the normalised input is never stored; a
// residual is added, and what batch norms need is summed, while outputs are written. Rounding errors are some ten times
// those of a direct convolution, relative to the largest input of a tile (2^-17 of it times the sum of the weights'
// sizes is the most that was seen, see docs/performance.md), and an infinite input makes NaN of whole tiles.
//
// The kernel is transformed on every call: kept for a step, all transformed kernels would take eight times the weights'
// memory.
#pragma once

#include <lpw/cpu/winograd/kernel_gradient.hpp>

namespace lpw::inline LPW_ABI::winograd {

namespace detail {

[[nodiscard]] inline ImageShape in_shape(const Conv2dGeometry& g) { return {g.height, g.width, g.channels}; }
[[nodiscard]] inline ImageShape out_shape(const Conv2dGeometry& g) {
  return {g.out_height(), g.out_width(), g.out_channels};
}

/// Where the forward's phases find the inputs of output o: phase f at stride o + f - padding.
[[nodiscard]] inline Lattice in_lattice(const Conv2dGeometry& g) {
  return {g.stride.height, {-g.padding.height, 1 - g.padding.height}};
}

/// Where the adjoint finds the outputs, and its phases the inputs whose gradients these make. Phase f's pixel stride (o
/// + taps - 1) + f - padding has terms of outputs o to o + taps - 1; o starts as late as lets every phase reach its
/// first pixel.
template <int Stride>
struct AdjointLattices {
  Lattice out, in;
  TileGrid grid;

  explicit AdjointLattices(const Conv2dGeometry& g) : grid(0, 0) {
    using S = Scheme<Stride>;
    std::int64_t first = g.padding.height;
    for (int f = 0; f < Stride; ++f)
      first = std::min<std::int64_t>(first, (Stride - 1 - f + g.padding.height) / Stride - (S::taps(f) - 1));
    out.offset[0] = first;
    in.stride = Stride;
    std::int64_t last = 0;
    for (int f = 0; f < Stride; ++f) {
      in.offset[f] = Stride * (first + S::taps(f) - 1) + f - g.padding.height;
      last = std::min(last, in.offset[f]);
    }
    grid = TileGrid((g.height - last + Stride - 1) / Stride, (g.width - last + Stride - 1) / Stride);
  }
};

/// Calls f with the stride as a constant.
template <class F>
decltype(auto) with_stride(const Conv2dGeometry& g, F&& f) {
  return g.stride.height == 1 ? f(std::integral_constant<int, 1>()) : f(std::integral_constant<int, 2>());
}

/// The tiles of the forward, and of the adjoint.
[[nodiscard]] inline TileGrid out_grid(const Conv2dGeometry& g) { return {g.out_height(), g.out_width()}; }
[[nodiscard]] inline TileGrid in_grid(const Conv2dGeometry& g) {
  return with_stride(g,
                     [&]<int Stride>(std::integral_constant<int, Stride>) { return AdjointLattices<Stride>(g).grid; });
}

}  // namespace detail

/// What these functions compute: strides and paddings that are the same along both axes, and no groups or dilation.
[[nodiscard]] inline bool supports(const Conv2dGeometry& g) {
  return g.kernel_height == 3 && g.kernel_width == 3 && g.dense() && g.stride.square() && g.stride.height <= 2 &&
         g.padding.square() && g.padding.height <= 2 && g.channels % lanes == 0 && g.out_channels % lanes == 0;
}

/// Where they are faster than a direct convolution of members with `batch` images each, by a rule on the shape, so that
/// runs repeat. Measured, a transform costs what 5 products per point and channel do; products lose a part of their
/// speed to memory; and some tiles are needed to repay the kernel's transform.
[[nodiscard]] inline bool pays(const Conv2dGeometry& g, std::int64_t batch) {
  if (!supports(g) || std::min(g.channels, g.out_channels) < 16) return false;
  const TileGrid grid = detail::out_grid(g);
  const double cost = detail::with_stride(g, [&]<int Stride>(std::integral_constant<int, Stride>) {
    using S = Scheme<Stride>;
    return 1.4 * static_cast<double>(grid.per_image() * (S::values(Stride) * g.channels * (g.out_channels + 5) +
                                                         S::points * 5 * g.out_channels));
  });
  return batch * grid.per_image() >= 16 &&
         cost <= static_cast<double>(taps * g.out_height() * g.out_width() * g.channels * g.out_channels);
}

/// Sums for the moments of the outputs of g.
[[nodiscard]] inline MomentSums moment_sums(const Conv2dGeometry& g) {
  return {detail::out_grid(g), detail::out_shape(g), g.images};
}

/// y = map(x) * kernel + addend, which is null, or as large as y, or y itself.
template <class T, OutputSums Sums = const NoSums>
void conv2d_forward(const Conv2dGeometry& g, const T* x, const PendingMap& map, const float* kernel, T* y,
                    const T* addend = nullptr, Sums& sums = no_sums) {
  const detail::Side<const T> in{x, detail::in_shape(g), detail::in_lattice(g)};
  const detail::Side<T> out{y, detail::out_shape(g), {}};
  detail::with_stride(g, [&]<int Stride>(std::integral_constant<int, Stride>) {
    Tensor<float, Cpu> u({Scheme<Stride>::points, point_stride(Stride * Stride * g.channels * g.out_channels)});
    transform_kernel<Stride>(kernel, g.channels, g.out_channels, u.data());
    detail::with_map(map, [&]<class Map>(std::type_identity<Map>) {
      detail::convolve<Stride, Stride, 1, Map, T>(in, map, detail::out_grid(g), g.images, u.data(), out, addend, sums);
    });
  });
}

/// Sums over the gradient of x, relu of map(x) the input of g.
template <class T>
[[nodiscard]] GradientSums<T> gradient_sums(const Conv2dGeometry& g, const T* x, const PendingMap& map) {
  return {detail::in_grid(g), detail::in_shape(g), g.images, x, map};
}

/// dx (+)= the adjoint of the forward applied to dy.
template <class T, OutputSums Sums = const NoSums>
void conv2d_backward_data(const Conv2dGeometry& g, const T* dy, const float* kernel, T* dx, bool accumulate,
                          Sums& sums = no_sums) {
  detail::with_stride(g, [&]<int Stride>(std::integral_constant<int, Stride>) {
    const detail::AdjointLattices<Stride> lattices(g);
    Tensor<float, Cpu> u({Scheme<Stride>::points, point_stride(Stride * Stride * g.channels * g.out_channels)});
    transform_adjoint_kernel<Stride>(kernel, g.channels, g.out_channels, u.data());
    detail::convolve<Stride, 1, Stride, IdentityMap, T>({dy, detail::out_shape(g), lattices.out}, {}, lattices.grid,
                                                        g.images, u.data(), {dx, detail::in_shape(g), lattices.in},
                                                        accumulate ? dx : nullptr, sums);
  });
}

/// dkernel (+)= the sum over the images of dy's products with map(x).
template <class T>
void conv2d_backward_weight(const Conv2dGeometry& g, const T* x, const PendingMap& map, const T* dy, float* dkernel,
                            bool accumulate) {
  const detail::Side<const T> in{x, detail::in_shape(g), detail::in_lattice(g)}, out{dy, detail::out_shape(g), {}};
  detail::with_stride(g, [&]<int Stride>(std::integral_constant<int, Stride>) {
    detail::with_map(map, [&]<class Map>(std::type_identity<Map>) {
      detail::kernel_gradient<Stride, Map, T>(in, map, out, g.images, dkernel, accumulate);
    });
  });
}

}  // namespace lpw::inline LPW_ABI::winograd
