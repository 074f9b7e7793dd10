// Images corrupted in six ways and five severities, computed here: a check of robustness that needs no files. These are
// NOT the corruptions of CIFAR-10-C, which other programs and libraries made and whose bytes are published; figures of
// the two are not to be compared, and names here begin with "own_". Every pixel is a function of (seed, kind, severity,
// index of the image in its set, place) and the image alone, up to how a compiler rounds: with fused multiply-adds a
// few bytes in a million differ by one from what is computed without.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <numbers>
#include <string>
#include <vector>

#include <lpw/cpu/base/parallel.hpp>
#include <lpw/data/dataset.hpp>
#include <lpw/tensor/philox.hpp>

namespace lpw::inline LPW_ABI::data {

/// The kinds there are.
enum class Corruption { noise, blur, brightness, contrast, pixelation, blocks };
/// All of them.
inline constexpr std::array corruptions{Corruption::noise,    Corruption::blur,       Corruption::brightness,
                                        Corruption::contrast, Corruption::pixelation, Corruption::blocks};
/// Severities are 1 to this.
inline constexpr std::int64_t corruption_severities = 5;

/// As in reports: own_noise, own_blur, ...
[[nodiscard]] inline std::string name_of(Corruption kind) {
  constexpr std::array names{"own_noise", "own_blur", "own_brightness", "own_contrast", "own_pixelation", "own_blocks"};
  return names[static_cast<std::size_t>(kind)];
}

namespace detail {

/// One image [H, W, C] in double, of which pixels beyond the border are those at it.
struct Picture {
  std::int64_t height, width, channels;
  std::vector<double> values;

  Picture(const ImageSet& set, std::int64_t i)
      : height(set.height),
        width(set.width),
        channels(set.channels),
        values(set.image(i), set.image(i) + set.image_size()) {}
  [[nodiscard]] double& at(std::int64_t y, std::int64_t x, std::int64_t c) {
    return values[to_size((y * width + x) * channels + c)];
  }
  [[nodiscard]] double near(std::int64_t y, std::int64_t x, std::int64_t c) const {
    y = std::clamp<std::int64_t>(y, 0, height - 1), x = std::clamp<std::int64_t>(x, 0, width - 1);
    return values[to_size((y * width + x) * channels + c)];
  }
  void write(std::uint8_t* to) const {
    for (const double value : values) *to++ = static_cast<std::uint8_t>(std::lround(std::clamp(value, 0.0, 255.0)));
  }
};

/// Normal noise of the given standard deviation.
inline void add_noise(Picture& picture, double deviation, const Philox& random, std::int64_t image) {
  const auto first = static_cast<std::uint64_t>(image) * picture.values.size();
  for (std::size_t p = 0; p < picture.values.size(); ++p) picture.values[p] += deviation * random.normal(first + p);
}

/// A Gaussian of the given standard deviation in pixels, by rows and then by columns.
inline void blur(Picture& picture, double deviation) {
  const auto reach = static_cast<std::int64_t>(std::ceil(3 * deviation));
  std::vector<double> weights;
  double sum = 0;
  for (std::int64_t d = -reach; d <= reach; ++d) {
    weights.push_back(std::exp(-static_cast<double>(d * d) / (2 * deviation * deviation)));
    sum += weights.back();
  }
  for (const bool along_rows : {true, false}) {
    const Picture before = picture;
    for (std::int64_t y = 0; y < picture.height; ++y)
      for (std::int64_t x = 0; x < picture.width; ++x)
        for (std::int64_t c = 0; c < picture.channels; ++c) {
          double value = 0;
          for (std::int64_t d = -reach; d <= reach; ++d)
            value += weights[to_size(d + reach)] / sum * before.near(along_rows ? y : y + d, along_rows ? x + d : x, c);
          picture.at(y, x, c) = value;
        }
  }
}

/// The distances of pixels from the mean of their channel, `factor` times as large.
inline void change_contrast(Picture& picture, double factor) {
  const auto pixels = static_cast<double>(picture.height * picture.width);
  for (std::int64_t c = 0; c < picture.channels; ++c) {
    double mean = 0;
    for (std::size_t p = to_size(c); p < picture.values.size(); p += to_size(picture.channels))
      mean += picture.values[p] / pixels;
    for (std::size_t p = to_size(c); p < picture.values.size(); p += to_size(picture.channels))
      picture.values[p] = mean + factor * (picture.values[p] - mean);
  }
}

/// Squares of `side` pixels take their mean; those at the right and lower border are what is left.
inline void pixelate(Picture& picture, std::int64_t side) {
  for (std::int64_t top = 0; top < picture.height; top += side)
    for (std::int64_t left = 0; left < picture.width; left += side) {
      const std::int64_t bottom = std::min(top + side, picture.height), right = std::min(left + side, picture.width);
      const auto pixels = static_cast<double>((bottom - top) * (right - left));
      for (std::int64_t c = 0; c < picture.channels; ++c) {
        double mean = 0;
        for (std::int64_t y = top; y < bottom; ++y)
          for (std::int64_t x = left; x < right; ++x) mean += picture.at(y, x, c) / pixels;
        for (std::int64_t y = top; y < bottom; ++y)
          for (std::int64_t x = left; x < right; ++x) picture.at(y, x, c) = mean;
      }
    }
}

/// The discrete cosine transform of 8 samples: row u holds basis function u.
using CosineTable = std::array<std::array<double, 8>, 8>;
[[nodiscard]] inline CosineTable cosine_table() {
  CosineTable table;
  for (std::size_t u = 0; u < 8; ++u)
    for (std::size_t x = 0; x < 8; ++x)
      table[u][x] =
          (u == 0 ? std::sqrt(0.125) : 0.5) * std::cos(static_cast<double>((2 * x + 1) * u) * std::numbers::pi / 16);
  return table;
}

/// Steps that grow with the frequency, as eyes grow blind: 10 + 5 (u + v) at quality 50, as coarse as JPEG's tables.
[[nodiscard]] inline double quantisation_step(std::size_t u, std::size_t v, double scale, bool colour) {
  return std::max(1.0, scale * (10 + (colour ? 10.0 : 5.0) * static_cast<double>(u + v)));
}

/// A plane [8][8] whose frequencies are rounded to multiples of their steps.
inline void quantise(std::array<std::array<double, 8>, 8>& block, double scale, bool colour) {
  static const CosineTable table = cosine_table();
  CosineTable half{}, frequencies{};
  for (std::size_t u = 0; u < 8; ++u)
    for (std::size_t x = 0; x < 8; ++x)
      for (std::size_t y = 0; y < 8; ++y) half[u][x] += table[u][y] * block[y][x];
  for (std::size_t u = 0; u < 8; ++u)
    for (std::size_t v = 0; v < 8; ++v) {
      for (std::size_t x = 0; x < 8; ++x) frequencies[u][v] += half[u][x] * table[v][x];
      const double step = quantisation_step(u, v, scale, colour);
      frequencies[u][v] = std::round(frequencies[u][v] / step) * step;
    }
  half = {};
  for (std::size_t y = 0; y < 8; ++y)
    for (std::size_t v = 0; v < 8; ++v)
      for (std::size_t u = 0; u < 8; ++u) half[y][v] += table[u][y] * frequencies[u][v];
  for (std::size_t y = 0; y < 8; ++y)
    for (std::size_t x = 0; x < 8; ++x) {
      block[y][x] = 0;
      for (std::size_t v = 0; v < 8; ++v) block[y][x] += half[y][v] * table[v][x];
    }
}

/// Blocks of 8 x 8 pixels lose the frequencies that are smaller than their steps, as in a JPEG file: of brightness and
/// two differences of colour where there are three channels, of each channel where there are not.
inline void quantise_blocks(Picture& picture, double scale) {
  const bool colours = picture.channels == 3;
  if (colours)
    for (std::size_t p = 0; p < picture.values.size(); p += 3) {
      const double r = picture.values[p], g = picture.values[p + 1], b = picture.values[p + 2],
                   light = 0.299 * r + 0.587 * g + 0.114 * b;
      picture.values[p] = light, picture.values[p + 1] = 0.564 * (b - light),
      picture.values[p + 2] = 0.713 * (r - light);
    }
  const Picture before = picture;
  for (std::int64_t c = 0; c < picture.channels; ++c)
    for (std::int64_t top = 0; top < picture.height; top += 8)
      for (std::int64_t left = 0; left < picture.width; left += 8) {
        CosineTable block;
        for (std::int64_t y = 0; y < 8; ++y)
          for (std::int64_t x = 0; x < 8; ++x) block[to_size(y)][to_size(x)] = before.near(top + y, left + x, c);
        quantise(block, scale, colours && c > 0);
        for (std::int64_t y = 0; y < 8 && top + y < picture.height; ++y)
          for (std::int64_t x = 0; x < 8 && left + x < picture.width; ++x)
            picture.at(top + y, left + x, c) = block[to_size(y)][to_size(x)];
      }
  if (colours)
    for (std::size_t p = 0; p < picture.values.size(); p += 3) {
      const double light = picture.values[p], b = light + picture.values[p + 1] / 0.564,
                   r = light + picture.values[p + 2] / 0.713;
      picture.values[p] = r, picture.values[p + 1] = (light - 0.299 * r - 0.114 * b) / 0.587, picture.values[p + 2] = b;
    }
}

/// One image. What the numbers are is said in docs/evaluation.md.
inline void corrupt(Picture& picture, Corruption kind, std::size_t level, const Philox& random, std::int64_t image) {
  constexpr std::array noise{10.0, 18.0, 27.0, 38.0, 50.0}, blurs{0.5, 0.8, 1.1, 1.5, 2.0},
      light{20.0, 40.0, 60.0, 80.0, 100.0}, contrast{0.75, 0.55, 0.4, 0.25, 0.15}, steps{1.0, 2.0, 3.5, 6.0, 10.0};
  switch (kind) {
    case Corruption::noise:
      return add_noise(picture, noise[level], random, image);
    case Corruption::blur:
      return blur(picture, blurs[level]);
    case Corruption::brightness:
      for (double& value : picture.values) value += light[level];
      return;
    case Corruption::contrast:
      return change_contrast(picture, contrast[level]);
    case Corruption::pixelation:
      return pixelate(picture, static_cast<std::int64_t>(level) + 2);
    case Corruption::blocks:
      return quantise_blocks(picture, steps[level]);
  }
}

}  // namespace detail

/// The images of a set, corrupted; the severity is from 1 to 5. Results do not depend on the number of threads. Throws
/// OptionError for another severity, Error for a set that is none.
[[nodiscard]] inline ImageSet corrupted(const ImageSet& set, Corruption kind, std::int64_t severity,
                                        std::uint64_t seed = 0) {
  require<OptionError>(severity >= 1 && severity <= corruption_severities, "`severity` ", severity,
                       ": expected from 1 to ", corruption_severities);
  validate(set);
  ImageSet result = set;
  const Philox random(seed, Stream::sample, static_cast<std::uint32_t>(severity));  // nothing else draws from it here
  parallel_for(set.count, 100 * set.image_size(), [&](std::int64_t i) {
    detail::Picture picture(set, i);
    detail::corrupt(picture, kind, to_size(severity - 1), random, i);
    picture.write(result.image(i));
  });
  return result;
}

}  // namespace lpw::inline LPW_ABI::data
