// Which part of a photograph a network sees: a random one of it in training (Szegedy et al., "Going deeper with
// convolutions", 2015; as torchvision's RandomResizedCrop), and the middle of it where it is scored (as torchvision's
// Resize and CenterCrop). What is drawn is a function of (seed, epoch, sample) alone.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>

#include <lpw/data/picture.hpp>
#include <lpw/tensor/error.hpp>
#include <lpw/tensor/philox.hpp>

namespace lpw::inline LPW_ABI::data {

/// Parts that a random crop may be: from `least` to `most` of the area, and from 1 / ratio to `ratio` times as wide as
/// high, log-uniform.
struct ResizedCrop {
  double least = 0.08;     // of the area
  double most = 1;         // of the area
  double ratio = 4.0 / 3;  // widest shape, width over height; its inverse is the highest one
};

/// Throws OptionError unless 0 < least <= most <= 1 and ratio >= 1.
inline void validate(const ResizedCrop& crop) {
  require<OptionError>(crop.least > 0 && crop.least <= crop.most && crop.most <= 1,
                       "random crop: expected parts of the area with 0 < least <= most <= 1, found ", crop.least,
                       " and ", crop.most);
  require<OptionError>(crop.ratio >= 1 && crop.ratio <= 100, "random crop: expected a ratio from 1 to 100, found ",
                       crop.ratio);
}

namespace detail {

/// A number in [0, bound) of a random word.
[[nodiscard]] inline std::int64_t below(std::uint32_t word, std::int64_t bound) {
  return static_cast<std::int64_t>((std::uint64_t{word} * static_cast<std::uint64_t>(bound)) >> 32);
}

}  // namespace detail

/// A crop of an image of H x W pixels: the first of ten draws that lies within it, or where none does, the largest part
/// in its middle of an allowed ratio.
[[nodiscard]] inline Box draw_crop(const ResizedCrop& crop, const Philox& random, std::int64_t index,
                                   std::int64_t height, std::int64_t width) {
  const double area = static_cast<double>(height) * static_cast<double>(width), log_ratio = std::log(crop.ratio);
  for (std::uint64_t attempt = 1; attempt <= 10; ++attempt) {
    // samples have numbers below 2^32, whose own blocks are what draw_augmentation reads
    const auto bits = random(static_cast<std::uint64_t>(index) + (attempt << 32));
    const double part = area * (crop.least + (crop.most - crop.least) * bits[0] * 0x1p-32),
                 ratio = std::exp(log_ratio * (bits[1] * 0x1p-31 - 1));
    const std::int64_t w = std::lround(std::sqrt(part * ratio)), h = std::lround(std::sqrt(part / ratio));
    if (w > 0 && h > 0 && w <= width && h <= height)
      return {detail::below(bits[2], height - h + 1), detail::below(bits[3], width - w + 1), h, w};
  }
  const std::int64_t h = std::clamp<std::int64_t>(std::lround(static_cast<double>(width) * crop.ratio), 1, height),
                     w = std::clamp<std::int64_t>(std::lround(static_cast<double>(height) * crop.ratio), 1, width);
  return {(height - h) / 2, (width - w) / 2, h, w};
}

/// An image that is first resized as a whole, of which a box is then seen.
struct CentreCrop {
  std::int64_t height = 0, width = 0;  // of the whole
  Box seen;                            // in pixels of the whole
};

/// The middle `size` x `size` pixels of an image of H x W pixels whose shorter side has become `resize` >= size,
/// rounded as torchvision does.
[[nodiscard]] inline CentreCrop centre_crop(std::int64_t height, std::int64_t width, std::int64_t resize,
                                            std::int64_t size) {
  CentreCrop result{.height = resize, .width = resize, .seen = {.top = 0, .left = 0, .height = size, .width = size}};
  if (height < width) result.width = resize * width / height;
  if (width < height) result.height = resize * height / width;
  const auto offset = [size](std::int64_t side) {  // half of what is left, a half rounded to the even number
    const std::int64_t left = side - size;
    return left % 2 == 0 ? left / 2 : (left / 2) % 2 == 0 ? left / 2 : left / 2 + 1;
  };
  result.seen.top = offset(result.height), result.seen.left = offset(result.width);
  return result;
}

}  // namespace lpw::inline LPW_ABI::data
