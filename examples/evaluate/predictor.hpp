// What the scores are made of, whatever element type and device compute it. Files for GPUs are compiled with other
// types of lpw's than the rest (tensor/abi.hpp), so that what they exchange with it is made of the standard library's.
#pragma once

#include <cstdint>
#include <functional>
#include <span>

namespace evaluate {

/// Images [N, H, W, C] to predict for, and their labels.
struct Images {
  std::span<const std::uint8_t> pixels;
  std::span<const std::int32_t> labels;
  std::int64_t height, width, channels;
  int classes;
};

/// What K members predict for B images, and the ensemble: the mean of their probabilities.
struct Probabilities {
  std::span<const double> members;   // [K, B, classes]
  std::span<const double> ensemble;  // [B, classes]
  std::span<const std::int32_t> labels;
  std::int64_t classes;
};

class Predictor {
 public:
  virtual ~Predictor() = default;
  /// Predicts for all images of a set, some at a time in their order. Throws NonFinite where an output is not finite.
  virtual void predict(const Images& images, const std::function<void(const Probabilities&)>& take) = 0;
  [[nodiscard]] virtual std::int64_t members() const = 0;
};

}  // namespace evaluate
