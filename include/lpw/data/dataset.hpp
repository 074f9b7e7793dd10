// Labelled images, as bytes in the layout of the activations (channels last), and what is derived from a whole training
// set. Images in memory stay bytes until a batch is formed: all of CIFAR is 180 MB this way, and augmentation reads a
// quarter of the memory. Those of a source (image_source.hpp) are made when a batch wants them.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <numeric>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <lpw/data/image_source.hpp>
#include <lpw/tensor/error.hpp>
#include <lpw/tensor/to_size.hpp>

namespace lpw::inline LPW_ABI::data {

/// N labelled images of one size.
struct ImageSet {
  std::int64_t count = 0;                          // N
  std::int64_t height = 0, width = 0;              // in pixels
  std::int64_t channels = 0;                       // numbers of a pixel
  int classes = 0;                                 // whatever labels occur
  std::vector<std::uint8_t> pixels;                // [N, H, W, C], or none where there is a source
  std::vector<std::int32_t> labels;                // [N], each in [0, classes)
  std::shared_ptr<const ImageSource> source = {};  // of N images of this size; null: they are in `pixels`

  /// Bytes of one image: H W C.
  [[nodiscard]] std::int64_t image_size() const { return height * width * channels; }
  /// The pixels [H, W, C] of image i.
  [[nodiscard]] const std::uint8_t* image(std::int64_t i) const { return pixels.data() + i * image_size(); }
  /// The same, to be written.
  [[nodiscard]] std::uint8_t* image(std::int64_t i) { return pixels.data() + i * image_size(); }
};

/// Per-channel mean and standard deviation of pixels scaled to [0, 1]: a network sees (pixel / 255 - mean) / stddev. Of
/// a table those of its columns (columns.hpp): a network sees (x - mean) / stddev.
struct Normalization {
  std::vector<float> mean, stddev;  // [C]
};

/// A training and a test set of the same classes, and the training set's statistics, which both are normalised with.
struct Dataset {
  std::string name;                               // for messages
  ImageSet train, test;                           // which are scored apart
  Normalization normalization;                    // of the training set
  std::vector<std::string> class_names;           // [classes], or empty where the data does not say
  ImageSet held_out = {};                         // of the training set, and not in `train` any more; empty: none
  std::map<std::string, std::string> notes = {};  // for files of networks that know it (train::notes_of)
};

/// Throws Error unless the set's vectors have the sizes its extents say and every label names a class.
inline void validate(const ImageSet& set) {
  require(set.count > 0 && set.height > 0 && set.width > 0 && set.channels > 0,
          "image set: expected positive extents, found N=", set.count, " H=", set.height, " W=", set.width,
          " C=", set.channels);
  require(set.source != nullptr || std::ssize(set.pixels) == set.count * set.image_size(), "image set: expected ",
          set.count * set.image_size(), " pixel bytes (N=", set.count, " H=", set.height, " W=", set.width,
          " C=", set.channels, "), found ", set.pixels.size());
  require(std::ssize(set.labels) == set.count, "image set: expected ", set.count, " labels, found ", set.labels.size());
  for (std::int64_t i = 0; i < set.count; ++i)
    require(set.labels[to_size(i)] >= 0 && set.labels[to_size(i)] < set.classes, "image set: label ",
            set.labels[to_size(i)], " of image ", i, " is not in [0, ", set.classes, ")");
}

/// Sums over pixels of which Normalization is made. They are exact integers, so the order of images does not matter.
class ChannelSums {
 public:
  /// Of images with so many channels.
  explicit ChannelSums(std::int64_t channels) : sum_(to_size(channels)), squares_(to_size(channels)) {}

  /// Adds `count` pixels [count, C].
  void add(const std::uint8_t* pixel, std::int64_t count) {
    for (std::int64_t i = 0; i < count; ++i)
      for (std::size_t c = 0; c < sum_.size(); ++c) {
        const std::uint64_t value = *pixel++;
        sum_[c] += value;
        squares_[c] += value * value;
      }
    pixels_ += count;
  }
  /// The same of planes [C, count].
  void add_planes(const std::uint8_t* planes, std::int64_t count) {
    constexpr std::int64_t run = 1 << 16;  // values whose squares' sum fits into 32 bits
    for (std::size_t c = 0; c < sum_.size(); ++c, planes += count)
      for (std::int64_t first = 0; first < count; first += run) {
        const std::int64_t length = std::min(run, count - first);
        std::uint32_t sum = 0, squares = 0;
#pragma omp simd reduction(+ : sum, squares)
        for (std::int64_t i = 0; i < length; ++i) {
          const std::uint32_t value = planes[first + i];
          sum += value;
          squares += value * value;
        }
        sum_[c] += sum;
        squares_[c] += squares;
      }
    pixels_ += count;
  }

  /// Mean and population standard deviation of every channel. A channel without variation gets stddev 1: it is centred,
  /// not divided by zero.
  [[nodiscard]] Normalization normalization() const {
    Normalization result;
    const auto n = static_cast<double>(pixels_);
    for (std::size_t c = 0; c < sum_.size(); ++c) {
      const double mean = static_cast<double>(sum_[c]) / n,
                   variance = static_cast<double>(squares_[c]) / n - mean * mean;
      result.mean.push_back(static_cast<float>(mean / 255));
      result.stddev.push_back(variance > 0 ? static_cast<float>(std::sqrt(variance) / 255) : 1.f);
    }
    return result;
  }

 private:
  std::vector<std::uint64_t> sum_, squares_;
  std::int64_t pixels_ = 0;
};

/// ChannelSums::normalization over all pixels of all images. Throws Error where these are not in memory.
[[nodiscard]] inline Normalization channel_statistics(const ImageSet& set) {
  validate(set);
  require(set.source == nullptr, "image set: statistics are of images in memory");
  ChannelSums sums(set.channels);
  sums.add(set.pixels.data(), set.count * set.height * set.width);
  return sums.normalization();
}

/// How many images of each set are wanted, class-balanced; 0: all. What is not wanted is never held, and the
/// normalization is that of the whole training set all the same.
struct SubsetSizes {
  std::int64_t train = 0, test = 0;  // images of the set; 0: all
};

/// Which images a class-balanced part of `size` consists of: the first of every class, in the order of the whole set.
/// Class counts differ by at most one wherever every class has enough images; there is no randomness, so a part is
/// contained in every larger one. All for size = labels.size(). Throws OptionError unless 0 < size <= labels.size().
[[nodiscard]] inline std::vector<std::int64_t> balanced_choice(std::span<const std::int32_t> labels, int classes,
                                                               std::int64_t size) {
  const std::int64_t count = std::ssize(labels);
  require<OptionError>(size > 0 && size <= count, "subset: expected a size from 1 to ", count, " (all images), found ",
                       size);
  std::vector<std::int64_t> rank(labels.size()), seen(to_size(classes), 0),
      chosen(labels.size());  // rank: how many of its class come before it
  for (std::size_t i = 0; i < labels.size(); ++i) rank[i] = seen[to_size(labels[i])]++;
  std::iota(chosen.begin(), chosen.end(), std::int64_t{0});
  const auto place = [&](std::int64_t i) { return std::pair(rank[to_size(i)], labels[to_size(i)]); };
  std::sort(chosen.begin(), chosen.end(), [&](auto a, auto b) { return place(a) < place(b); });
  chosen.resize(to_size(size));
  std::sort(chosen.begin(), chosen.end());
  return chosen;
}

/// The images of a set that a list names, in its order.
[[nodiscard]] inline ImageSet chosen_images(const ImageSet& set, const std::vector<std::int64_t>& chosen) {
  ImageSet result{.count = std::ssize(chosen),
                  .height = set.height,
                  .width = set.width,
                  .channels = set.channels,
                  .classes = set.classes,
                  .pixels = {},
                  .labels = {}};
  for (const auto i : chosen) result.labels.push_back(set.labels[to_size(i)]);
  if (set.source) {
    result.source = std::make_shared<ChosenImages>(set.source, chosen);
    return result;
  }
  result.pixels.reserve(to_size(result.count * set.image_size()));
  for (const auto i : chosen) result.pixels.insert(result.pixels.end(), set.image(i), set.image(i) + set.image_size());
  return result;
}

/// A part of a set, as balanced_choice says.
[[nodiscard]] inline ImageSet balanced_subset(const ImageSet& set, std::int64_t size) {
  return chosen_images(set, balanced_choice(set.labels, set.classes, size));
}

}  // namespace lpw::inline LPW_ABI::data
