// Labels as probabilities, for losses that compare outputs with numbers, and for mixing.
#pragma once

#include <concepts>
#include <cstdint>

#include <lpw/tensor/error.hpp>
#include <lpw/tensor/tensor.hpp>

namespace lpw::inline LPW_ABI::data {

/// One-hot labels: labels [...] as [..., classes], 1 for the class that is the label, 0 for the others. Throws
/// ShapeError for labels of six axes, OptionError for less than one class, Error for a label that is not in [0,
/// classes).
template <Real T = float>
[[nodiscard]] Tensor<T, Cpu> one_hot(const Tensor<std::int32_t, Cpu>& labels, std::int64_t classes) {
  require<OptionError>(classes >= 1, "one_hot: ", classes, " classes; expected at least one");
  require<ShapeError>(labels.shape().rank() < Shape::max_rank, "one_hot: labels ", labels.shape(),
                      " leave no axis for the classes");
  Shape shape = labels.shape();
  shape.append(classes);
  auto result = zeros<T, Cpu>(shape);
  for (std::int64_t i = 0; i < labels.size(); ++i) {
    const std::int32_t label = labels.data()[i];
    require(label >= 0 && label < classes, "one_hot: label ", label, " at ", i, " is not in [0, ", classes, ")");
    result.data()[i * classes + label] = T(1.f);
  }
  return result;
}

/// As above.
template <Real T = float, std::integral I>
Tensor<T, Cpu> one_hot(const Tensor<I, Cpu>&, std::int64_t) {
  require_int32<I>();
  return {};
}

}  // namespace lpw::inline LPW_ABI::data
