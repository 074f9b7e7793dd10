// What the scores are made of, whatever element type and device compute it.
#pragma once

#include <cstdint>
#include <functional>

#include <lpw/data/dataset.hpp>
#include <lpw/tensor/tensor.hpp>

namespace evaluate {

/// What K members predict for B images, and the ensemble: the mean of their probabilities.
struct Predictions {
  const lpw::Tensor<double, lpw::Cpu>& members;   // [K, B, classes]
  const lpw::Tensor<double, lpw::Cpu>& ensemble;  // [B, classes]
  const lpw::Tensor<std::int32_t, lpw::Cpu>& labels;
};

class Predictor {
 public:
  virtual ~Predictor() = default;
  /// Predicts for all images of a set, some at a time in their order. Throws NonFinite where an output is not finite.
  virtual void predict(const lpw::data::ImageSet& set, const std::function<void(const Predictions&)>& take) = 0;
  [[nodiscard]] virtual std::int64_t members() const = 0;
};

}  // namespace evaluate
