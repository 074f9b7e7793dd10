// What a predictor says, as the scores take it.
#pragma once

#include <cstdint>
#include <span>

#include <lpw/data/dataset.hpp>
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

/// Gives `take` the predictions for all images of a set, some at a time in their order. Throws NonFinite where an
/// output is not finite.
template <class Take>
void predict(Predictor& predictor, const lpw::data::ImageSet& set, const Take& take) {
  predictor.predict({set.pixels, set.labels, set.height, set.width, set.channels, set.classes},
                    [&](const Probabilities& found) {
                      const auto batch = static_cast<std::int64_t>(found.labels.size());
                      take(Predictions{
                          detail::view_of(found.members, {predictor.members(), batch, found.classes}),
                          detail::view_of(found.ensemble, {batch, found.classes}),
                          detail::view_of(found.labels, {batch}),
                      });
                    });
}

}  // namespace evaluate
