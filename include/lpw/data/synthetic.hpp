// A data set that needs no files: 32 x 32 colour images of ten kinds of figure and texture, for first runs, tests and
// examples. Position, size, rotation, aspect, colours, background, occlusion and noise vary, so no single pixel or
// colour tells the class, and a few images hold two figures with a coin toss for a label, so that no classifier reaches
// 100 % and calibration means something. Every image is a function of (seed, split, index) alone: the number of threads
// does not matter, and more images extend the set.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <numbers>
#include <numeric>
#include <span>
#include <utility>
#include <vector>

#include <lpw/cpu/base/parallel.hpp>
#include <lpw/data/dataset.hpp>
#include <lpw/tensor/error.hpp>
#include <lpw/tensor/philox.hpp>

namespace lpw::inline LPW_ABI::data {

/// What makes the synthetic classes hard to tell apart. Colours are in [0, 1]. With these values a WRN-10-1 trained on
/// 10000 images (batch 128, Nesterov SGD, learning rate 0.1 with cosine decay, crop and flip) reached 89 % of the test
/// set in six epochs.
struct SyntheticDifficulty {
  float ambiguous = 0.06f;  // share of images with two figures; a perfect classifier errs on half of them
  float min_contrast = 0.35f, max_contrast = 0.8f;  // distance in RGB from a figure to the background's mean
  float texture = 0.05f;                            // largest amplitude of the background's waves
  float noise = 0.07f;                              // largest standard deviation of the pixel noise
  float rotation = 0.25f;  // largest angle to either side, in radians (45 degrees separate the bars)
  float occluded = 0.3f;   // share of images with a patch somewhere in front
};

/// What a drawn data set is like.
struct SyntheticOptions {
  std::uint64_t seed = 0;                   // of figures, colours and noise
  std::int64_t train = 10000, test = 2000;  // images of either set
  SyntheticDifficulty difficulty = {};      // how hard to tell apart
};

namespace detail {

inline constexpr std::int64_t synthetic_side = 32;
inline constexpr std::array synthetic_names{"disc",          "ring",    "square",          "triangle",
                                            "cross",         "twins",   "horizontal bars", "vertical bars",
                                            "diagonal bars", "checkers"};

struct Colour {
  float r, g, b;
  friend Colour operator+(Colour x, Colour y) { return {x.r + y.r, x.g + y.g, x.b + y.b}; }
  friend Colour operator*(float s, Colour x) { return {s * x.r, s * x.g, s * x.b}; }
};
[[nodiscard]] inline Colour mix(Colour x, Colour y, float share) { return (1 - share) * x + share * y; }

/// The random numbers of one image: a sequence for its scene, and one block per pixel for its noise.
class ImageDraws {
 public:
  ImageDraws(const Philox& philox, std::int64_t image)
      : philox_(philox), first_(static_cast<std::uint64_t>(image) * 2 * scene_blocks) {}

  [[nodiscard]] float uniform(float low, float high) {
    if (used_ % 4 == 0) block_ = philox_(first_ + used_ / 4);
    return low + (high - low) * Philox::to_uniform(block_[used_++ % 4]);
  }
  [[nodiscard]] int below(int bound) { return static_cast<int>(uniform(0.f, static_cast<float>(bound))); }
  [[nodiscard]] bool chance(float probability) { return uniform(0.f, 1.f) < probability; }
  [[nodiscard]] Colour colour(float low, float high) {
    const float r = uniform(low, high), g = uniform(low, high), b = uniform(low, high);
    return {r, g, b};
  }
  /// A vector of the given length in a direction uniform on the sphere.
  [[nodiscard]] Colour direction(float length) {
    const float z = uniform(-1.f, 1.f), angle = uniform(0.f, 2 * std::numbers::pi_v<float>), rim = std::sqrt(1 - z * z);
    return length * Colour{rim * std::cos(angle), rim * std::sin(angle), z};
  }
  /// Independent noise of variance 1 for the channels of a pixel: the sum of a word's four bytes, which is close enough
  /// to normal.
  [[nodiscard]] Colour noise(std::int64_t pixel) const {
    const auto bits = philox_(first_ + scene_blocks + to_size(pixel));
    const auto normal = [](std::uint32_t word) {
      const auto sum = static_cast<float>((word & 255) + (word >> 8 & 255) + (word >> 16 & 255) + (word >> 24));
      return (sum - 510.f) * (1 / 147.8f);  // four bytes: mean 4 * 127.5, variance 4 * (256^2 - 1) / 12
    };
    return {normal(bits[0]), normal(bits[1]), normal(bits[2])};
  }

 private:
  static constexpr std::uint64_t scene_blocks = synthetic_side * synthetic_side;  // far more than a scene draws

  Philox philox_;
  std::uint64_t first_;
  unsigned used_ = 0;
  Philox::Block block_{};
};

/// One figure: its class, a frame (centre, half extents, rotation) and a colour.
struct Figure {
  enum Kind {
    disc,
    ring,
    square,
    triangle,
    cross,
    twins,
    horizontal_bars,
    vertical_bars,
    diagonal_bars,
    checkers
  };  // as synthetic_names

  int kind;
  float x, y, half_width, half_height, cosine, sine, wave, phase;
  Colour colour;

  Figure(ImageDraws& draws, int figure_kind, Colour figure_colour, const SyntheticDifficulty& difficulty)
      : kind(figure_kind), colour(figure_colour) {
    const float radius = draws.uniform(7.f, 12.f), aspect = draws.uniform(0.85f, 1.18f);
    half_width = radius * aspect;
    half_height = radius / aspect;
    x = 15.5f + draws.uniform(-6.f, 6.f);
    y = 15.5f + draws.uniform(-6.f, 6.f);
    float angle = draws.uniform(-difficulty.rotation, difficulty.rotation);
    if (kind == diagonal_bars)
      angle += draws.chance(0.5f) ? std::numbers::pi_v<float> / 4 : -std::numbers::pi_v<float> / 4;
    cosine = std::cos(angle);
    sine = std::sin(angle);
    wave = draws.uniform(1.6f, 2.6f) * std::numbers::pi_v<float>;  // of the textures: 1.6 to 2.6 periods across
    phase = draws.uniform(0.f, 2 * std::numbers::pi_v<float>);
  }

  /// How much of a pixel the figure covers, in [0, 1].
  [[nodiscard]] float coverage(float px, float py) const {
    const float dx = px - x, dy = py - y;
    const float u = (cosine * dx + sine * dy) / half_width, v = (cosine * dy - sine * dx) / half_height;
    if (std::max(std::abs(u), std::abs(v)) > 1.2f) return 0.f;
    return std::clamp(0.5f - distance(u, v) * half_width, 0.f, 1.f);
  }

 private:
  /// Roughly the signed distance to the outline, in frame units, negative inside.
  [[nodiscard]] float distance(float u, float v) const {
    const auto length = [](float a, float b) { return std::sqrt(a * a + b * b); };
    const auto box = [](float a, float b, float half_a, float half_b) {
      return std::max(std::abs(a) - half_a, std::abs(b) - half_b);
    };
    const auto textured = [&](float height) { return std::max(length(u, v) - 1.f, height / wave); };
    switch (kind) {
      case disc:
        return length(u, v) - 0.85f;
      case ring:
        return std::abs(length(u, v) - 0.72f) - 0.22f;
      case square:
        return box(u, v, 0.76f, 0.76f);
      case triangle:
        return std::max(v, 0.866f * std::abs(u) - 0.5f * v) - 0.5f;
      case cross:
        return std::min(box(u, v, 0.95f, 0.3f), box(u, v, 0.3f, 0.95f));
      case twins:
        return length(std::abs(u) - 0.52f, v) - 0.4f;
      case vertical_bars:
        return textured(std::sin(wave * u + phase));
      case checkers:
        return textured(std::sin(wave * u + phase) * std::sin(wave * v + phase));
      default:
        return textured(std::sin(wave * v + phase));  // horizontal and, by its rotation, diagonal
    }
  }
};

/// A slope and a wave around a mean colour.
struct Background {
  Colour mean, slope_x, slope_y, wave;
  float frequency_x, frequency_y, phase;

  Background(ImageDraws& draws, const SyntheticDifficulty& difficulty) {
    mean = draws.colour(0.2f, 0.8f);
    slope_x = draws.colour(-0.008f, 0.008f);
    slope_y = draws.colour(-0.008f, 0.008f);
    wave = draws.direction(draws.uniform(0.f, difficulty.texture));
    const float frequency = draws.uniform(0.2f, 1.2f),
                angle = draws.uniform(0.f, std::numbers::pi_v<float>);  // frequency in radians per pixel
    frequency_x = frequency * std::cos(angle);
    frequency_y = frequency * std::sin(angle);
    phase = draws.uniform(0.f, 2 * std::numbers::pi_v<float>);
  }

  [[nodiscard]] Colour operator()(float x, float y) const {
    return mean + (x - 15.5f) * slope_x + (y - 15.5f) * slope_y +
           std::sin(frequency_x * x + frequency_y * y + phase) * wave;
  }
};

/// A rectangle in front of everything, or nothing.
struct Patch {
  float x = 0, y = 0, half_width = -1, half_height = -1;
  Colour colour{};

  Patch(ImageDraws& draws, const SyntheticDifficulty& difficulty) {
    if (!draws.chance(difficulty.occluded)) return;
    x = draws.uniform(4.f, 28.f);
    y = draws.uniform(4.f, 28.f);
    half_width = draws.uniform(2.f, 5.f);
    half_height = draws.uniform(2.f, 5.f);
    colour = draws.colour(0.f, 1.f);
  }
  [[nodiscard]] bool covers(float px, float py) const {
    return std::abs(px - x) < half_width && std::abs(py - y) < half_height;
  }
};

/// Draws the image of class `label` that the random numbers describe, as [32, 32, 3] bytes.
inline void draw_synthetic(ImageDraws draws, int label, const SyntheticDifficulty& difficulty, std::uint8_t* pixels) {
  const Background background(draws, difficulty);
  const auto figure = [&](int kind) {
    const Colour colour =
        background.mean + draws.direction(draws.uniform(difficulty.min_contrast, difficulty.max_contrast));
    return Figure(draws, kind, colour, difficulty);
  };
  std::vector<Figure> figures{figure(label)};
  if (draws.chance(difficulty.ambiguous)) {
    const int classes = static_cast<int>(synthetic_names.size());
    figures.push_back(figure((label + 1 + draws.below(classes - 1)) % classes));
    if (draws.chance(0.5f)) std::swap(figures[0], figures[1]);  // the labelled one in front or behind
  }
  const Patch patch(draws, difficulty);
  const float noise = draws.uniform(0.2f * difficulty.noise, difficulty.noise);

  for (std::int64_t p = 0; p < synthetic_side * synthetic_side; ++p) {
    const auto x = static_cast<float>(p % synthetic_side), y = static_cast<float>(p / synthetic_side);
    Colour colour = background(x, y);
    for (const auto& f : figures) colour = mix(colour, f.colour, f.coverage(x, y));
    if (patch.covers(x, y)) colour = patch.colour;
    colour = colour + noise * draws.noise(p);
    for (const float value : {colour.r, colour.g, colour.b})
      *pixels++ = static_cast<std::uint8_t>(std::clamp(value, 0.f, 1.f) * 255.f + 0.5f);
  }
}

/// Image i of a split, of class i mod 10, into pixels. Splits differ in the step of their random numbers and never
/// share one.
inline void draw_synthetic(const SyntheticOptions& options, std::uint32_t split, std::int64_t i, std::uint8_t* pixels) {
  const Philox philox(options.seed, Stream::synthetic, split);
  draw_synthetic(ImageDraws(philox, i), static_cast<int>(i % std::ssize(synthetic_names)), options.difficulty, pixels);
}

/// What an image costs to draw, in passes (cpu/base/parallel.hpp): its 1024 pixels take some 50 microseconds.
inline constexpr std::int64_t synthetic_cost = 200'000;

/// The chosen images of a split.
[[nodiscard]] inline ImageSet synthetic_split(const SyntheticOptions& options, std::uint32_t split,
                                              std::span<const std::int64_t> chosen) {
  const int classes = static_cast<int>(synthetic_names.size());
  ImageSet set{.count = std::ssize(chosen),
               .height = synthetic_side,
               .width = synthetic_side,
               .channels = 3,
               .classes = classes,
               .pixels = {},
               .labels = {}};
  set.pixels.resize(to_size(set.count * set.image_size()));
  for (const std::int64_t i : chosen) set.labels.push_back(static_cast<std::int32_t>(i % classes));
  parallel_for(set.count, synthetic_cost,
               [&](std::int64_t i) { draw_synthetic(options, split, chosen[to_size(i)], set.image(i)); });
  return set;
}

/// How many training images, the first, tell what the set is normalised with. Their mean is within a few hundredths of
/// a standard deviation of that of all, and a run on a subset need not draw what it does not read.
inline constexpr std::int64_t synthetic_measured = 500;

/// The normalisation of the first synthetic_measured training images, or of all where there are fewer, of which
/// `drawn` are there already.
[[nodiscard]] inline Normalization synthetic_normalization(const SyntheticOptions& options, const ImageSet& drawn) {
  const std::int64_t measured = std::min(options.train, synthetic_measured), there = std::min(measured, drawn.count);
  const auto add = [](ChannelSums& sums, const ImageSet& set, std::int64_t count) {
    sums.add(set.pixels.data(), count * set.height * set.width);
  };
  ChannelSums sums(drawn.channels);
  add(sums, drawn, there);
  std::vector<std::int64_t> others(to_size(measured - there));
  std::iota(others.begin(), others.end(), there);
  if (!others.empty()) add(sums, synthetic_split(options, 0, others), std::ssize(others));
  return sums.normalization();
}

/// Which of `count` images are wanted: the first, whose classes take turns.
[[nodiscard]] inline std::vector<std::int64_t> synthetic_choice(std::int64_t count, std::int64_t size) {
  require<OptionError>(size >= 0 && size <= count, "subset: expected a size from 1 to ", count, " (all images), found ",
                       size);
  std::vector<std::int64_t> chosen(to_size(size > 0 ? size : count));
  std::iota(chosen.begin(), chosen.end(), std::int64_t{0});
  return chosen;
}

}  // namespace detail

/// The synthetic data set: `train` and `test` images [32, 32, 3] of ten balanced classes. Throws OptionError for a
/// count below 1 or a part larger than the whole. The same options give the same bytes from the
/// same program; another compiler may round a few pixels differently.
[[nodiscard]] inline Dataset synthetic(const SyntheticOptions& options = {}, const SubsetSizes& subset = {}) {
  require<OptionError>(options.train > 0 && options.test > 0,
                       "synthetic data: expected at least 1 training and 1 test image, found ", options.train, " and ",
                       options.test);
  Dataset dataset;
  dataset.name = "synthetic";
  dataset.train = detail::synthetic_split(options, 0, detail::synthetic_choice(options.train, subset.train));
  dataset.test = detail::synthetic_split(options, 1, detail::synthetic_choice(options.test, subset.test));
  dataset.normalization = detail::synthetic_normalization(options, dataset.train);
  dataset.class_names.assign(detail::synthetic_names.begin(), detail::synthetic_names.end());
  return dataset;
}

}  // namespace lpw::inline LPW_ABI::data
