// Labelled images in memory, as bytes in the layout of the activations (channels last), and what is derived from a whole training
// set. Images stay bytes until a batch is formed: all of CIFAR is 180 MB this way, and augmentation reads a quarter of the memory.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <numeric>
#include <string>
#include <utility>
#include <vector>

#include <lpw/tensor/error.hpp>

namespace lpw::data {

/// N labelled images of one size.
struct ImageSet {
  std::int64_t count = 0, height = 0, width = 0, channels = 0;
  int classes = 0;
  std::vector<std::uint8_t> pixels;  // [N, H, W, C]
  std::vector<std::int32_t> labels;  // [N], each in [0, classes)

  /// Bytes of one image: H W C.
  [[nodiscard]] std::int64_t image_size() const { return height * width * channels; }
  /// The pixels [H, W, C] of image i.
  [[nodiscard]] const std::uint8_t* image(std::int64_t i) const { return pixels.data() + i * image_size(); }
  [[nodiscard]] std::uint8_t* image(std::int64_t i) { return pixels.data() + i * image_size(); }
};

/// Per-channel mean and standard deviation of pixels scaled to [0, 1]: a network sees (pixel / 255 - mean) / stddev.
struct Normalization {
  std::vector<float> mean, stddev;  // [C]
};

/// A training and a test set of the same classes, and the training set's statistics, which both are normalised with.
struct Dataset {
  std::string name;
  ImageSet train, test;
  Normalization normalization;
  std::vector<std::string> class_names;  // [classes], or empty where the data does not say
};

/// Throws Error unless the set's vectors have the sizes its extents say and every label names a class.
inline void validate(const ImageSet& set) {
  require(set.count > 0 && set.height > 0 && set.width > 0 && set.channels > 0, "image set: expected positive extents, found N=", set.count,
          " H=", set.height, " W=", set.width, " C=", set.channels);
  require(std::ssize(set.pixels) == set.count * set.image_size(), "image set: expected ", set.count * set.image_size(),
          " pixel bytes (N=", set.count, " H=", set.height, " W=", set.width, " C=", set.channels, "), found ", set.pixels.size());
  require(std::ssize(set.labels) == set.count, "image set: expected ", set.count, " labels, found ", set.labels.size());
  for (std::int64_t i = 0; i < set.count; ++i)
    require(set.labels[i] >= 0 && set.labels[i] < set.classes, "image set: label ", set.labels[i], " of image ", i, " is not in [0, ",
            set.classes, ")");
}

/// Mean and population standard deviation of every channel over all pixels of all images. The sums are exact integers, so the
/// result does not depend on the order of images. A channel without variation gets stddev 1: it is centred, not divided by zero.
[[nodiscard]] inline Normalization channel_statistics(const ImageSet& set) {
  validate(set);
  std::vector<std::uint64_t> sum(set.channels), squares(set.channels);
  const std::uint8_t* pixel = set.pixels.data();
  for (std::int64_t i = 0; i < set.count * set.height * set.width; ++i)
    for (std::int64_t c = 0; c < set.channels; ++c) {
      const std::uint64_t value = *pixel++;
      sum[c] += value;
      squares[c] += value * value;
    }
  Normalization result;
  const double n = static_cast<double>(set.count * set.height * set.width);
  for (std::int64_t c = 0; c < set.channels; ++c) {
    const double mean = static_cast<double>(sum[c]) / n, variance = static_cast<double>(squares[c]) / n - mean * mean;
    result.mean.push_back(static_cast<float>(mean / 255));
    result.stddev.push_back(variance > 0 ? static_cast<float>(std::sqrt(variance) / 255) : 1.f);
  }
  return result;
}

/// A class-balanced part of `size` images: the first images of every class, in the order of the whole set. Class counts differ by
/// at most one wherever every class has enough images; there is no randomness, so a part is contained in every larger one.
/// Throws OptionError unless 0 < size <= set.count.
[[nodiscard]] inline ImageSet balanced_subset(const ImageSet& set, std::int64_t size) {
  require<OptionError>(size > 0 && size <= set.count, "subset: expected a size from 1 to ", set.count, " (all images), found ", size);
  std::vector<std::int64_t> rank(set.count), seen(set.classes, 0), chosen(set.count);  // rank: how many of its class come before it
  for (std::int64_t i = 0; i < set.count; ++i) rank[i] = seen[set.labels[i]]++;
  std::iota(chosen.begin(), chosen.end(), std::int64_t{0});
  std::sort(chosen.begin(), chosen.end(),
            [&](auto a, auto b) { return std::pair(rank[a], set.labels[a]) < std::pair(rank[b], set.labels[b]); });
  chosen.resize(size);
  std::sort(chosen.begin(), chosen.end());

  ImageSet result{.count = size,
                  .height = set.height,
                  .width = set.width,
                  .channels = set.channels,
                  .classes = set.classes,
                  .pixels = {},
                  .labels = {}};
  result.pixels.reserve(size * set.image_size());
  for (const auto i : chosen) {
    result.pixels.insert(result.pixels.end(), set.image(i), set.image(i) + set.image_size());
    result.labels.push_back(set.labels[i]);
  }
  return result;
}

}  // namespace lpw::data
