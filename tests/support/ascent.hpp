// The ascent of sharpness-aware minimisation, written out over members and weights in double.
#pragma once

#include <cmath>
#include <vector>

#include <lpw/primitives/ascent.hpp>

#include "support/compare.hpp"

namespace lpw::test {

/// How far each weight of both stores moves: e_theta [N], and e_k of all members, one after another.
struct Perturbation {
  std::vector<double> base, late;
};

/// From the weights and gradients of both stores [1, N] and [K, P]; a store that does not ascend is left empty.
template <class W>
[[nodiscard]] Perturbation write_out_ascent(const AscentStore<W, Cpu>& base, const AscentStore<W, Cpu>& late,
                                            const Ascent& ascent) {
  const auto metric = [&](double weight) { return ascent.adaptive ? std::abs(weight) + ascent.eta : 1.0; };
  const auto square = [&](const W* weight, const W* gradient, std::int64_t size) {
    double sum = 0;
    for (std::int64_t i = 0; i < size; ++i) sum += std::pow(metric(double(weight[i])) * double(gradient[i]), 2);
    return sum;
  };
  Perturbation result;
  std::vector<double> own;
  double all = 0;
  const std::int64_t members = late.weight.empty() ? 0 : late.weight.dim(0);
  const std::int64_t length = late.weight.empty() ? 0 : late.weight.shape().size_from(1);
  for (std::int64_t k = 0; k < members; ++k) {
    own.push_back(std::sqrt(square(late.weight.row(k), late.gradient.row(k), length)));
    all += own.back();
  }
  const double norm = std::sqrt(square(base.weight.data(), base.gradient.data(), base.weight.size()) + all * all);
  const auto move = [&](std::vector<double>& to, const W* weight, const W* gradient, std::int64_t size, double factor) {
    for (std::int64_t i = 0; i < size; ++i)
      to.push_back(factor * std::pow(metric(double(weight[i])), 2) * double(gradient[i]));
  };
  move(result.base, base.weight.data(), base.gradient.data(), base.weight.size(), norm == 0 ? 0 : ascent.rho / norm);
  for (std::int64_t k = 0; k < members; ++k) {
    const double mine = own[static_cast<std::size_t>(k)];
    move(result.late, late.weight.row(k), late.gradient.row(k), length, mine == 0 ? 0 : ascent.rho * all / norm / mine);
  }
  return result;
}

}  // namespace lpw::test
