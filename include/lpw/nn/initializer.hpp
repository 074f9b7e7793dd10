// Initial weights. Every weight has random numbers of its own, by the order in which a network's constructor asks for
// them.
#pragma once

#include <cmath>

#include <lpw/nn/parameter.hpp>

namespace lpw::inline LPW_ABI::nn {

/// Draws a network's initial weights, layer after layer in the order of its constructor.
class Initializer {
 public:
  /// From the seed of `random`, whatever its stream.
  explicit Initializer(Philox random) : random_(random.stream(Stream::weights)) {}

  /// N(0, deviation^2).
  template <class W, class D>
  [[nodiscard]] Tensor<W, D> normal(const Shape& shape, double deviation = 1) {
    return draw<W, D>(shape,
                      [deviation](const Philox& random, std::uint64_t i) { return deviation * random.normal(i); });
  }

  /// He-normal: N(0, 2 / fan_in) (He et al. 2015), fan_in the number of inputs that one output sums.
  template <class W, class D>
  [[nodiscard]] Tensor<W, D> he_normal(const Shape& shape, std::int64_t fan_in) {
    return normal<W, D>(shape, std::sqrt(2.0 / static_cast<double>(std::max<std::int64_t>(fan_in, 1))));
  }

  /// Uniform in [-bound, bound).
  template <class W, class D>
  [[nodiscard]] Tensor<W, D> uniform(const Shape& shape, double bound) {
    return draw<W, D>(shape,
                      [bound](const Philox& random, std::uint64_t i) { return bound * (2.0 * random.uniform(i) - 1); });
  }

  /// A matrix with orthonormal rows, or with orthonormal columns where there are more rows than columns, drawn
  /// uniformly among these: Gram-Schmidt on normal vectors.
  [[nodiscard]] Tensor<double, Cpu> orthogonal(std::int64_t rows, std::int64_t columns) {
    const bool tall = rows > columns;
    auto basis = normal<double, Cpu>(tall ? Shape{columns, rows} : Shape{rows, columns});
    for (std::int64_t i = 0; i < basis.dim(0); ++i) orthonormalize_row(basis, i);
    if (!tall) return basis;
    Tensor<double, Cpu> result({rows, columns});
    for (std::int64_t i = 0; i < rows; ++i)
      for (std::int64_t j = 0; j < columns; ++j) result.row(i)[j] = basis.row(j)[i];
    return result;
  }

 private:
  /// Makes row i orthogonal to those before it, twice, since the first time leaves what rounding has, and of length 1.
  static void orthonormalize_row(Tensor<double, Cpu>& basis, std::int64_t i) {
    const std::int64_t length = basis.dim(1);
    double* row = basis.row(i);
    const auto dot = [&](const double* other) {
      double sum = 0;
      for (std::int64_t j = 0; j < length; ++j) sum += row[j] * other[j];
      return sum;
    };
    for (int pass = 0; pass < 2; ++pass)
      for (std::int64_t before = 0; before < i; ++before) {
        const double along = dot(basis.row(before));
        for (std::int64_t j = 0; j < length; ++j) row[j] -= along * basis.row(before)[j];
      }
    const double norm = std::sqrt(dot(row));
    for (std::int64_t j = 0; j < length; ++j) row[j] /= norm;
  }

  template <class W, class D, class Value>
  [[nodiscard]] Tensor<W, D> draw(const Shape& shape, Value value) {
    const Philox random = random_.stream(Stream::weights, step_++);
    Tensor<W, Cpu> host(shape);
    for (std::int64_t i = 0; i < host.size(); ++i)
      host.data()[i] = static_cast<W>(value(random, static_cast<std::uint64_t>(i)));
    return to_device<D>(host);
  }

  Philox random_;
  std::uint32_t step_ = 0;
};

}  // namespace lpw::inline LPW_ABI::nn
