// Tiles of images going into and out of the Winograd domain: the points of a tile lie `point_stride` apart, each a row
// of channels. Patches reach over the image's edge by the padding, and outputs past the last row or column are not
// stored: any height and width works.
#pragma once

#include <algorithm>
#include <type_traits>

#include <lpw/cpu/winograd/products.hpp>
#include <lpw/cpu/winograd/transform.hpp>
#include <lpw/primitives/conv2d.hpp>

namespace lpw::inline LPW_ABI::winograd {

/// The extents of one image, channels last.
struct ImageShape {
  std::int64_t height, width, channels;

  [[nodiscard]] std::int64_t size() const { return height * width * channels; }
};

/// The tiles of a stack of images, row by row.
struct TileGrid {
  std::int64_t rows, columns;  // per image

  /// As many as cover this many positions of tiles' elements.
  TileGrid(std::int64_t height, std::int64_t width)
      : rows((height + tile - 1) / tile), columns((width + tile - 1) / tile) {}
  [[nodiscard]] std::int64_t per_image() const { return rows * columns; }
  [[nodiscard]] std::int64_t image(std::int64_t index) const { return index / per_image(); }
  /// The position of a tile's first element within its image.
  [[nodiscard]] std::int64_t row(std::int64_t index) const { return index % per_image() / columns * tile; }
  [[nodiscard]] std::int64_t column(std::int64_t index) const { return index % columns * tile; }
};

/// Where phases find the pixels of position i: phase f at stride i + offset[f].
struct Lattice {
  std::int64_t stride = 1, offset[2] = {0, 0};

  [[nodiscard]] std::int64_t pixel(int phase, std::int64_t position) const { return stride * position + offset[phase]; }
};

/// A rectangle of every stride-th pixel of one image, which may reach over its edges.
template <class F>
struct Window {
  F* image;
  ImageShape shape;
  std::int64_t row, column, stride = 1;  // row and column of pixel (0, 0)

  [[nodiscard]] bool covers(std::int64_t extent) const { return inside(0, 0) && inside(extent - 1, extent - 1); }
  [[nodiscard]] bool inside(std::int64_t i, std::int64_t j) const {
    const std::int64_t y = row + i * stride, x = column + j * stride;
    return y >= 0 && y < shape.height && x >= 0 && x < shape.width;
  }
  /// From the image's first element to pixel (i, j).
  [[nodiscard]] std::int64_t offset(std::int64_t i, std::int64_t j) const {
    return ((row + i * stride) * shape.width + column + j * stride) * shape.channels;
  }
};

namespace detail {

/// A window as it is read: outside of the image from the nearest pixel, which is then blanked. Branches were measured
/// no faster for windows inside, and slower for others.
template <class T, int Rows, int Columns>
class BlankedWindow {
 public:
  explicit BlankedWindow(const Window<const T>& window) {
    const auto [height, width, channels] = window.shape;
    for (std::int64_t i = 0; i < Rows; ++i)
      rows_[i] =
          window.image + std::clamp<std::int64_t>(window.row + i * window.stride, 0, height - 1) * width * channels;
    for (std::int64_t j = 0; j < Columns; ++j)
      columns_[j] = std::clamp<std::int64_t>(window.column + j * window.stride, 0, width - 1) * channels;
    for (int i = 0; i < Rows; ++i)
      for (int j = 0; j < Columns; ++j) masks_[i][j] = window.inside(i, j) ? -1 : 0;
  }
  template <class Map>
  [[nodiscard]] Lanes read(int i, int j, std::int64_t c, const Map& map) const {
    return masked(map(load(at(i, j, c))), masks_[i][j]);
  }
  [[nodiscard]] const T* at(int i, int j, std::int64_t c) const { return rows_[i] + columns_[j] + c; }

 private:
  const T* rows_[to_size(Rows)];
  std::int64_t columns_[to_size(Columns)];
  std::int32_t masks_[to_size(Rows)][to_size(Columns)];
};

}  // namespace detail

/// Matrices of the points of tiles, `stride` floats apart, and in them the lanes of one pair of phases, whose place
/// differs by how many phases have the point.
template <int Stride, int Phases, class F>
struct PointPlaces {
  F* first;
  std::int64_t stride;
  std::int64_t offset[to_size(Phases)][to_size(Phases)] = {};

  /// Of the pair (row, column), from `channel` on of `channels`: place(pairs, column) says where a column of a matrix
  /// of so many pairs lies.
  template <class Place>
  PointPlaces(F* points, std::int64_t apart, int row, int column, std::int64_t channel, std::int64_t channels,
              Place&& place)
      : first(points), stride(apart) {
    for (int i = row; i < Phases; ++i)
      for (int j = column; j < Phases; ++j)
        offset[i][j] = place((i + 1) * (j + 1), (row * (j + 1) + column) * channels + channel);
  }
  [[nodiscard]] F* operator()(int i, int j) const {
    using S = Scheme<Stride>;
    return first + (i * S::patch + j) * stride + offset[S::sharing(i, Phases) - 1][S::sharing(j, Phases) - 1];
  }
};

/// Transforms the window's pixels, after their pending map, outside of the image 0. The lanes from channel c on of
/// point (i, j) go to places(c)(i, j). A window `ahead` elements further on is asked for: pixels come from as many
/// places as a processor's own prefetching does not follow.
template <class Rows, class Columns, class Map, class T, class Places>
void enter(const Window<const T>& window, std::int64_t ahead, std::int64_t channels, const MapRows& rows,
           Places&& places) {
  const detail::BlankedWindow<T, Rows::inputs, Columns::inputs> blanked(window);
  for (std::int64_t c = 0; c < channels; c += lanes) {
    const Map map(rows, c);
    const auto place = places(c);
    transform<Rows, Columns>(
        [&](int i, int j) {
          will_read(blanked.at(i, j, c) + ahead);
          return blanked.read(i, j, c, map);
        },
        [&](int i, int j, Lanes v) {
          float* const point = place(i, j);
          store(point, v);
          will_write(point + panel);
        });
  }
}

/// Transforms a tile's sums of products, the lanes from channel c on of point (i, j) at places(c)(i, j), to its outputs
/// inside the image, to which those of `addend`, the same image of another stack, are added; null: none. `sums` sees
/// what is stored. A window `ahead` elements further on is asked for, in all that this one is read from or stored in.
template <class Rows, class Columns, class T, class Places, class Sums>
void leave(const Window<T>& window, std::int64_t ahead, std::int64_t channels, const T* addend, Places&& places,
           const Sums& sums) {
  const bool whole = window.covers(tile);
  for (std::int64_t c = 0; c < channels; c += lanes) {
    const auto place = places(c);
    auto seen = sums.lanes_from(c);
    transform<Rows, Columns>([&](int i, int j) { return load(place(i, j)); },
                             [&](int i, int j, Lanes y) {
                               if (!whole && !window.inside(i, j)) return;
                               const std::int64_t at = window.offset(i, j) + c;
                               will_write(window.image + at + ahead);
                               if (addend) {
                                 will_read(addend + at + ahead);
                                 y += load(addend + at);
                               }
                               store(window.image + at, y);
                               seen.will_add(at + ahead);
                               seen.add(i, j, at, rounded<T>(y));
                             });
    seen.finish();
  }
}

}  // namespace lpw::inline LPW_ABI::winograd
