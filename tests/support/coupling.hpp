// What couplings compute, written out over members and coordinates: what the tests of primitives, kernels and whole
// couplings are held to.
#pragma once

#include <cstdint>
#include <utility>
#include <vector>

#include <lpw/tensor/philox.hpp>
#include <lpw/tensor/tensor.hpp>

namespace lpw::test {

/// phi_k <- phi_k + alpha (mean - phi_k), for rows [K, ...] in double.
inline void write_out_pull(Tensor<double, Cpu>& rows, double alpha) {
  const std::int64_t members = rows.dim(0);
  for (std::int64_t i = 0; i < rows.shape().size_from(1); ++i) {
    double mean = 0;
    for (std::int64_t k = 0; k < members; ++k) mean += rows.row(k)[i] / static_cast<double>(members);
    for (std::int64_t k = 0; k < members; ++k) rows.row(k)[i] = (1 - alpha) * rows.row(k)[i] + alpha * mean;
  }
}

/// phi_k <- phi_k - rho (phi_k - c), c <- c + rho sum_k (phi_k - c).
inline void write_out_elastic(Tensor<double, Cpu>& rows, Tensor<double, Cpu>& centre, double rho) {
  for (std::int64_t i = 0; i < centre.size(); ++i) {
    const double before = centre.data()[i];
    for (std::int64_t k = 0; k < rows.dim(0); ++k) {
      double& weight = rows.row(k)[i];
      centre.data()[i] += rho * (weight - before);
      weight -= rho * (weight - before);
    }
  }
}

/// For each coordinate, which member's value each member has afterwards, by Fisher and Yates with the words of Philox.
[[nodiscard]] inline std::vector<std::vector<std::size_t>> write_out_swaps(std::int64_t members, std::int64_t length,
                                                                           double share, const Philox& random) {
  const auto count = static_cast<std::uint64_t>(members);
  std::vector<std::vector<std::size_t>> result;
  for (std::int64_t i = 0; i < length; ++i) {
    std::vector<std::size_t> from(count);
    for (std::size_t k = 0; k < count; ++k) from[k] = k;
    const auto number = [&](std::uint64_t n) -> std::uint64_t {
      return random(static_cast<std::uint64_t>(i) * ((count + 3) / 4) + n / 4)[n % 4];
    };
    if (static_cast<double>(number(0) >> 8) * 0x1p-24 < static_cast<double>(static_cast<float>(share)))
      for (std::uint64_t n = 1; n < count; ++n) {
        const std::uint64_t one = count - n, other = (number(n) * (one + 1)) >> 32;
        std::swap(from[one], from[other]);
      }
    result.push_back(std::move(from));
  }
  return result;
}

/// rows after these swaps.
template <class W>
[[nodiscard]] Tensor<W, Cpu> swapped(const Tensor<W, Cpu>& rows, double share, const Philox& random) {
  Tensor<W, Cpu> result(rows.shape());
  const std::int64_t length = rows.shape().size_from(1);
  const auto swaps = write_out_swaps(rows.dim(0), length, share, random);
  for (std::int64_t i = 0; i < length; ++i)
    for (std::int64_t k = 0; k < rows.dim(0); ++k)
      result.row(k)[i] =
          rows.row(static_cast<std::int64_t>(swaps[static_cast<std::size_t>(i)][static_cast<std::size_t>(k)]))[i];
  return result;
}

}  // namespace lpw::test
