// Probabilities and labels for the tests of metrics.
#pragma once

#include <cmath>
#include <cstdint>
#include <vector>

#include <lpw/metrics/probabilities.hpp>
#include <lpw/tensor/philox.hpp>

#include "support/compare.hpp"
#include "support/random.hpp"

template <class T>
lpw::Tensor<T, lpw::Cpu> tensor(const lpw::Shape& shape, const std::vector<T>& values) {
  return lpw::tensor_of<T>(shape, values);
}

/// Softmax of normal logits [samples, classes], spread so that confidences fill the range from 1/classes to 1.
inline lpw::Tensor<double, lpw::Cpu> random_probabilities(std::int64_t samples, std::int64_t classes) {
  const lpw::Philox random(7, lpw::Stream::test);
  const auto columns = static_cast<std::uint64_t>(classes);
  return lpw::metrics::softmax_rows(lpw::test::drawn<double>({samples, classes}, [&](std::uint64_t i) {
    return random.normal(i) * static_cast<double>(1 + i / columns % 5);
  }));
}

inline lpw::Tensor<std::int32_t, lpw::Cpu> random_labels(std::int64_t samples, std::int64_t classes) {
  return lpw::test::random_indices({samples}, classes, lpw::Philox(8, lpw::Stream::test));
}

/// What sums of a few hundred terms of order 1 in double, taken in another order, differ by less than.
inline constexpr double sum_tolerance = 1e-12;

using lpw::test::difference;
