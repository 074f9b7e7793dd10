// Convolutions of 3x3 kernels with stride 1 by Winograd's algorithm F(4x4, 3x3): a quarter of the products of the direct one, summed in
// float32, on float or bfloat16, channels last. A pending activation is applied while patches are read, so the normalised input is never
// stored.
//
// Work is cut into blocks of tiles whose transformed inputs and outputs stay in a core's second-level cache: transform in, multiply the 36
// points, transform out. An output element is the same sum whatever block it is in, so results depend neither on threads nor on what
// else is in the stack; the sum over tiles in the gradient of the kernel is cut by shape, and merged in order. Rounding errors are some
// ten times those of a direct convolution, and an infinite input makes NaN of whole tiles.
//
// The kernel is transformed on every call: it changes every step.
#pragma once

#include <type_traits>

#include <lpw/cpu/winograd_kernel.hpp>
#include <lpw/cpu/winograd_tiles.hpp>

namespace lpw::winograd {

/// The map pending on a stack of images, for as many members as it holds: rows of channels, `images` images each; null: none.
struct PendingMap {
  const float *scale = nullptr, *shift = nullptr;
  std::int64_t images = 1;
  bool relu = false;
};

namespace detail {

/// Calls f with the type of a pending map.
template <class F>
void with_map(const PendingMap& map, F&& f) {
  if (!map.scale) return f(std::type_identity<IdentityMap>());
  if (map.relu) return f(std::type_identity<AffineMap<true>>());
  f(std::type_identity<AffineMap<false>>());
}

/// The patches of a stack of images, transformed.
template <class T>
struct Patches {
  const T* images;
  ImageShape shape;
  TileGrid grid;
  std::int64_t padding;
  PendingMap map;

  /// V[p] of tile `index`, placed by place(channel).
  template <class Map, class Place>
  void enter(std::type_identity<Map>, std::int64_t index, float* v, std::int64_t stride, Place&& place) const {
    const std::int64_t image = grid.image(index), channels = shape.channels, member = map.scale ? image / map.images * channels : 0;
    const Window<const T> window(images + image * shape.size(), shape, grid.row(index) - padding, grid.column(index) - padding);
    winograd::enter<InputTransform, Map>(window, channels, {map.scale, map.shift, member}, v, stride, place);
  }
};

/// Tiles per block: as many as keep the transformed inputs and outputs in a core's cache, and not so many that threads go without.
[[nodiscard]] inline std::int64_t block_tiles(std::int64_t tiles, std::int64_t channels) {
  constexpr std::int64_t cache = 256 << 10;
  const std::int64_t fit = std::clamp<std::int64_t>(cache / (points * 4 * channels), 24, 96);
  const std::int64_t threads = max_threads(), blocks = (tiles + fit * threads - 1) / (fit * threads) * threads;
  const std::int64_t length = (tiles + blocks - 1) / blocks;
  return (length + block_rows - 1) / block_rows * block_rows;
}

/// out (+)= the products of patches and U[p] [in.channels, out.channels].
template <class T>
void convolve(const Patches<T>& in, std::int64_t images, const float* u, const ImageShape& out_shape, T* out, bool accumulate) {
  const std::int64_t tiles = images * in.grid.per_image(), ins = in.shape.channels, outs = out_shape.channels;
  const std::int64_t length = block_tiles(tiles, ins + outs), blocks = (tiles + length - 1) / length;
  const std::int64_t v_stride = point_stride(length * ins), m_stride = point_stride(length * outs);
  const std::int64_t u_stride = point_stride(ins * outs);
  Tensor<float, Cpu> scratch({max_threads(), points * (v_stride + m_stride)});
  with_map(in.map, [&](auto map) {
#pragma omp parallel for schedule(dynamic)
    for (std::int64_t block = 0; block < blocks; ++block) {
      const std::int64_t first = block * length, count = std::min(length, tiles - first);
      float *v = scratch.row(thread_number()), *m = v + points * v_stride;
      for (std::int64_t t = 0; t < count; ++t) in.enter(map, first + t, v, v_stride, [&](std::int64_t c) { return t * ins + c; });
      for (int p = 0; p < points; ++p) multiply({v + p * v_stride, ins, 1}, count, u + p * u_stride, outs, m + p * m_stride, ins, false);
      for (std::int64_t t = 0; t < count; ++t) {
        const std::int64_t index = first + t;
        const Window<T> window(out + in.grid.image(index) * out_shape.size(), out_shape, in.grid.row(index), in.grid.column(index));
        leave(m + t * outs, m_stride, window, outs, accumulate);
      }
    }
  });
}

/// How a kernel gradient's sum over tiles is cut, by shape alone. Where the sums are small, parts of the tiles are summed side by side,
/// each by one thread in its core's cache, and merged in order; else there is one part, and threads share the work on each of its blocks,
/// which are long enough that the sums, read and written once per block, do not weigh.
struct GradientCut {
  std::int64_t parts, length;  // length: tiles per block

  GradientCut(std::int64_t tiles, std::int64_t channels, std::int64_t out_channels)
      : parts(channels * out_channels <= 32 * 64 ? std::clamp<std::int64_t>(tiles / 128, 1, 16) : 1),
        length(parts > 1 ? 48 : std::clamp<std::int64_t>((2 << 20) / (points * 4 * (channels + out_channels)), 128, 512)) {}
};

/// Memory for the transformed rows of x and dy of one block, and the sums S[p] [O, C] of their products.
struct GradientScratch {
  std::int64_t v_stride, d_stride, s_stride;

  GradientScratch(std::int64_t length, std::int64_t channels, std::int64_t out_channels)
      : v_stride(point_stride(length * channels)),
        d_stride(point_stride(length * out_channels)),
        s_stride(point_stride(channels * out_channels)) {}
  [[nodiscard]] std::int64_t size() const { return points * (v_stride + d_stride + s_stride); }
  [[nodiscard]] float* v(float* memory, int p = 0) const { return memory + p * v_stride; }
  [[nodiscard]] float* d(float* memory, int p = 0) const { return memory + points * v_stride + p * d_stride; }
  [[nodiscard]] float* s(float* memory, int p = 0) const { return memory + points * (v_stride + d_stride) + p * s_stride; }
};

/// The sums over tiles [begin, end), block by block. In a part of several, the loops run on the part's own thread.
template <class Map, class T>
void sum_products(Map map, const Patches<T>& x, const T* dy, const ImageShape& out, std::int64_t begin, std::int64_t end,
                  std::int64_t length, const GradientScratch& scratch, float* memory) {
  const std::int64_t ins = x.shape.channels, outs = out.channels;
  for (std::int64_t first = begin; first < end; first += length) {
    const std::int64_t count = std::min(length, end - first);
#pragma omp parallel for schedule(dynamic, 16)
    for (std::int64_t t = 0; t < count; ++t) {
      const std::int64_t index = first + t;
      x.enter(map, index, scratch.v(memory), scratch.v_stride, [&](std::int64_t c) { return panel_offset(t, c, count, ins); });
      const Window<const T> window(dy + x.grid.image(index) * out.size(), out, x.grid.row(index), x.grid.column(index));
      enter<OutputGradientTransform, IdentityMap>(window, outs, {}, scratch.d(memory), scratch.d_stride,
                                                  [&](std::int64_t o) { return t * outs + o; });
    }
#pragma omp parallel for schedule(dynamic)
    for (int p = 0; p < points; ++p)
      multiply({scratch.d(memory, p), 1, outs}, outs, scratch.v(memory, p), ins, scratch.s(memory, p), count, first > begin);
  }
}

/// dkernel [O, 3, 3, C] (+)= the sum over all tiles of x's patches with dy [out].
template <class Map, class T>
void kernel_gradient(Map map, const Patches<T>& x, std::int64_t images, const T* dy, const ImageShape& out, float* dkernel,
                     bool accumulate) {
  const std::int64_t tiles = images * x.grid.per_image(), ins = x.shape.channels, outs = out.channels, size = taps * ins * outs;
  const GradientCut cut(tiles, ins, outs);
  const GradientScratch scratch(cut.length, ins, outs);
  Tensor<float, Cpu> memory({cut.parts > 1 ? max_threads() : 1, scratch.size()});
  if (cut.parts == 1) {
    sum_products(map, x, dy, out, 0, tiles, cut.length, scratch, memory.data());
    return transform_kernel_gradient(scratch.s(memory.data()), ins, outs, dkernel, accumulate);
  }
  Tensor<float, Cpu> partial({cut.parts, size});
#pragma omp parallel for schedule(dynamic)
  for (std::int64_t part = 0; part < cut.parts; ++part) {
    float* const mine = memory.row(thread_number());
    sum_products(map, x, dy, out, part_begin(tiles, cut.parts, part), part_begin(tiles, cut.parts, part + 1), cut.length, scratch, mine);
    transform_kernel_gradient(scratch.s(mine), ins, outs, partial.row(part), false);
  }
  for (std::int64_t i = 0; i < size; ++i) {
    float sum = accumulate ? dkernel[i] : 0.f;
    for (std::int64_t part = 0; part < cut.parts; ++part) sum += partial.row(part)[i];
    dkernel[i] = sum;
  }
}

[[nodiscard]] inline ImageShape in_shape(const Conv2dGeometry& g) { return {g.height, g.width, g.channels}; }
[[nodiscard]] inline ImageShape out_shape(const Conv2dGeometry& g) { return {g.out_height(), g.out_width(), g.out_channels}; }

}  // namespace detail

/// What these functions compute.
[[nodiscard]] inline bool supports(const Conv2dGeometry& g) {
  return g.kernel_height == 3 && g.kernel_width == 3 && g.stride == 1 && g.padding <= 2 && g.channels % lanes == 0 &&
         g.out_channels % lanes == 0;
}

/// Where they are faster than a direct convolution of members with `batch` images each, by a rule on the shape, so that runs repeat.
/// Measured, a transform costs what 7 products per point and channel do; products lose a part of their speed to memory; and some tiles
/// are needed to repay the kernel's transform.
[[nodiscard]] inline bool pays(const Conv2dGeometry& g, std::int64_t batch) {
  if (!supports(g) || std::min(g.channels, g.out_channels) < 16) return false;
  const TileGrid grid(detail::out_shape(g));
  const std::int64_t products = g.channels * g.out_channels, transforms = 7 * (g.channels + g.out_channels);
  const double cost = 1.4 * static_cast<double>(points * grid.per_image() * (products + transforms));
  return batch * grid.per_image() >= 16 && cost <= static_cast<double>(taps * g.out_height() * g.out_width() * products);
}

/// y = map(x) * kernel.
template <class T>
void conv2d_forward(const Conv2dGeometry& g, const T* x, const PendingMap& map, const float* kernel, T* y) {
  const ImageShape in = detail::in_shape(g), out = detail::out_shape(g);
  Tensor<float, Cpu> u({points, point_stride(g.weight_size() / taps)});
  transform_kernel(kernel, g.channels, g.out_channels, u.data());
  detail::convolve<T>({x, in, TileGrid(out), g.padding, map}, g.images, u.data(), out, y, false);
}

/// dx (+)= the adjoint of the forward applied to dy: a convolution of dy with the turned kernel.
template <class T>
void conv2d_backward_data(const Conv2dGeometry& g, const T* dy, const float* kernel, T* dx, bool accumulate) {
  const ImageShape in = detail::in_shape(g), out = detail::out_shape(g);
  Tensor<float, Cpu> u({points, point_stride(g.weight_size() / taps)});
  transform_adjoint_kernel(kernel, g.channels, g.out_channels, u.data());
  detail::convolve<T>({dy, out, TileGrid(in), 2 - g.padding, {}}, g.images, u.data(), in, dx, accumulate);
}

/// dkernel (+)= the sum over the images of dy's products with map(x).
template <class T>
void conv2d_backward_weight(const Conv2dGeometry& g, const T* x, const PendingMap& map, const T* dy, float* dkernel, bool accumulate) {
  const ImageShape out = detail::out_shape(g);
  const detail::Patches<T> patches{x, detail::in_shape(g), TileGrid(out), g.padding, map};
  detail::with_map(map, [&](auto type) { detail::kernel_gradient(type, patches, g.images, dy, out, dkernel, accumulate); });
}

}  // namespace lpw::winograd
