// What is summed of outputs while they are written: of a forward's, the moments that a batch norm after it needs; of a
// data gradient's, the sums that the backward of a batch norm before it needs.
//
// Sums are formed per group of tiles, which lies within one image and one block of work, and groups are merged in
// double in order: the result depends neither on threads nor on what else is in the stack.
#pragma once

#include <numeric>
#include <vector>

#include <lpw/cpu/winograd/tiles.hpp>

namespace lpw::inline LPW_ABI::winograd {

/// The map pending on a stack of images, for as many members as it holds: rows of channels, `images` images each; null:
/// none.
struct PendingMap {
  const float *mean = nullptr, *scale = nullptr, *shift = nullptr;
  std::int64_t images = 1;
  bool relu = false;

  /// The rows of an image's member.
  [[nodiscard]] MapRows rows(std::int64_t image, std::int64_t channels) const {
    return {mean, scale, shift, scale ? image / images * channels : 0, relu};
  }
};

/// Runs of tiles that divide both images and blocks.
struct TileGroups {
  std::int64_t length, per_image;

  explicit TileGroups(const TileGrid& grid)
      : length(std::gcd(grid.per_image(), block_rows)), per_image(grid.per_image() / length) {}
  [[nodiscard]] std::int64_t group(std::int64_t index) const { return index / length; }
  [[nodiscard]] bool begins(std::int64_t index) const { return index % length == 0; }
};

/// Nothing is summed.
struct NoSums {
  [[nodiscard]] NoSums of_tile(const TileGrid&, std::int64_t, bool) const { return {}; }
  [[nodiscard]] NoSums lanes_from(std::int64_t) const { return {}; }
  void will_add(std::int64_t) const {}
  void add(int, int, std::int64_t, Lanes) const {}
  void finish() const {}
};
inline constexpr NoSums no_sums;

/// What is summed of the pixels that a transform stores: of a tile's pixels (i, j), inside the image, at an offset; and
/// what is asked for, of a pixel at an offset that will be added soon.
template <class S>
concept OutputSums = requires(S& sums, const TileGrid& grid, std::int64_t n, Lanes pixel) {
  sums.of_tile(grid, n, true).lanes_from(n).add(0, 0, n, pixel);
  sums.of_tile(grid, n, true).lanes_from(n).will_add(n);
  sums.of_tile(grid, n, true).lanes_from(n).finish();
};

/// Moments of the outputs of a convolution, those of `grid`: per group and channel the sums of y - s and (y - s)^2, s
/// its first pixel.
class MomentSums {
 public:
  MomentSums(const TileGrid& grid, const ImageShape& out, std::int64_t images)
      : groups_(grid),
        channels_(out.channels),
        partial_({images * groups_.per_image, 3, channels_}),
        pixels_(to_size(groups_.per_image)) {
    for (std::int64_t index = 0; index < grid.per_image(); ++index)
      pixels_[to_size(groups_.group(index))] += std::min<std::int64_t>(tile, out.height - grid.row(index)) *
                                                std::min<std::int64_t>(tile, out.width - grid.column(index));
  }

  struct TileSums {
    float* row;
    std::int64_t channels;
    bool begins;

    struct LaneSums {
      float* row;
      std::int64_t channels;
      bool begins;
      Lanes shift, sum, square;

      void will_add(std::int64_t) const {}
      /// A tile's pixel (0, 0) comes first, and is always inside.
      void add(int i, int j, std::int64_t, Lanes y) {
        if (i == 0 && j == 0 && begins) shift = y;
        const Lanes d = y - shift;
        sum += d;
        square += d * d;
      }
      void finish() const {
        store(row, shift);
        store(row + channels, sum);
        store(row + 2 * channels, square);
      }
    };

    [[nodiscard]] LaneSums lanes_from(std::int64_t c) const {
      float* const at = row + c;
      if (begins) return {at, channels, true, zeros(), zeros(), zeros()};
      return {at, channels, false, load(at), load(at + channels), load(at + 2 * channels)};
    }
  };

  [[nodiscard]] TileSums of_tile(const TileGrid&, std::int64_t index, bool) {
    return {partial_.row(groups_.group(index)), channels_, groups_.begins(index)};
  }

  /// Moments of the members, `images` images each, to their rows from `first_member` on.
  void finish(std::int64_t images, std::int64_t first_member, Moments<float, Cpu>& moments) const {
    const std::int64_t count = images * groups_.per_image, vectors = channels_ / lanes;
    parallel_for(partial_.dim(0) / count * vectors, 8 * lanes * count, [&](std::int64_t item) {
      const std::int64_t k = item / vectors, c = item % vectors * lanes;
      merge(k * count, count, c, moments.mean.row(first_member + k) + c, moments.variance.row(first_member + k) + c);
    });
  }

 private:
  /// Of `count` groups from `first` on, the lanes from channel c on.
  void merge(std::int64_t first, std::int64_t count, std::int64_t c, float* mean, float* variance) const {
    double sum[lanes] = {}, square[lanes] = {}, total = 0;
    const auto for_each_group = [&](auto&& f) {
      for (std::int64_t i = 0; i < count; ++i)
        f(partial_.row(first + i) + c, static_cast<double>(pixels_[to_size(i % groups_.per_image)]));
    };
    for_each_group([&](const float* row, double n) {
      total += n;
      for (std::int64_t l = 0; l < lanes; ++l) sum[l] += n * double(row[l]) + double(row[channels_ + l]);
    });
    for (double& s : sum) s /= total;
    for_each_group([&](const float* row, double n) {
      const double inverse = 1 / n;
      for (std::int64_t l = 0; l < lanes; ++l) {
        const double off = double(row[channels_ + l]) * inverse, distance = double(row[l]) + off - sum[l];
        square[l] +=
            std::max(0.0, double(row[2 * channels_ + l]) - off * double(row[channels_ + l])) + n * distance * distance;
      }
    });
    for (std::int64_t l = 0; l < lanes; ++l) {
      mean[l] = static_cast<float>(sum[l]);
      variance[l] = static_cast<float>(square[l] / total);
    }
  }

  TileGroups groups_;
  std::int64_t channels_;
  Tensor<float, Cpu> partial_;
  std::vector<std::int64_t> pixels_;  // of the groups of an image
};

/// Sums over the gradient dy of a batch norm's result relu(scale (x - mean) + shift): per member and channel those of g
/// and of g (x - mean), g the dy where the result is positive.
template <class T>
class GradientSums {
 public:
  GradientSums(const TileGrid& grid, const ImageShape& shape, std::int64_t images, const T* x, const PendingMap& map)
      : groups_(grid), shape_(shape), x_(x), map_(map), partial_({images * groups_.per_image, 2, shape.channels}) {}

  struct TileSums {
    const T* x;
    MapRows map;
    float* row;
    std::int64_t channels;
    bool begins;

    struct LaneSums {
      const T* x;
      CentredMap map;
      float* row;
      std::int64_t channels;
      Lanes sum, product;

      void will_add(std::int64_t at) const { will_read(x + at); }
      void add(int, int, std::int64_t at, Lanes dy) {
        const Lanes in = load(x + at), g = map(in) > 0.f ? dy : zeros();
        sum += g;
        product += g * (in - map.mean);
      }
      void finish() const {
        store(row, sum);
        store(row + channels, product);
      }
    };

    [[nodiscard]] LaneSums lanes_from(std::int64_t c) const {
      float* const at = row + c;
      return {x, {map, c}, at, channels, begins ? zeros() : load(at), begins ? zeros() : load(at + channels)};
    }
  };

  [[nodiscard]] TileSums of_tile(const TileGrid& grid, std::int64_t index, bool first) {
    const std::int64_t image = grid.image(index);
    const MapRows rows = map_.rows(image, shape_.channels);
    return {x_ + image * shape_.size(), rows, partial_.row(groups_.group(index)), shape_.channels,
            first && groups_.begins(index)};
  }

  /// The sums of the members to their rows [2, C] from `first_member` on.
  void finish(std::int64_t first_member, Tensor<double, Cpu>& sums) const {
    const std::int64_t count = map_.images * groups_.per_image, members = partial_.dim(0) / count,
                       width = 2 * shape_.channels;
    const std::int64_t vectors = width / lanes;
    parallel_for(members * vectors, 2 * lanes * count, [&](std::int64_t item) {
      const std::int64_t k = item / vectors, c = item % vectors * lanes;
      double sum[lanes] = {};
      for (std::int64_t i = k * count; i < (k + 1) * count; ++i)
        for (std::int64_t l = 0; l < lanes; ++l) sum[l] += double(partial_.row(i)[c + l]);
      std::copy_n(sum, lanes, sums.row(first_member + k) + c);
    });
  }

 private:
  TileGroups groups_;
  ImageShape shape_;
  const T* x_;
  PendingMap map_;
  Tensor<float, Cpu> partial_;
};

}  // namespace lpw::inline LPW_ABI::winograd
