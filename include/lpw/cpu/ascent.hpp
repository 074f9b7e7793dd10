// primitives/ascent.hpp on the CPU.
#pragma once

#include <algorithm>
#include <cassert>
#include <cmath>
#include <limits>
#include <numeric>
#include <vector>

#include <lpw/cpu/base/parallel.hpp>
#include <lpw/primitives/ascent.hpp>

namespace lpw::inline LPW_ABI {

namespace detail {

/// |T g|^2 of `size` weights, in double: of blocks of 4096 elements first, then of the blocks, in order.
template <class W>
[[nodiscard]] double metric_square(const W* weight, const W* gradient, std::int64_t size, const Ascent& ascent) {
  constexpr std::int64_t length = 4096;
  const std::int64_t blocks = (size + length - 1) / length;
  const double slope = ascent.adaptive ? 1 : 0, offset = ascent.adaptive ? ascent.eta : 1;
  std::vector<double> partial(static_cast<std::size_t>(blocks));
  parallel_for(blocks, 4 * length, [&](std::int64_t block) {
    double sum = 0;
    const std::int64_t last = std::min(size, (block + 1) * length);
#pragma omp simd reduction(+ : sum)
    for (std::int64_t i = block * length; i < last; ++i) {
      const double scaled =
          (slope * std::abs(static_cast<double>(weight[i])) + offset) * static_cast<double>(gradient[i]);
      sum += scaled * scaled;
    }
    partial[static_cast<std::size_t>(block)] = sum;
  });
  double total = 0;
  for (const double sum : partial) total += sum;
  return total;
}

/// rho over a norm, as W; 0 where the norm is 0, or so small that W cannot hold it. NaN stays NaN.
template <class W>
[[nodiscard]] W ascent_factor(double rho, double norm) {
  const double factor = rho / norm;
  return norm == 0 || factor > double(std::numeric_limits<W>::max()) ? W(0) : static_cast<W>(factor);
}

/// |T g|^2 of the base weights, and |T g| of each member's.
template <class W>
[[nodiscard]] std::vector<double> norms_of_stores(const AscentStore<W, Cpu>& base, const AscentStore<W, Cpu>& late,
                                                  const Ascent& ascent) {
  assert(base.weight.contiguous() && base.gradient.contiguous());
  assert(late.weight.contiguous() && late.gradient.contiguous());
  const std::int64_t members = late.weight.empty() ? 0 : late.weight.dim(0);
  std::vector<double> norms{metric_square(base.weight.data(), base.gradient.data(), base.weight.size(), ascent)};
  for (std::int64_t k = 0; k < members; ++k)
    norms.push_back(
        std::sqrt(metric_square(late.weight.row(k), late.gradient.row(k), late.weight.shape().size_from(1), ascent)));
  return norms;
}

}  // namespace detail

template <class W>
[[nodiscard]] Tensor<W, Cpu> ascent_scale(const AscentStore<W, Cpu>& base, const AscentStore<W, Cpu>& late,
                                          const Ascent& ascent) {
  const auto norms = detail::norms_of_stores(base, late, ascent);
  const double sum = std::accumulate(norms.begin() + 1, norms.end(), 0.0), norm = std::sqrt(norms[0] + sum * sum);
  Tensor<W, Cpu> scale({std::ssize(norms)});
  *scale.data() = detail::ascent_factor<W>(ascent.rho, norm);
  std::transform(norms.begin() + 1, norms.end(), scale.data() + 1,
                 [&](double of_member) { return detail::ascent_factor<W>(ascent.rho * (sum / norm), of_member); });
  return scale;
}

template <class W>
[[nodiscard]] Tensor<W, Cpu> ascent_norms(const AscentStore<W, Cpu>& base, const AscentStore<W, Cpu>& late,
                                          const Ascent& ascent) {
  auto norms = detail::norms_of_stores(base, late, ascent);
  norms[0] = std::sqrt(norms[0]);
  Tensor<W, Cpu> result({std::ssize(norms)});
  std::transform(norms.begin(), norms.end(), result.data(), [](double norm) { return static_cast<W>(norm); });
  return result;
}

template <class W>
void ascend_weights(const AscentStore<W, Cpu>& store, const Tensor<W, Cpu>& scale, const Ascent& ascent) {
  const bool adaptive = ascent.adaptive;
  const W eta = static_cast<W>(ascent.eta);
  Tensor<W, Cpu> weight = store.weight, gradient = store.gradient, kept = store.kept;
  for (std::int64_t row = 0; row < weight.dim(0); ++row) {
    const W factor = scale.data()[row];
    W *const w = weight.row(row), *const g = gradient.row(row), *const before = kept.row(row);
    parallel_elements(weight.shape().size_from(1), 4, [=](std::int64_t first, std::int64_t last) {
#pragma omp simd
      for (std::int64_t i = first; i < last; ++i) {
        const W value = w[i], t = adaptive ? std::abs(value) + eta : W(1);
        before[i] = value;
        w[i] = value + factor * (t * t * g[i]);
        g[i] = W(0);
      }
    });
  }
}

}  // namespace lpw::inline LPW_ABI
