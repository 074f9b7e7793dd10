// The products of a forward or of a data gradient, and what both and the kernel's gradient share: patches in, outputs
// out.
//
// Work is cut into blocks of tiles whose transformed inputs and outputs stay in a core's second-level cache: transform
// in, multiply the points, transform out. An output element is the same sum whatever block it is in, so results depend
// neither on threads nor on what else is in the stack.
#pragma once

#include <lpw/cpu/winograd/kernel.hpp>
#include <lpw/cpu/winograd/sums.hpp>

namespace lpw::inline LPW_ABI::winograd::detail {

/// Calls f with the type of a pending map.
template <class F>
void with_map(const PendingMap& map, F&& f) {
  if (!map.scale) return f(std::type_identity<IdentityMap>());
  f(std::type_identity<CentredMap>());
}

/// One side of a convolution: a stack of images, and where the phases of tiles find their pixels.
template <class T>
struct Side {
  T* images;
  ImageShape shape;
  Lattice lattice;

  [[nodiscard]] Window<T> window(const TileGrid& grid, std::int64_t index, int row_phase, int column_phase) const {
    return {images + grid.image(index) * shape.size(), shape, lattice.pixel(row_phase, grid.row(index)),
            lattice.pixel(column_phase, grid.column(index)), lattice.stride};
  }
  /// Elements from the window of a tile to that of one soon after it, which memory has time to bring while the tiles
  /// between are transformed: the fewer channels, the sooner a tile is done.
  [[nodiscard]] std::int64_t ahead(const TileGrid& grid, std::int64_t index) const {
    const std::int64_t later = index + std::clamp<std::int64_t>(64 / shape.channels, 1, 4);
    return window(grid, later, 0, 0).offset(0, 0) - window(grid, index, 0, 0).offset(0, 0) +
           (grid.image(later) - grid.image(index)) * shape.size();
  }
};

/// The patches of tile `index` in `Phases` phases, after the pending map, transformed to the points' matrices, `stride`
/// floats apart from `to` on; place(pairs, column) as in PointPlaces.
template <int Stride, int Phases, class Map, class T, class Place>
void enter_tile(const Side<const T>& in, const TileGrid& grid, std::int64_t index, const PendingMap& map, float* to,
                std::int64_t stride, Place&& place) {
  const std::int64_t channels = in.shape.channels;
  const MapRows rows = map.rows(grid.image(index), channels);
  const std::int64_t ahead = in.ahead(grid, index);
  using S = Scheme<Stride>;
  for_each_pair<Phases>([&](auto row, auto column) {
    enter<InputTransform<S::taps(row)>, InputTransform<S::taps(column)>, Map>(
        in.window(grid, index, row, column), ahead, channels, rows, [&](std::int64_t c) {
          return PointPlaces<Stride, Phases, float>(to, stride, row, column, c, channels, place);
        });
  });
}

/// The outputs of tile `index` in `Phases` phases, row t of the points' matrices from `from` on; `addend` as in
/// leave(), of the whole stack.
template <int Stride, int Phases, class T, OutputSums Sums>
void leave_tile(const Side<T>& out, const TileGrid& grid, std::int64_t index, const T* addend, const float* from,
                std::int64_t stride, std::int64_t t, Sums& sums) {
  const std::int64_t channels = out.shape.channels;
  const std::int64_t ahead = out.ahead(grid, index);
  if (addend) addend += grid.image(index) * out.shape.size();
  using S = Scheme<Stride>;
  for_each_pair<Phases>([&](auto row, auto column) {
    leave<OutputTransform<S::taps(row)>, OutputTransform<S::taps(column)>>(
        out.window(grid, index, row, column), ahead, channels, addend,
        [&](std::int64_t c) {
          return PointPlaces<Stride, Phases, const float>(
              from, stride, row, column, c, channels,
              [=](std::int64_t pairs, std::int64_t at) { return t * pairs * channels + at; });
        },
        sums.of_tile(grid, index, row + column == 0));
  });
}

/// Tiles per block: as many as keep the transformed inputs and outputs, `values` floats a tile, in a core's cache, and
/// not so many that threads go without.
[[nodiscard]] inline std::int64_t block_tiles(std::int64_t tiles, std::int64_t values) {
  constexpr std::int64_t cache = 64 << 10;
  const std::int64_t fit = std::clamp<std::int64_t>(cache / values, 24, 96);
  const std::int64_t threads = max_threads(), blocks = (tiles + fit * threads - 1) / (fit * threads) * threads;
  const std::int64_t length = (tiles + blocks - 1) / blocks;
  return (length + block_rows - 1) / block_rows * block_rows;
}

/// What a tile costs with so many values transformed in and out, and so many products.
[[nodiscard]] constexpr std::int64_t tile_cost(std::int64_t in, std::int64_t out, std::int64_t products) {
  return 2 * (in + out) + products_cost(products);
}

/// out = the products of the patches of `in` and U[p] [in.channels of `In` phases, out.channels of `Out` phases], plus
/// `addend`, which may be null, or out's own images.
template <int Stride, int In, int Out, class Map, class T, OutputSums Sums>
void convolve(const Side<const T>& in, const PendingMap& map, const TileGrid& grid, std::int64_t images, const float* u,
              const Side<T>& out, const T* addend, Sums& sums) {
  using S = Scheme<Stride>;
  const std::int64_t tiles = images * grid.per_image(), ins = in.shape.channels, outs = out.shape.channels;
  const std::int64_t length = block_tiles(tiles, S::values(In) * ins + S::values(Out) * outs),
                     blocks = (tiles + length - 1) / length;
  const std::int64_t v_stride = point_stride(length * In * In * ins),
                     m_stride = point_stride(length * Out * Out * outs);
  const std::int64_t u_stride = point_stride(In * In * Out * Out * ins * outs);
  const std::int64_t block_cost =
      length * tile_cost(S::values(In) * ins, S::values(Out) * outs, S::products(In, Out) * ins * outs);
  Tensor<float, Cpu> scratch({max_threads(), S::points * (v_stride + m_stride)});
  parallel_for(blocks, block_cost, [&](std::int64_t block) {
    const std::int64_t first = block * length, count = std::min(length, tiles - first);
    float *v = scratch.row(thread_number()), *m = v + S::points * v_stride;
    for (std::int64_t t = 0; t < count; ++t)
      enter_tile<Stride, In, Map>(in, grid, first + t, map, v, v_stride,
                                  [=](std::int64_t pairs, std::int64_t column) { return t * pairs * ins + column; });
    for (int p = 0; p < S::points; ++p) {
      const std::int64_t depth = S::pairs(p, In) * ins, columns = S::pairs(p, Out) * outs;
      multiply(LeftMatrix{v + p * v_stride, depth, 1}, count, u + p * u_stride, columns, m + p * m_stride, depth,
               false);
    }
    for (std::int64_t t = 0; t < count; ++t)
      leave_tile<Stride, Out>(out, grid, first + t, addend, m, m_stride, t, sums);
  });
}

}  // namespace lpw::inline LPW_ABI::winograd::detail
