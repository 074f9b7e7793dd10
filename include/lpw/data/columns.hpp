// Columns of numbers, as tables have them, brought to mean 0 and deviation 1 by what they are among the samples that
// are trained with.
#pragma once

#include <cmath>
#include <cstdint>
#include <span>

#include <lpw/data/dataset.hpp>
#include <lpw/tensor/error.hpp>
#include <lpw/tensor/float_bits.hpp>
#include <lpw/tensor/to_size.hpp>

namespace lpw::inline LPW_ABI::data {

/// Mean and population standard deviation of every column of values [N, columns] over the samples that are named. A
/// column without variation gets stddev 1: it is centred, not divided by zero. Throws ShapeError for values that are no
/// rows of so many columns, OptionError for no samples, or one that is not there, NonFinite naming the column that
/// holds what is not finite.
[[nodiscard]] inline Normalization column_statistics(std::span<const float> values, std::int64_t columns,
                                                     std::span<const std::int64_t> samples) {
  require<ShapeError>(columns > 0 && std::ssize(values) % columns == 0, "column_statistics: ", values.size(),
                      " values are no rows of ", columns, " columns");
  require<OptionError>(!samples.empty(), "column_statistics: there are no samples to take them of");
  const std::int64_t rows = std::ssize(values) / columns;
  for (const std::int64_t i : samples)
    require<OptionError>(i >= 0 && i < rows, "column_statistics: sample ", i, " is not in [0, ", rows, ")");
  const auto count = static_cast<double>(samples.size());
  Normalization result;
  for (std::int64_t c = 0; c < columns; ++c) {
    const auto at = [&](std::int64_t i) { return static_cast<double>(values[to_size(i * columns + c)]); };
    const double first = at(samples.front());  // taken off, so that equal numbers have no deviation by rounding
    double sum = 0, squares = 0;
    for (const std::int64_t i : samples) sum += at(i) - first;
    const double mean = first + sum / count;
    for (const std::int64_t i : samples) squares += (at(i) - mean) * (at(i) - mean);
    require<NonFinite>(is_finite(squares), "column_statistics: column ", c, " holds what is not finite");
    const auto stddev = static_cast<float>(std::sqrt(squares / count));
    result.mean.push_back(static_cast<float>(mean));
    result.stddev.push_back(stddev > 0 ? stddev : 1.f);
  }
  return result;
}

/// Makes (x - mean) / stddev of every number x of values [N, columns]. Throws ShapeError for values that are no rows of
/// as many columns.
inline void standardize(std::span<float> values, const Normalization& normalization) {
  const std::size_t columns = normalization.mean.size();
  require<ShapeError>(columns > 0 && normalization.stddev.size() == columns && values.size() % columns == 0,
                      "standardize: ", values.size(), " values are no rows of ", columns, " columns");
  for (std::size_t i = 0; i < values.size(); ++i)
    values[i] = (values[i] - normalization.mean[i % columns]) / normalization.stddev[i % columns];
}

}  // namespace lpw::inline LPW_ABI::data
