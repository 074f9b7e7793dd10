// primitives/coupling.hpp on the CPU: one pass over the coordinates, all members' values of each together. Sums are in
// double.
#pragma once

#include <utility>

#include <lpw/cpu/base/parallel.hpp>
#include <lpw/primitives/coupling.hpp>

namespace lpw::inline LPW_ABI {

template <class W>
void pull_to_mean(Tensor<W, Cpu> rows, double strength) {
  const std::int64_t members = rows.dim(0), stride = rows.row_stride();
  W* const data = rows.data();
  parallel_elements(rows.shape().size_from(1), 8 * members, [=](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      const auto first = static_cast<double>(data[i]);
      double difference = 0;
      for (std::int64_t k = 1; k < members; ++k) difference += static_cast<double>(data[k * stride + i]) - first;
      const double mean = first + difference / static_cast<double>(members);
      for (std::int64_t k = 0; k < members; ++k) {
        W& weight = data[k * stride + i];
        const auto value = static_cast<double>(weight);
        weight = static_cast<W>(strength == 1 ? mean : value + strength * (mean - value));
      }
    }
  });
}

template <class W>
void pull_to_centre(Tensor<W, Cpu> rows, Tensor<W, Cpu> centre, double strength) {
  const std::int64_t members = rows.dim(0), stride = rows.row_stride();
  require<ShapeError>(centre.shape() == rows.shape().with(0, 1), "pull_to_centre: a centre ", centre.shape(),
                      " of members ", rows.shape());
  W *const data = rows.data(), *const middle = centre.data();
  parallel_elements(centre.size(), 6 * members, [=](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      const auto before = static_cast<double>(middle[i]);
      double sum = 0;
      for (std::int64_t k = 0; k < members; ++k) {
        W& weight = data[k * stride + i];
        const double difference = static_cast<double>(weight) - before;
        weight = static_cast<W>(static_cast<double>(weight) - strength * difference);
        sum += difference;
      }
      middle[i] = static_cast<W>(before + strength * sum);
    }
  });
}

template <class W>
void swap_members(Tensor<W, Cpu> rows, double share, const Philox& random) {
  const auto members = static_cast<int>(rows.dim(0));
  const std::int64_t stride = rows.row_stride();
  const auto chance = static_cast<float>(share);
  W* const data = rows.data();
  parallel_elements(rows.shape().size_from(1), 40, [=](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      PhiloxSequence numbers(random, i, members);
      if (!(Philox::to_uniform(numbers.next()) < chance)) continue;
      for (int j = members - 1; j > 0; --j)
        std::swap(data[j * stride + i], data[numbers.below(static_cast<std::uint32_t>(j + 1)) * stride + i]);
    }
  });
}

}  // namespace lpw::inline LPW_ABI
