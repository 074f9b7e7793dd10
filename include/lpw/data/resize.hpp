// Resizing photographs: bilinear with antialiasing, as Pillow's Image.resize(size, BILINEAR) and so torchvision's
// Resize on its images, whose pixels these are. An output pixel is the mean of the input by a triangle as wide as two
// output pixels (two input pixels where the image grows), within rows first, rounded to bytes, then within columns.
// (Pillow 13 takes columns first where it finds that cheaper; its pixels differ by 1 there.) Weights are whole numbers
// of 2^-22, so that sums are exact: the same bits by any instruction set.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <vector>

#include <lpw/data/picture.hpp>
#include <lpw/tensor/to_size.hpp>

namespace lpw::inline LPW_ABI::data {

namespace detail {

constexpr int weight_bits = 22;

/// A pixel's four bytes, and sums of them.
using PixelBytes [[gnu::vector_size(4)]] = std::uint8_t;
using PixelSums [[gnu::vector_size(16)]] = std::int32_t;

/// a b, which the compiler may not round together with what is added to it, as instruction sets do that have such a
/// sum.
[[nodiscard, gnu::noinline]] inline double rounded_product(double a, double b) { return a * b; }

/// The input pixels that each output pixel of an axis is made of, and their weights.
struct AxisWeights {
  std::int64_t stride = 0;            // weights kept for each
  std::vector<std::int64_t> first;    // (output): the first input pixel
  std::vector<std::int64_t> count;    // (output)
  std::vector<std::int32_t> weights;  // [output, stride]

  [[nodiscard]] const std::int32_t* of(std::int64_t output) const { return weights.data() + output * stride; }
};

/// Of output pixels [begin, begin + size) where `from` pixels become `to`.
[[nodiscard]] inline AxisWeights axis_weights(std::int64_t from, std::int64_t to, std::int64_t begin,
                                              std::int64_t size) {
  const double scale = static_cast<double>(from) / static_cast<double>(to), radius = std::max(scale, 1.0);
  AxisWeights axis;
  axis.stride = static_cast<std::int64_t>(std::ceil(radius)) * 2 + 1;
  axis.weights.resize(to_size(size * axis.stride));
  std::vector<double> triangle(to_size(axis.stride));
  const double steepness = 1 / radius;
  for (std::int64_t i = 0; i < size; ++i) {
    const double centre = rounded_product(static_cast<double>(begin + i) + 0.5, scale);
    const auto low = std::max<std::int64_t>(0, static_cast<std::int64_t>(centre - radius + 0.5)),
               high = std::min(from, static_cast<std::int64_t>(centre + radius + 0.5));
    double sum = 0;
    for (std::int64_t j = low; j < high; ++j) {
      const double distance = std::abs(rounded_product(static_cast<double>(j) - centre + 0.5, steepness));
      sum += triangle[to_size(j - low)] = std::max(0.0, 1 - distance);
    }
    for (std::int64_t j = low; j < high; ++j)
      axis.weights[to_size(i * axis.stride + j - low)] =
          static_cast<std::int32_t>(0.5 + triangle[to_size(j - low)] / sum * (1 << weight_bits));
    axis.first.push_back(low);
    axis.count.push_back(high - low);
  }
  return axis;
}

/// A row [W, 4] becomes pixels [size, 4].
inline void resize_columns(const std::uint8_t* row, const AxisWeights& axis, std::uint8_t* out) {
  constexpr int lanes = data::Picture::channels;
  const std::int64_t size = std::ssize(axis.first);
  for (std::int64_t x = 0; x < size; ++x, out += lanes) {
    const std::uint8_t* in = row + axis.first[to_size(x)] * lanes;
    const std::int32_t* weight = axis.of(x);
    PixelSums sum = PixelSums{} + (1 << (weight_bits - 1));
    for (std::int64_t j = 0; j < axis.count[to_size(x)]; ++j) {
      PixelBytes pixel;
      std::memcpy(&pixel, in + j * lanes, sizeof pixel);
      sum += weight[j] * __builtin_convertvector(pixel, PixelSums);
    }
    sum >>= weight_bits;
    const PixelBytes pixel = __builtin_convertvector(sum > 255 ? PixelSums{} + 255 : sum, PixelBytes);
    std::memcpy(out, &pixel, sizeof pixel);
  }
}

/// Rows of `bytes` bytes, each `stride` after the one before, become output row `y`.
inline void resize_rows(const std::uint8_t* in, std::int64_t stride, const AxisWeights& axis, std::int64_t y,
                        std::vector<std::int32_t>& sums, std::uint8_t* out) {
  std::fill(sums.begin(), sums.end(), 1 << (weight_bits - 1));
  for (std::int64_t j = 0; j < axis.count[to_size(y)]; ++j) {
    const std::uint8_t* row = in + (axis.first[to_size(y)] + j) * stride;
    const std::int32_t weight = axis.of(y)[j];
    for (std::size_t i = 0; i < sums.size(); ++i) sums[i] += weight * row[i];
  }
  for (std::size_t i = 0; i < sums.size(); ++i)
    out[i] = static_cast<std::uint8_t>(std::min(sums[i] >> weight_bits, 255));
}

/// The pixels [count, 3] of a row [count, 4].
inline std::uint8_t* drop_fourth(const std::uint8_t* row, std::int64_t count, std::uint8_t* out) {
  for (std::int64_t x = 0; x < count; ++x, row += data::Picture::channels) out = std::copy_n(row, 3, out);
  return out;
}

}  // namespace detail

/// The part `seen` of what the part `box` of an image becomes where it is resized to height x width, as bytes
/// [seen.height, seen.width, 3]. No pixel outside of `box` counts.
inline void resize(const Picture& image, const Box& box, std::int64_t height, std::int64_t width, const Box& seen,
                   std::uint8_t* out) {
  const auto columns = detail::axis_weights(box.width, width, seen.left, seen.width);
  auto rows = detail::axis_weights(box.height, height, seen.top, seen.height);
  constexpr std::int64_t lanes = Picture::channels;
  const std::int64_t stride = image.width * lanes, row_bytes = seen.width * lanes;
  const std::uint8_t* corner = image.row(box.top) + box.left * lanes;
  std::vector<std::uint8_t> row(to_size(row_bytes));
  const std::int64_t first = rows.first.front(), last = rows.first.back() + rows.count.back();
  std::vector<std::uint8_t> narrow(to_size((last - first) * row_bytes));  // the rows that count, from `first` on
  for (std::int64_t y = first; y < last; ++y)
    detail::resize_columns(corner + y * stride, columns, narrow.data() + (y - first) * row_bytes);
  for (auto& row_of : rows.first) row_of -= first;
  std::vector<std::int32_t> sums(to_size(row_bytes));
  for (std::int64_t y = 0; y < seen.height; ++y) {
    detail::resize_rows(narrow.data(), row_bytes, rows, y, sums, row.data());
    out = detail::drop_fourth(row.data(), seen.width, out);
  }
}

}  // namespace lpw::inline LPW_ABI::data
