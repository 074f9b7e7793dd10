// Convolutions of 3x3 kernels with stride 1 or 2 by Winograd's algorithm, F(4x4, 3x3) or the four phases of F(4x4, 2x2 and less): a quarter
// or nine sixteenths of the products of the direct one, summed in float32, on float or bfloat16, channels last. A pending activation is
// applied while patches are read, so the normalised input is never stored.
//
// Work is cut into blocks of tiles whose transformed inputs and outputs stay in a core's second-level cache: transform in, multiply the
// points, transform out. An output element is the same sum whatever block it is in, so results depend neither on threads nor on what
// else is in the stack; the sum over tiles in the gradient of the kernel is cut by shape, and merged in order. Rounding errors are some
// ten times those of a direct convolution, and an infinite input makes NaN of whole tiles.
//
// The kernel is transformed on every call: it changes every step.
#pragma once

#include <lpw/cpu/winograd_kernel.hpp>
#include <lpw/cpu/winograd_sums.hpp>

namespace lpw::winograd {

namespace detail {

/// Calls f with the type of a pending map.
template <class F>
void with_map(const PendingMap& map, F&& f) {
  if (!map.scale) return f(std::type_identity<IdentityMap>());
  if (map.relu) return f(std::type_identity<AffineMap<true>>());
  f(std::type_identity<AffineMap<false>>());
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
};

/// The patches of tile `index` in `Phases` phases, after the pending map, transformed to the points' matrices, `stride` floats apart from
/// `to` on; place(pairs, column) as in PointPlaces.
template <int Stride, int Phases, class Map, class T, class Place>
void enter_tile(const Side<const T>& in, const TileGrid& grid, std::int64_t index, const PendingMap& map, float* to, std::int64_t stride,
                Place&& place) {
  const std::int64_t channels = in.shape.channels, member = map.row(grid.image(index), channels);
  using S = Scheme<Stride>;
  for_each_pair<Phases>([&](auto row, auto column) {
    enter<InputTransform<S::taps(row)>, InputTransform<S::taps(column)>, Map>(
        in.window(grid, index, row, column), channels, {map.scale, map.shift, member},
        [&](std::int64_t c) { return PointPlaces<Stride, Phases, float>(to, stride, row, column, c, channels, place); });
  });
}

/// The outputs of tile `index` in `Phases` phases, row t of the points' matrices from `from` on; `addend` as in leave(), of the whole
/// stack.
template <int Stride, int Phases, class T, class Sums>
void leave_tile(const Side<T>& out, const TileGrid& grid, std::int64_t index, const T* addend, const float* from, std::int64_t stride,
                std::int64_t t, Sums& sums) {
  const std::int64_t channels = out.shape.channels;
  if (addend) addend += grid.image(index) * out.shape.size();
  using S = Scheme<Stride>;
  for_each_pair<Phases>([&](auto row, auto column) {
    leave<OutputTransform<S::taps(row)>, OutputTransform<S::taps(column)>>(
        out.window(grid, index, row, column), channels, addend,
        [&](std::int64_t c) {
          return PointPlaces<Stride, Phases, const float>(from, stride, row, column, c, channels,
                                                          [=](std::int64_t pairs, std::int64_t at) { return t * pairs * channels + at; });
        },
        sums.of_tile(grid, index, row + column == 0));
  });
}

/// Tiles per block: as many as keep the transformed inputs and outputs, `values` floats a tile, in a core's cache, and not so many that
/// threads go without.
[[nodiscard]] inline std::int64_t block_tiles(std::int64_t tiles, std::int64_t values) {
  constexpr std::int64_t cache = 64 << 10;
  const std::int64_t fit = std::clamp<std::int64_t>(cache / values, 24, 96);
  const std::int64_t threads = max_threads(), blocks = (tiles + fit * threads - 1) / (fit * threads) * threads;
  const std::int64_t length = (tiles + blocks - 1) / blocks;
  return (length + block_rows - 1) / block_rows * block_rows;
}

/// out = the products of the patches of `in` and U[p] [in.channels of `In` phases, out.channels of `Out` phases], plus `addend`, which may
/// be null, or out's own images.
template <int Stride, int In, int Out, class T, class Sums>
void convolve(const Side<const T>& in, const PendingMap& map, const TileGrid& grid, std::int64_t images, const float* u, const Side<T>& out,
              const T* addend, Sums& sums) {
  using S = Scheme<Stride>;
  const std::int64_t tiles = images * grid.per_image(), ins = in.shape.channels, outs = out.shape.channels;
  const std::int64_t length = block_tiles(tiles, S::values(In) * ins + S::values(Out) * outs), blocks = (tiles + length - 1) / length;
  const std::int64_t v_stride = point_stride(length * In * In * ins), m_stride = point_stride(length * Out * Out * outs);
  const std::int64_t u_stride = point_stride(In * In * Out * Out * ins * outs);
  Tensor<float, Cpu> scratch({max_threads(), S::points * (v_stride + m_stride)});
  with_map(map, [&]<class Map>(std::type_identity<Map>) {
#pragma omp parallel for schedule(dynamic)
    for (std::int64_t block = 0; block < blocks; ++block) {
      const std::int64_t first = block * length, count = std::min(length, tiles - first);
      float *v = scratch.row(thread_number()), *m = v + S::points * v_stride;
      for (std::int64_t t = 0; t < count; ++t)
        enter_tile<Stride, In, Map>(in, grid, first + t, map, v, v_stride,
                                    [=](std::int64_t pairs, std::int64_t column) { return t * pairs * ins + column; });
      for (int p = 0; p < S::points; ++p) {
        const std::int64_t depth = S::pairs(p, In) * ins, columns = S::pairs(p, Out) * outs;
        multiply({v + p * v_stride, depth, 1}, count, u + p * u_stride, columns, m + p * m_stride, depth, false);
      }
      for (std::int64_t t = 0; t < count; ++t) leave_tile<Stride, Out>(out, grid, first + t, addend, m, m_stride, t, sums);
    }
  });
}

/// How a kernel gradient's sum over tiles is cut, by shape alone. Where the sums, `sums` floats, fit into a core's cache beside the tiles
/// of a block, `values` floats each, parts of the tiles are summed side by side, each by one thread, and merged in order; else there is one
/// part, and threads share the work on each of its blocks, which are long enough that the sums, read and written once per block, do not
/// weigh.
struct GradientCut {
  std::int64_t parts, length;  // length: tiles per block

  GradientCut(std::int64_t tiles, std::int64_t values, std::int64_t sums)
      : parts(sums <= cache / 2 ? std::clamp<std::int64_t>(tiles / 128, 1, 16) : 1),
        length(parts > 1 ? std::clamp<std::int64_t>((cache - sums) / values, 48, 96)
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
  [[nodiscard]] float* s(float* memory, int p = 0) const { return memory + points * (v_stride + d_stride) + p * s_stride; }
};

/// The sums over tiles [begin, end), block by block. In a part of several, the loops run on the part's own thread.
template <int Stride, class Map, class T>
void sum_products(const Side<const T>& x, const PendingMap& map, const Side<const T>& dy, const TileGrid& grid, std::int64_t begin,
                  std::int64_t end, std::int64_t length, const GradientScratch<Stride>& scratch, float* memory) {
  using S = Scheme<Stride>;
  using FromOutput = OutputGradientTransform<S::taps(0)>;
  const std::int64_t ins = x.shape.channels, outs = dy.shape.channels;
  for (std::int64_t first = begin; first < end; first += length) {
    const std::int64_t count = std::min(length, end - first);
#pragma omp parallel for schedule(dynamic, 16)
    for (std::int64_t t = 0; t < count; ++t) {
      enter_tile<Stride, Stride, Map>(x, grid, first + t, map, scratch.v(memory), scratch.v_stride,
                                      [=](std::int64_t pairs, std::int64_t column) { return panel_offset(t, column, count, pairs * ins); });
      enter<FromOutput, FromOutput, IdentityMap>(dy.window(grid, first + t, 0, 0), outs, {}, [&](std::int64_t o) {
        return [=, to = scratch.d(memory) + t * outs + o](int i, int j) { return to + (i * S::patch + j) * scratch.d_stride; };
      });
    }
#pragma omp parallel for schedule(dynamic)
    for (int p = 0; p < S::points; ++p)
      multiply({scratch.d(memory, p), 1, outs}, outs, scratch.v(memory, p), S::pairs(p, Stride) * ins, scratch.s(memory, p), count,
               first > begin);
  }
}

/// dkernel [O, 3, 3, C] (+)= the sum over all tiles of x's patches with dy.
template <int Stride, class Map, class T>
void kernel_gradient(const Side<const T>& x, const PendingMap& map, const Side<const T>& dy, std::int64_t images, float* dkernel,
                     bool accumulate) {
  using S = Scheme<Stride>;
  const TileGrid grid(dy.shape.height, dy.shape.width);
  const std::int64_t tiles = images * grid.per_image(), ins = x.shape.channels, outs = dy.shape.channels, size = taps * ins * outs;
  const GradientCut cut(tiles, S::values(Stride) * ins + S::points * outs, S::values(Stride) * ins * outs);
  const GradientScratch<Stride> scratch(cut.length, ins, outs);
  Tensor<float, Cpu> memory({cut.parts > 1 ? max_threads() : 1, scratch.size()});
  if (cut.parts == 1) {
    sum_products<Stride, Map>(x, map, dy, grid, 0, tiles, cut.length, scratch, memory.data());
    return transform_kernel_gradient<Stride>(scratch.s(memory.data()), ins, outs, dkernel, accumulate);
  }
  Tensor<float, Cpu> partial({cut.parts, size});
#pragma omp parallel for schedule(dynamic)
  for (std::int64_t part = 0; part < cut.parts; ++part) {
    float* const mine = memory.row(thread_number());
    sum_products<Stride, Map>(x, map, dy, grid, part_begin(tiles, cut.parts, part), part_begin(tiles, cut.parts, part + 1), cut.length,
                              scratch, mine);
    transform_kernel_gradient<Stride>(scratch.s(mine), ins, outs, partial.row(part), false);
  }
#pragma omp parallel for schedule(static)
  for (std::int64_t o = 0; o < outs; ++o) {
    const std::int64_t row = taps * ins, first = o * row;
    if (!accumulate) std::fill_n(dkernel + first, row, 0.f);
    for (std::int64_t part = 0; part < cut.parts; ++part)
      for (std::int64_t i = first; i < first + row; ++i) dkernel[i] += partial.row(part)[i];
  }
}

[[nodiscard]] inline ImageShape in_shape(const Conv2dGeometry& g) { return {g.height, g.width, g.channels}; }
[[nodiscard]] inline ImageShape out_shape(const Conv2dGeometry& g) { return {g.out_height(), g.out_width(), g.out_channels}; }

/// Where the forward's phases find the inputs of output o: phase f at stride o + f - padding.
[[nodiscard]] inline Lattice in_lattice(const Conv2dGeometry& g) { return {g.stride, {-g.padding, 1 - g.padding}}; }

/// Where the adjoint finds the outputs, and its phases the inputs whose gradients these make. Phase f's pixel stride (o + taps - 1) + f -
/// padding has terms of outputs o to o + taps - 1; o starts as late as lets every phase reach its first pixel.
template <int Stride>
struct AdjointLattices {
  Lattice out, in;
  TileGrid grid;

  explicit AdjointLattices(const Conv2dGeometry& g) : grid(0, 0) {
    using S = Scheme<Stride>;
    std::int64_t first = g.padding;
    for (int f = 0; f < Stride; ++f) first = std::min<std::int64_t>(first, (Stride - 1 - f + g.padding) / Stride - (S::taps(f) - 1));
    out.offset[0] = first;
    in.stride = Stride;
    std::int64_t last = 0;
    for (int f = 0; f < Stride; ++f) {
      in.offset[f] = Stride * (first + S::taps(f) - 1) + f - g.padding;
      last = std::min(last, in.offset[f]);
    }
    grid = TileGrid((g.height - last + Stride - 1) / Stride, (g.width - last + Stride - 1) / Stride);
  }
};

/// Calls f with the stride as a constant.
template <class F>
decltype(auto) with_stride(const Conv2dGeometry& g, F&& f) {
  return g.stride == 1 ? f(std::integral_constant<int, 1>()) : f(std::integral_constant<int, 2>());
}

/// The tiles of the forward, and of the adjoint.
[[nodiscard]] inline TileGrid out_grid(const Conv2dGeometry& g) { return {g.out_height(), g.out_width()}; }
[[nodiscard]] inline TileGrid in_grid(const Conv2dGeometry& g) {
  return with_stride(g, [&]<int Stride>(std::integral_constant<int, Stride>) { return AdjointLattices<Stride>(g).grid; });
}

}  // namespace detail

/// What these functions compute.
[[nodiscard]] inline bool supports(const Conv2dGeometry& g) {
  return g.kernel_height == 3 && g.kernel_width == 3 && g.stride <= 2 && g.padding <= 2 && g.channels % lanes == 0 &&
         g.out_channels % lanes == 0;
}

/// Where they are faster than a direct convolution of members with `batch` images each, by a rule on the shape, so that runs repeat.
/// Measured, a transform costs what 7 products per point and channel do; products lose a part of their speed to memory; and some tiles
/// are needed to repay the kernel's transform.
[[nodiscard]] inline bool pays(const Conv2dGeometry& g, std::int64_t batch) {
  if (!supports(g) || std::min(g.channels, g.out_channels) < 16) return false;
  const TileGrid grid = detail::out_grid(g);
  const double cost = detail::with_stride(g, [&]<int Stride>(std::integral_constant<int, Stride>) {
    using S = Scheme<Stride>;
    return 1.4 *
           static_cast<double>(grid.per_image() * (S::values(Stride) * g.channels * (g.out_channels + 7) + S::points * 7 * g.out_channels));
  });
  return batch * grid.per_image() >= 16 && cost <= static_cast<double>(taps * g.out_height() * g.out_width() * g.channels * g.out_channels);
}

/// Sums for the moments of the outputs of g.
[[nodiscard]] inline MomentSums moment_sums(const Conv2dGeometry& g) { return {detail::out_grid(g), detail::out_shape(g), g.images}; }

/// y = map(x) * kernel + addend, which is null, or as large as y, or y itself.
template <class T, class Sums = const NoSums>
void conv2d_forward(const Conv2dGeometry& g, const T* x, const PendingMap& map, const float* kernel, T* y, const T* addend = nullptr,
                    Sums& sums = no_sums) {
  const detail::Side<const T> in{x, detail::in_shape(g), detail::in_lattice(g)};
  const detail::Side<T> out{y, detail::out_shape(g), {}};
  detail::with_stride(g, [&]<int Stride>(std::integral_constant<int, Stride>) {
    Tensor<float, Cpu> u({Scheme<Stride>::points, point_stride(Stride * Stride * g.channels * g.out_channels)});
    transform_kernel<Stride>(kernel, g.channels, g.out_channels, u.data());
    detail::convolve<Stride, Stride, 1, T>(in, map, detail::out_grid(g), g.images, u.data(), out, addend, sums);
  });
}

/// Sums over the gradient of x, relu of map(x) the input of g, mean [K, C].
template <class T>
[[nodiscard]] GradientSums<T> gradient_sums(const Conv2dGeometry& g, const T* x, const PendingMap& map, const float* mean) {
  return {detail::in_grid(g), detail::in_shape(g), g.images, x, map, mean};
}

/// dx (+)= the adjoint of the forward applied to dy.
template <class T, class Sums = const NoSums>
void conv2d_backward_data(const Conv2dGeometry& g, const T* dy, const float* kernel, T* dx, bool accumulate, Sums& sums = no_sums) {
  detail::with_stride(g, [&]<int Stride>(std::integral_constant<int, Stride>) {
    const detail::AdjointLattices<Stride> lattices(g);
    Tensor<float, Cpu> u({Scheme<Stride>::points, point_stride(Stride * Stride * g.channels * g.out_channels)});
    transform_adjoint_kernel<Stride>(kernel, g.channels, g.out_channels, u.data());
    detail::convolve<Stride, 1, Stride, T>({dy, detail::out_shape(g), lattices.out}, {}, lattices.grid, g.images, u.data(),
                                           {dx, detail::in_shape(g), lattices.in}, accumulate ? dx : nullptr, sums);
  });
}

/// dkernel (+)= the sum over the images of dy's products with map(x).
template <class T>
void conv2d_backward_weight(const Conv2dGeometry& g, const T* x, const PendingMap& map, const T* dy, float* dkernel, bool accumulate) {
  const detail::Side<const T> in{x, detail::in_shape(g), detail::in_lattice(g)}, out{dy, detail::out_shape(g), {}};
  detail::with_stride(g, [&]<int Stride>(std::integral_constant<int, Stride>) {
    detail::with_map(map, [&]<class Map>(std::type_identity<Map>) {
      detail::kernel_gradient<Stride, Map, T>(in, map, out, g.images, dkernel, accumulate);
    });
  });
}

}  // namespace lpw::winograd
