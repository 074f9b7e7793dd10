// What a predictor says, as the scores take it.
#pragma once

#include <algorithm>
#include <cstdint>
#include <span>
#include <vector>

#include <lpw/cpu/base/parallel.hpp>
#include <lpw/data/dataset.hpp>
#include <lpw/data/in_threads.hpp>
#include <lpw/tensor/tensor.hpp>

#include "predictor.hpp"

namespace evaluate {

/// Of K members for B images, and of the ensemble: views of what the predictor holds during the call.
struct Predictions {
  lpw::Tensor<double, lpw::Cpu> members;   // [K, B, classes]
  lpw::Tensor<double, lpw::Cpu> ensemble;  // [B, classes]
  lpw::Tensor<std::int32_t, lpw::Cpu> labels;
};

namespace detail {

template <class T>
[[nodiscard]] lpw::Tensor<T, lpw::Cpu> view_of(std::span<const T> values, const lpw::Shape& shape) {
  return lpw::Tensor<T, lpw::Cpu>::view(values.data(), shape, nullptr);
}

}  // namespace detail

/// Images [first, first + count) of a set's source, decoded.
[[nodiscard]] inline std::vector<std::uint8_t> decoded(const lpw::data::ImageSet& set, std::int64_t first,
                                                       std::int64_t count) {
  std::vector<std::uint8_t> pixels(lpw::to_size(count * set.image_size()));
  lpw::data::in_threads(lpw::max_threads(), count, [&](std::int64_t i) {
    set.source->read(first + i, nullptr, pixels.data() + i * set.image_size());
  });
  return pixels;
}

/// Gives `take` the predictions for all images of a set, some at a time in their order. Throws NonFinite where an
/// output is not finite, FileError where an image cannot be read.
template <class Take>
void predict(Predictor& predictor, const lpw::data::ImageSet& set, const Take& take) {
  const auto predict_part = [&](std::span<const std::uint8_t> pixels, std::span<const std::int32_t> labels) {
    predictor.predict({pixels, labels, set.height, set.width, set.channels, set.classes},
                      [&](const Probabilities& found) {
                        const auto batch = static_cast<std::int64_t>(found.labels.size());
                        take(Predictions{
                            detail::view_of(found.members, {predictor.members(), batch, found.classes}),
                            detail::view_of(found.ensemble, {batch, found.classes}),
                            detail::view_of(found.labels, {batch}),
                        });
                      });
  };
  if (!set.source) return predict_part(set.pixels, set.labels);
  constexpr std::int64_t at_once = 512;  // decoded images are held
  for (std::int64_t first = 0; first < set.count; first += at_once) {
    const std::int64_t count = std::min(at_once, set.count - first);
    const auto pixels = decoded(set, first, count);
    predict_part(pixels, std::span(set.labels).subspan(lpw::to_size(first), lpw::to_size(count)));
  }
}

}  // namespace evaluate
