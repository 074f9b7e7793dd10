// From a stored image to what the network reads: padded random crop, horizontal flip, normalisation, cutout, in that
// order and in one pass over the output. (Random crops that are resized are taken where an image is decoded.) What
// happens to a sample is drawn from (seed, epoch, sample index) alone, so that it does not depend on batch size,
// members, threads or where in an epoch a run was resumed.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include <lpw/data/crop.hpp>
#include <lpw/data/dataset.hpp>
#include <lpw/tensor/dtype.hpp>
#include <lpw/tensor/error.hpp>
#include <lpw/tensor/float_bits.hpp>
#include <lpw/tensor/philox.hpp>

namespace lpw::inline LPW_ABI::data {

/// Random changes to training images; sizes in pixels, 0 for none. The padding of pad_crop is raw 0 (black), applied
/// before normalisation, as PyTorch's RandomCrop(H, padding = 4) does. Cutout (DeVries and Taylor, "Improved
/// regularization of convolutional neural networks with cutout", 2017) sets a square to 0 after normalisation, which is
/// the mean colour; its centre is uniform over the image and what lies outside is cut off.
struct AugmentOptions {
  int pad_crop = 0;                              // black border from which the image is cut again, in pixels
  bool flip = false;                             // mirrored left to right with probability 1/2
  int cutout = 0;                                // side of the square
  std::optional<ResizedCrop> resized_crop = {};  // of images that come from a source
};

/// Samples as they are.
inline constexpr AugmentOptions no_augmentation{};
/// The usual recipe for photographs of 32 x 32 pixels. Digits and letters are others when mirrored.
inline constexpr AugmentOptions pad_crop_flip{.pad_crop = 4, .flip = true};
/// The usual recipe for photographs in files.
inline constexpr AugmentOptions resized_crop_flip{.flip = true, .resized_crop = ResizedCrop{}};

/// What happens to one sample: output pixel (y, x) is the source's (y + shift_y, x' + shift_x), where x' = W - 1 - x if
/// flipped, else x; then the rows [cut_top, cut_bottom) of the columns [cut_left, cut_right) become 0.
struct Augmentation {
  int shift_y = 0, shift_x = 0;                                  // each in [-pad_crop, pad_crop]
  bool flip = false;                                             // left to right
  int cut_top = 0, cut_bottom = 0, cut_left = 0, cut_right = 0;  // rows and columns that become 0
};

/// Throws OptionError unless padding and cutout lie between 0 and the image's shorter side.
inline void validate(const AugmentOptions& options, std::int64_t height, std::int64_t width) {
  const std::int64_t side = std::min(height, width);
  require<OptionError>(options.pad_crop >= 0 && options.pad_crop <= side, "augmentation: expected pad_crop from 0 to ",
                       side, " pixels, found ", options.pad_crop);
  require<OptionError>(options.cutout >= 0 && options.cutout <= side, "augmentation: expected cutout from 0 to ", side,
                       " pixels, found ", options.cutout);
  if (options.resized_crop) validate(*options.resized_crop);
}

/// The same for a set, which random crops that are resized need a source of.
inline void validate(const AugmentOptions& options, const ImageSet& set) {
  validate(options, set.height, set.width);
  require<OptionError>(!options.resized_crop || set.source != nullptr,
                       "augmentation: `resized_crop` is for images that are decoded from files; those in memory are "
                       "cropped by pad_crop");
}

/// The augmentation of sample `index` by an epoch's random numbers, for images of H x W pixels.
[[nodiscard]] inline Augmentation draw_augmentation(const AugmentOptions& options, const Philox& random,
                                                    std::int64_t index, std::int64_t height, std::int64_t width) {
  const Philox::Block bits = random(static_cast<std::uint64_t>(index));
  const auto below = [](std::uint32_t word, std::int64_t bound) {
    return static_cast<int>(detail::below(word, bound));
  };

  Augmentation result;
  result.shift_y = below(bits[0], 2 * options.pad_crop + 1) - options.pad_crop;
  result.shift_x = below(bits[1], 2 * options.pad_crop + 1) - options.pad_crop;
  result.flip = options.flip && bits[2] >> 31;
  if (options.cutout > 0) {
    const int h = static_cast<int>(height), w = static_cast<int>(width), centre = below(bits[3], height * width);
    const int top = centre / w - options.cutout / 2, left = centre % w - options.cutout / 2;
    result.cut_top = std::clamp(top, 0, h);
    result.cut_bottom = std::clamp(top + options.cutout, 0, h);
    result.cut_left = std::clamp(left, 0, w);
    result.cut_right = std::clamp(left + options.cutout, 0, w);
  }
  return result;
}

/// The augmentation of sample `index` in `epoch`.
[[nodiscard]] inline Augmentation draw_augmentation(const AugmentOptions& options, std::uint64_t seed,
                                                    std::uint32_t epoch, std::int64_t index, std::int64_t height,
                                                    std::int64_t width) {
  return draw_augmentation(options, Philox(seed, Stream::crop, epoch), index, height, width);
}

/// (byte / 255 - mean) / stddev for every byte and channel, computed once in double, then looked up.
template <Real T>
class NormalizationTable {
 public:
  NormalizationTable() = default;

  /// Throws OptionError unless there is a finite mean and a positive stddev for each of `channels` channels.
  NormalizationTable(const Normalization& normalization, std::int64_t channels)
      : channels_(channels), values_(static_cast<std::size_t>(256 * channels)) {
    require<OptionError>(std::ssize(normalization.mean) == channels && std::ssize(normalization.stddev) == channels,
                         "normalization: expected ", channels, " means and standard deviations, found ",
                         normalization.mean.size(), " and ", normalization.stddev.size());
    for (std::int64_t c = 0; c < channels; ++c) {
      const double mean = normalization.mean[to_size(c)], stddev = normalization.stddev[to_size(c)];
      require<OptionError>(is_finite(mean) && is_finite(stddev) && stddev > 0,
                           "normalization: expected a finite mean and a positive stddev, found ", mean, " and ", stddev,
                           " for channel ", c);
      for (int value = 0; value < 256; ++value)
        values_[to_size(256 * c + value)] = T(static_cast<float>((value / 255.0 - mean) / stddev));
    }
  }

  /// C.
  [[nodiscard]] std::int64_t channels() const { return channels_; }
  /// The table itself, [C, 256].
  [[nodiscard]] const std::vector<T>& values() const { return values_; }
  /// What a network sees of a byte of a channel.
  [[nodiscard]] T operator()(std::uint8_t value, std::int64_t channel) const {
    return values_[to_size(256 * channel + value)];
  }

 private:
  std::int64_t channels_ = 0;
  std::vector<T> values_;  // [C, 256]
};

namespace detail {

/// One output row: `inside` pixels from `source` on (from right to left if flipped), between `before` and `after`
/// pixels of padding.
template <int fixed_channels, class T>
void augment_row(const std::uint8_t* source, bool flip, std::int64_t before, std::int64_t inside, std::int64_t after,
                 const NormalizationTable<T>& table, T* out) {
  const std::int64_t channels = fixed_channels ? fixed_channels : table.channels();
  const auto pad = [&](std::int64_t pixels) {
    for (; pixels > 0; --pixels)
      for (std::int64_t c = 0; c < channels; ++c) *out++ = table(0, c);
  };
  pad(before);
  const std::int64_t step = flip ? -channels : channels;
  for (std::int64_t i = 0; i < inside; ++i, out += channels)
    for (std::int64_t c = 0; c < channels; ++c) out[c] = table(source[i * step + c], c);
  pad(after);
}

}  // namespace detail

/// Writes an image [H, W, C], augmented and normalised, to `out` [H, W, C].
template <Real T>
void augment(const std::uint8_t* image, std::int64_t height, std::int64_t width, const Augmentation& how,
             const NormalizationTable<T>& table, T* out) {
  const std::int64_t channels = table.channels();
  // Columns [first, last) of the source are seen; without a flip they begin at output column first - shift, with one
  // they end there.
  const std::int64_t first = std::clamp<std::int64_t>(how.shift_x, 0, width),
                     last = std::clamp<std::int64_t>(width + how.shift_x, 0, width);
  const std::int64_t inside = last - first, low = std::max<std::int64_t>(0, -how.shift_x), high = width - inside - low;
  const auto row = channels == 3 ? detail::augment_row<3, T> : detail::augment_row<0, T>;
  for (std::int64_t y = 0; y < height; ++y) {
    T* out_row = out + y * width * channels;
    const std::int64_t source_y = y + how.shift_y;
    if (source_y < 0 || source_y >= height) {
      row(image, false, width, 0, 0, table, out_row);
    } else {
      const std::int64_t start = how.flip ? last - 1 : first;
      row(image + (source_y * width + start) * channels, how.flip, how.flip ? high : low, inside, how.flip ? low : high,
          table, out_row);
    }
    if (y >= how.cut_top && y < how.cut_bottom)
      std::fill(out_row + how.cut_left * channels, out_row + how.cut_right * channels, T(0.f));
  }
}

}  // namespace lpw::inline LPW_ABI::data
