// Convolutions as matrix products of gathered patches (im2col) by Eigen: the path of double, and of machines without
// oneDNN. Work is cut into images, and images into bands of output rows, by shape alone: a band's patches fit a core's
// cache, memory stays bounded for any image, and results do not depend on the number of threads. Sums run in
// Accumulate<T>; only results are rounded to T.
#pragma once

#include <lpw/cpu/base/parts.hpp>
#include <lpw/cpu/gemm.hpp>
#include <lpw/primitives/conv2d.hpp>

namespace lpw::inline LPW_ABI::im2col {

namespace detail {

/// Elements of a per-thread patch matrix to aim at, and the fewest patches that are worth packing the weight for.
inline constexpr std::int64_t band_elements = 65536, band_patches = 64;

/// Output rows per band.
[[nodiscard]] inline std::int64_t band_rows(const Conv2dGeometry& g) {
  const std::int64_t patches = std::max(band_patches, band_elements / g.patch());
  return std::clamp<std::int64_t>((patches + g.out_width() - 1) / g.out_width(), 1, g.out_height());
}

/// One band of one image: its output rows [first, last).
struct Band {
  std::int64_t first, last, patches;

  Band(const Conv2dGeometry& g, std::int64_t index)
      : first(index * band_rows(g)),
        last(std::min(g.out_height(), first + band_rows(g))),
        patches((last - first) * g.out_width()) {}

  [[nodiscard]] static std::int64_t count(const Conv2dGeometry& g) {
    return (g.out_height() + band_rows(g) - 1) / band_rows(g);
  }
  [[nodiscard]] static std::int64_t max_patches(const Conv2dGeometry& g) { return band_rows(g) * g.out_width(); }
};

/// Calls visit(patch offset, image offset, length) for every run of a patch row inside the image, and skip(patch
/// offset, length) for every run in the padding. Offsets are in elements; `length` is a multiple of the channels. Of
/// kernels that are dense.
template <class Visit, class Skip>
void for_each_dense_run(const Conv2dGeometry& g, const Band& band, Visit&& visit, Skip&& skip) {
  const std::int64_t run = g.kernel_width * g.channels;
  std::int64_t offset = 0;
  for (std::int64_t i = band.first; i < band.last; ++i)
    for (std::int64_t j = 0; j < g.out_width(); ++j)
      for (std::int64_t ky = 0; ky < g.kernel_height; ++ky, offset += run) {
        const std::int64_t y = i * g.stride.height - g.padding.height + ky, left = j * g.stride.width - g.padding.width;
        const bool inside = y >= 0 && y < g.height;
        const std::int64_t first = inside ? std::clamp<std::int64_t>(-left, 0, g.kernel_width) : g.kernel_width;
        const std::int64_t last =
            inside ? std::clamp<std::int64_t>(g.width - left, first, g.kernel_width) : g.kernel_width;
        if (first > 0) skip(offset, first * g.channels);
        if (last > first)
          visit(offset + first * g.channels, (y * g.width + left + first) * g.channels, (last - first) * g.channels);
        if (last < g.kernel_width) skip(offset + last * g.channels, (g.kernel_width - last) * g.channels);
      }
}

/// The same of one group's channels, where a run is what an element of the kernel reads of them.
template <class Visit, class Skip>
void for_each_run(const Conv2dGeometry& g, const Band& band, std::int64_t group, Visit&& visit, Skip&& skip) {
  if (g.dense()) return for_each_dense_run(g, band, visit, skip);
  const std::int64_t run = g.group_channels();
  std::int64_t offset = 0;
  for (std::int64_t i = band.first; i < band.last; ++i)
    for (std::int64_t j = 0; j < g.out_width(); ++j)
      for (std::int64_t ky = 0; ky < g.kernel_height; ++ky)
        for (std::int64_t kx = 0; kx < g.kernel_width; ++kx, offset += run) {
          const std::int64_t y = i * g.stride.height - g.padding.height + ky * g.dilation.height,
                             x = j * g.stride.width - g.padding.width + kx * g.dilation.width;
          if (y >= 0 && y < g.height && x >= 0 && x < g.width) {
            visit(offset, (y * g.width + x) * g.channels + group * run, run);
          } else {
            skip(offset, run);
          }
        }
}

/// patches [band.patches, kh kw C / G] of a group of an image [H, W, C].
template <class T, class F>
void gather(const Conv2dGeometry& g, const Band& band, std::int64_t group, const T* image, F* patches) {
  for_each_run(
      g, band, group,
      [&](std::int64_t to, std::int64_t from, std::int64_t n) { std::copy_n(image + from, n, patches + to); },
      [&](std::int64_t to, std::int64_t n) { std::fill_n(patches + to, n, F(0)); });
}

/// Adds patches to the image they were gathered from.
template <class F>
void scatter_add(const Conv2dGeometry& g, const Band& band, std::int64_t group, const F* patches, F* image) {
  for_each_run(
      g, band, group,
      [&](std::int64_t from, std::int64_t to, std::int64_t n) {
#pragma omp simd
        for (std::int64_t i = 0; i < n; ++i) image[to + i] += patches[from + i];
      },
      [](std::int64_t, std::int64_t) {});
}

/// The columns of a group in a matrix with a row for each output pixel, [patches, O].
template <class F>
[[nodiscard]] MatrixView<F> outputs_of(const Conv2dGeometry& g, std::int64_t group, MatrixView<F> rows) {
  return rows.column_range(group * g.group_outputs(), (group + 1) * g.group_outputs());
}
/// The rows of a group in a kernel as a matrix, [O, kh kw C / G].
template <class W>
[[nodiscard]] MatrixView<W> kernel_of(const Conv2dGeometry& g, std::int64_t group, MatrixView<W> kernel) {
  return kernel.row_range(group * g.group_outputs(), (group + 1) * g.group_outputs());
}

/// Scratch memory for each thread of the next parallel loop.
template <class F>
class PerThread {
 public:
  explicit PerThread(std::int64_t length) : memory_({max_threads(), length}) {}
  [[nodiscard]] F* mine() { return memory_.row(thread_number()); }

 private:
  Tensor<F, Cpu> memory_;
};

/// `n` values as F: the values themselves, or converted into `scratch`.
template <class F, class T>
[[nodiscard]] const F* as(const T* values, std::int64_t n, F* scratch) {
  if constexpr (std::is_same_v<T, F>) return values;
  std::copy_n(values, n, scratch);
  return scratch;
}

/// What a band costs: products, and gathering or scattering patches.
[[nodiscard]] inline std::int64_t band_cost(const Conv2dGeometry& g) {
  const std::int64_t patches = Band::max_patches(g);
  return 4 * products_cost(patches * g.patch() * g.out_channels) + 2 * patches * g.patch() * g.groups;
}

/// Parts that the images of a weight gradient are summed in: at most 16, fewer where the partial sums would exceed 16 M
/// elements.
[[nodiscard]] inline std::int64_t weight_parts(const Conv2dGeometry& g) {
  constexpr std::int64_t budget = 16 << 20;
  return std::clamp<std::int64_t>(budget / g.weight_size(), 2,
                                  std::min<std::int64_t>(16, std::max<std::int64_t>(2, g.images)));
}

/// The patches of a band that a group reads, [patches, kh kw C / G]: as they lie in the image where they do, else
/// gathered.
template <class T, class W>
[[nodiscard]] const W* patches_of(const Conv2dGeometry& g, const Band& band, std::int64_t group, const T* image,
                                  PerThread<W>& columns) {
  if constexpr (std::is_same_v<T, W>)
    if (g.pointwise()) return image + band.first * g.width * g.channels;
  gather(g, band, group, image, columns.mine());
  return columns.mine();
}

}  // namespace detail

/// y [N, Ho, Wo, O] = x [N, H, W, C] * weight [O, kh, kw, C / G].
template <class T, class W = Accumulate<T>>
void conv2d_forward(const Conv2dGeometry& g, const T* x, const W* weight, T* y) {
  const std::int64_t bands = detail::Band::count(g), patches = detail::Band::max_patches(g);
  const bool direct = g.pointwise() && std::is_same_v<T, W>;
  detail::PerThread<W> columns(direct ? 0 : patches * g.patch()),
      sums(std::is_same_v<T, W> ? 0 : patches * g.out_channels);
  const auto kernel = matrix(weight, g.out_channels, g.patch());
  parallel_for(g.images * bands, detail::band_cost(g), [&](std::int64_t item) {
    const std::int64_t image = item / bands;
    const detail::Band band(g, item % bands);
    const T* in = x + image * g.in_size();
    T* out = y + image * g.out_size() + band.first * g.out_width() * g.out_channels;
    const auto product = [&](W* to) {
      for (std::int64_t group = 0; group < g.groups; ++group) {
        const W* gathered = detail::patches_of(g, band, group, in, columns);
        lpw::detail::gemm_on_thread(matrix(gathered, band.patches, g.patch()),
                                    detail::kernel_of(g, group, kernel).transposed(),
                                    detail::outputs_of(g, group, matrix(to, band.patches, g.out_channels)), false);
      }
    };
    if constexpr (std::is_same_v<T, W>) {
      product(out);
    } else {
      product(sums.mine());
      std::copy_n(sums.mine(), band.patches * g.out_channels, out);
    }
  });
}

/// dx [N, H, W, C] (+)= the adjoint of the forward applied to dy [N, Ho, Wo, O].
template <class T, class W = Accumulate<T>>
void conv2d_backward_data(const Conv2dGeometry& g, const T* dy, const W* weight, T* dx, bool accumulate) {
  constexpr bool wide = std::is_same_v<T, W>;
  const std::int64_t bands = detail::Band::count(g), patches = detail::Band::max_patches(g);
  detail::PerThread<W> columns(patches * g.patch()), gradients(wide ? 0 : patches * g.out_channels),
      images(wide ? 0 : g.in_size());
  const auto kernel = matrix(weight, g.out_channels, g.patch());
  parallel_for(g.images, bands * detail::band_cost(g), [&](std::int64_t image) {
    T* out = dx + image * g.in_size();
    W* sum = nullptr;
    if constexpr (wide) {
      sum = out;
    } else {
      sum = images.mine();
      if (accumulate) std::copy_n(out, g.in_size(), sum);
    }
    if (!accumulate) std::fill_n(sum, g.in_size(), W(0));
    for (std::int64_t index = 0; index < bands; ++index) {
      const detail::Band band(g, index);
      const T* in = dy + image * g.out_size() + band.first * g.out_width() * g.out_channels;
      const W* gradient = detail::as(in, band.patches * g.out_channels, gradients.mine());
      for (std::int64_t group = 0; group < g.groups; ++group) {
        lpw::detail::gemm_on_thread(detail::outputs_of(g, group, matrix(gradient, band.patches, g.out_channels)),
                                    detail::kernel_of(g, group, kernel),
                                    matrix(columns.mine(), band.patches, g.patch()), false);
        detail::scatter_add(g, band, group, columns.mine(), sum);
      }
    }
    if constexpr (!wide) std::copy_n(sum, g.in_size(), out);
  });
}

/// dweight [O, kh, kw, C / G] (+)= the sum over images of dy^T patches(x): partial sums over fixed runs of images,
/// added in order.
template <class T, class W = Accumulate<T>>
void conv2d_backward_weight(const Conv2dGeometry& g, const T* x, const T* dy, W* dweight, bool accumulate) {
  const std::int64_t bands = detail::Band::count(g), patches = detail::Band::max_patches(g),
                     parts = detail::weight_parts(g);
  const bool direct = g.pointwise() && std::is_same_v<T, W>;
  detail::PerThread<W> columns(direct ? 0 : patches * g.patch()),
      gradients(std::is_same_v<T, W> ? 0 : patches * g.out_channels);
  Tensor<W, Cpu> partial({parts, g.weight_size()});
  parallel_for(parts, g.images * bands * detail::band_cost(g) / parts, [&](std::int64_t part) {
    const auto sum = matrix(partial.row(part), g.out_channels, g.patch());
    std::fill_n(sum.data, g.weight_size(), W(0));
    // The items of all parts are the bands of all images in order, so that a single large image is shared out too.
    for (std::int64_t item = part_begin(g.images * bands, parts, part);
         item < part_begin(g.images * bands, parts, part + 1); ++item) {
      const std::int64_t image = item / bands;
      const detail::Band band(g, item % bands);
      const T* in = x + image * g.in_size();
      const T* out = dy + image * g.out_size() + band.first * g.out_width() * g.out_channels;
      const W* gradient = detail::as(out, band.patches * g.out_channels, gradients.mine());
      for (std::int64_t group = 0; group < g.groups; ++group) {
        const W* gathered = detail::patches_of(g, band, group, in, columns);
        const auto outputs = detail::outputs_of(g, group, matrix(gradient, band.patches, g.out_channels));
        lpw::detail::gemm_on_thread(outputs.transposed(), matrix(gathered, band.patches, g.patch()),
                                    detail::kernel_of(g, group, sum), true);
      }
    }
  });
  add_parts(std::as_const(partial), dweight, accumulate);
}

}  // namespace lpw::inline LPW_ABI::im2col
