// The gradient of the kernel: the sum over all tiles of the patches' products with the outputs' gradients. It is cut by
// shape, never by the number of threads, and merged in order.
#pragma once

#include <lpw/cpu/base/parts.hpp>
#include <lpw/cpu/winograd/convolve.hpp>

namespace lpw::inline LPW_ABI::winograd::detail {

/// How a kernel gradient's sum over tiles is cut, by shape alone. Where the sums, `sums` floats, fit into a core's
/// cache beside the tiles of a block, `values` floats each, parts of the tiles are summed side by side, each by one
/// thread, and merged in order; else there is one part, and threads share the work on each of its blocks, which are
/// long enough that the sums, read and written once per block, do not weigh.
struct GradientCut {
  std::int64_t parts, length;  // length: tiles per block

  GradientCut(std::int64_t tiles, std::int64_t values, std::int64_t sums)
      : parts(sums <= cache / 2 ? std::clamp<std::int64_t>(tiles / 128, 1, 16) : 1),
        length(parts > 1 ? std::clamp<std::int64_t>((cache - sums) / values, 48, 64)
                         : std::clamp<std::int64_t>(2 * cache / values, 128, 512)) {}

 private:
  static constexpr std::int64_t cache = 384 << 10;
};

/// Memory for the transformed rows of x and dy of one block, and the sums S[p] [O, C of all phases] of their products.
template <int Stride>
struct GradientScratch {
  static constexpr std::int64_t points = Scheme<Stride>::points;
  std::int64_t v_stride, d_stride, s_stride;

  GradientScratch(std::int64_t length, std::int64_t channels, std::int64_t out_channels)
      : v_stride(point_stride(length * Stride * Stride * channels)),
        d_stride(point_stride(length * out_channels)),
        s_stride(point_stride(Stride * Stride * channels * out_channels)) {}
  [[nodiscard]] std::int64_t size() const { return points * (v_stride + d_stride + s_stride); }
  [[nodiscard]] float* v(float* memory, int p = 0) const { return memory + p * v_stride; }
  [[nodiscard]] float* d(float* memory, int p = 0) const { return memory + points * v_stride + p * d_stride; }
  [[nodiscard]] float* s(float* memory, int p = 0) const {
    return memory + points * (v_stride + d_stride) + p * s_stride;
  }
};

/// The sums over tiles [begin, end), block by block. In a part of several, the loops run on the part's own thread.
template <int Stride, class Map, class T>
void sum_products(const Side<const T>& x, const PendingMap& map, const Side<const T>& dy, const TileGrid& grid,
                  std::int64_t begin, std::int64_t end, std::int64_t length, const GradientScratch<Stride>& scratch,
                  float* memory) {
  using S = Scheme<Stride>;
  using FromOutput = OutputGradientTransform<S::taps(0)>;
  const std::int64_t ins = x.shape.channels, outs = dy.shape.channels;
  const std::int64_t values = S::values(Stride) * ins + S::points * outs;
  for (std::int64_t first = begin; first < end; first += length) {
    const std::int64_t count = std::min(length, end - first);
    parallel_for(count, tile_cost(values, 0, 0), [&](std::int64_t t) {
      enter_tile<Stride, Stride, Map>(
          x, grid, first + t, map, scratch.v(memory), scratch.v_stride,
          [=](std::int64_t pairs, std::int64_t column) { return panel_offset(t, column, count, pairs * ins); });
      enter<FromOutput, FromOutput, IdentityMap>(dy.window(grid, first + t, 0, 0), dy.ahead(grid, first + t), outs, {},
                                                 [&](std::int64_t o) {
                                                   return [=, to = scratch.d(memory) + t * outs + o](int i, int j) {
                                                     return to + (i * S::patch + j) * scratch.d_stride;
                                                   };
                                                 });
    });
    parallel_for(S::points, products_cost(count * S::products(Stride, 1) * ins * outs) / S::points,
                 [&](std::int64_t point) {
                   const int p = static_cast<int>(point);
                   multiply(LeftColumns{scratch.d(memory, p), outs}, outs, scratch.v(memory, p),
                            S::pairs(p, Stride) * ins, scratch.s(memory, p), count, first > begin);
                 });
  }
}

/// dkernel [O, 3, 3, C] (+)= the sum over all tiles of x's patches with dy.
template <int Stride, class Map, class T>
void kernel_gradient(const Side<const T>& x, const PendingMap& map, const Side<const T>& dy, std::int64_t images,
                     float* dkernel, bool accumulate) {
  using S = Scheme<Stride>;
  const TileGrid grid(dy.shape.height, dy.shape.width);
  const std::int64_t tiles = images * grid.per_image(), ins = x.shape.channels, outs = dy.shape.channels,
                     size = taps * ins * outs;
  const GradientCut cut(tiles, S::values(Stride) * ins + S::points * outs, S::values(Stride) * ins * outs);
  const GradientScratch<Stride> scratch(cut.length, ins, outs);
  Tensor<float, Cpu> memory({cut.parts > 1 ? max_threads() : 1, scratch.size()});
  if (cut.parts == 1) {
    sum_products<Stride, Map>(x, map, dy, grid, 0, tiles, cut.length, scratch, memory.data());
    return transform_kernel_gradient<Stride>(scratch.s(memory.data()), ins, outs, dkernel, accumulate);
  }
  Tensor<float, Cpu> partial({cut.parts, size});
  const std::int64_t part_cost =
      tiles / cut.parts * tile_cost(S::values(Stride) * ins + S::points * outs, 0, S::products(Stride, 1) * ins * outs);
  parallel_for(cut.parts, part_cost, [&](std::int64_t part) {
    float* const mine = memory.row(thread_number());
    sum_products<Stride, Map>(x, map, dy, grid, part_begin(tiles, cut.parts, part),
                              part_begin(tiles, cut.parts, part + 1), cut.length, scratch, mine);
    transform_kernel_gradient<Stride>(scratch.s(mine), ins, outs, partial.row(part), false);
  });
  add_parts(std::as_const(partial), dkernel, accumulate);
}

}  // namespace lpw::inline LPW_ABI::winograd::detail
