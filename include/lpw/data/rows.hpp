// Samples that are held in a tensor, chosen: what a make_batch is made of where all data lie in memory.
#pragma once

#include <algorithm>
#include <cstdint>
#include <span>

#include <lpw/tensor/error.hpp>
#include <lpw/tensor/tensor.hpp>

namespace lpw::inline LPW_ABI::data {

/// These rows of a tensor [N, ...], copied in their order: [n, ...] of n samples, of which one may come twice. Throws
/// ShapeError for a tensor without axes, OptionError for a sample that is not in [0, N).
///
///     const lpw::data::BatchLoader loader(x.dim(0), [&](auto samples, const lpw::Philox&) {
///       return std::pair(lpw::data::rows_at(x, samples), lpw::data::rows_at(labels, samples));
///     });
template <class T>
[[nodiscard]] Tensor<T, Cpu> rows_at(const Tensor<T, Cpu>& of, std::span<const std::int64_t> samples) {
  require<ShapeError>(of.shape().rank() >= 1, "rows_at: expected a tensor [N ...], got ", of.shape());
  const std::int64_t count = of.dim(0), length = of.shape().size_from(1);
  Tensor<T, Cpu> result(of.shape().with(0, std::ssize(samples)));
  for (std::int64_t j = 0; j < std::ssize(samples); ++j) {
    const std::int64_t i = samples[to_size(j)];
    require<OptionError>(i >= 0 && i < count, "rows_at: sample ", i, " is not in [0, ", count, ")");
    std::copy_n(of.row(i), length, result.row(j));
  }
  return result;
}

}  // namespace lpw::inline LPW_ABI::data
