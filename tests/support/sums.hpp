// Comparison of a primitive's sums with the same sums formed in double.
#pragma once

#include <cmath>
#include <string>
#include <vector>

#include "support/compare.hpp"

namespace lpw::test {

/// Sums of products in double, and what they may differ by.
struct Expected {
  std::vector<double> sum, magnitude;  // magnitude: the sum of the absolute values of the terms
  double terms = 1;                    // the longest sum's

  explicit Expected(std::int64_t size) : sum(size, 0.0), magnitude(size, 0.0) {}
  /// Starts from the values that a primitive is to add to, if it is.
  template <class T>
  Expected(const Tensor<T, Cpu>& start, bool accumulate) : Expected(start.size()) {
    if (!accumulate) return;
    sum = values_of(start);
    for (std::size_t i = 0; i < sum.size(); ++i) magnitude[i] = std::abs(sum[i]);
  }
  void add(std::int64_t index, double term) {
    sum[index] += term;
    magnitude[index] += std::abs(term);
  }
};

/// "" if every element agrees, else a line about the worst. A sum of n terms formed in W is off by at most n epsilon<W>
/// times the sum of their absolute values; rounding weights, an intermediate result and the result to T adds at most 2
/// epsilon<T> of it.
template <class T, class Stored>
[[nodiscard]] std::string mismatch(const Tensor<Stored, Cpu>& found, const Expected& expected) {
  const double relative = expected.terms * epsilon<Accumulate<T>>() + 2 * epsilon<T>();
  const auto allowed = [&](std::size_t i, double) { return relative * expected.magnitude[i] + 1e-300; };
  return compare(found, expected.sum, allowed).beyond(1);
}

}  // namespace lpw::test
