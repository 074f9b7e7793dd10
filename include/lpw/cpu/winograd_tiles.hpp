// Tiles of images going into and out of the Winograd domain: a tile's 36 points lie `point_stride` apart, each a row of channels.
// Patches reach over the image's edge by the padding, and outputs past the last row or column are not stored: any height and width works.
#pragma once

#include <algorithm>

#include <lpw/cpu/winograd_gemm.hpp>
#include <lpw/cpu/winograd_transform.hpp>
#include <lpw/tensor/conv2d_geometry.hpp>

namespace lpw::winograd {

/// The extents of one image, channels last.
struct ImageShape {
  std::int64_t height, width, channels;

  [[nodiscard]] std::int64_t size() const { return height * width * channels; }
};

/// The tiles that cover the outputs of a stack of images, row by row.
struct TileGrid {
  std::int64_t rows, columns;  // per image

  explicit TileGrid(const ImageShape& out) : rows((out.height + tile - 1) / tile), columns((out.width + tile - 1) / tile) {}
  [[nodiscard]] std::int64_t per_image() const { return rows * columns; }
  [[nodiscard]] std::int64_t image(std::int64_t index) const { return index / per_image(); }
  /// The first pixel of a tile within its image.
  [[nodiscard]] std::int64_t row(std::int64_t index) const { return index % per_image() / columns * tile; }
  [[nodiscard]] std::int64_t column(std::int64_t index) const { return index % columns * tile; }
};

/// A square of pixels of one image, which may reach over its edges.
template <class F>
struct Window {
  F* first;  // where pixel (0, 0) is or would be
  std::int64_t row_stride, column_stride;
  std::int64_t top, bottom, left, right;  // rows [top, bottom) and columns [left, right) of the window are inside

  Window(F* image, const ImageShape& shape, std::int64_t row, std::int64_t column)
      : first(image + (row * shape.width + column) * shape.channels),
        row_stride(shape.width * shape.channels),
        column_stride(shape.channels),
        top(-row),
        bottom(shape.height - row),
        left(-column),
        right(shape.width - column) {}

  [[nodiscard]] bool covers(std::int64_t extent) const { return top <= 0 && left <= 0 && bottom >= extent && right >= extent; }
  [[nodiscard]] bool inside(std::int64_t i, std::int64_t j) const { return i >= top && i < bottom && j >= left && j < right; }
  [[nodiscard]] F* pixel(std::int64_t i, std::int64_t j) const { return first + i * row_stride + j * column_stride; }
};

namespace detail {

/// A window as it is read: outside of the image from the nearest pixel, which is then blanked. Branches were measured no faster for windows
/// inside, and slower for others.
template <class T, int Extent>
class BlankedWindow {
 public:
  explicit BlankedWindow(const Window<const T>& window) {
    for (int i = 0; i < Extent; ++i) {
      rows_[i] = window.first + std::clamp<std::int64_t>(i, window.top, window.bottom - 1) * window.row_stride;
      columns_[i] = std::clamp<std::int64_t>(i, window.left, window.right - 1) * window.column_stride;
      for (int j = 0; j < Extent; ++j) masks_[i][j] = window.inside(i, j) ? -1 : 0;
    }
  }
  template <class Map>
  [[nodiscard]] Lanes read(int i, int j, std::int64_t c, const Map& map) const {
    return masked(map(load(rows_[i] + columns_[j] + c)), masks_[i][j]);
  }

 private:
  const T* rows_[Extent];
  std::int64_t columns_[Extent];
  std::int32_t masks_[Extent][Extent];
};

}  // namespace detail

/// Transforms the window's pixels, after their pending map, outside of the image 0. The lanes from channel c on go to
/// to + place(c) + point point_stride.
template <class Transform, class Map, class T, class Place>
void enter(const Window<const T>& window, std::int64_t channels, const MapRows& rows, float* to, std::int64_t point_stride, Place&& place) {
  const detail::BlankedWindow<T, Transform::inputs> blanked(window);
  for (std::int64_t c = 0; c < channels; c += lanes) {
    const Map map(rows, c);
    float* const first = to + place(c);
    transform<Transform>([&](int i, int j) { return blanked.read(i, j, c, map); },
                         [&](int i, int j, Lanes v) {
                           float* const point = first + (i * patch + j) * point_stride;
                           store(point, v);
                           will_write(point + panel);
                         });
  }
}

/// Transforms a tile's sums of products, 36 rows of channels from `from` on, to its outputs inside the image.
template <class T>
void leave(const float* from, std::int64_t point_stride, const Window<T>& window, std::int64_t channels, bool accumulate) {
  const bool whole = window.covers(tile);
  for (std::int64_t c = 0; c < channels; c += lanes)
    transform<OutputTransform>([&](int i, int j) { return load(from + (i * patch + j) * point_stride + c); },
                               [&](int i, int j, Lanes y) {
                                 if (!whole && !window.inside(i, j)) return;
                                 T* const out = window.pixel(i, j) + c;
                                 store(out, accumulate ? load(out) + y : y);
                               });
}

}  // namespace lpw::winograd
