// What the tests of the CPU's primitives share: random operands, both engines, and comparison with a sum formed in double.
#pragma once

#include <cmath>
#include <string>
#include <utility>
#include <vector>

#include <lpw/cpu/base/engine.hpp>
#if LPW_WITH_ONEDNN
#include <lpw/cpu/onednn/plan.hpp>
#endif
#include <lpw/tensor/philox.hpp>

#include "catch.hpp"

namespace lpw::test {

/// Values uniform in [-1, 1).
template <class T>
[[nodiscard]] Tensor<T, Cpu> random_tensor(const Shape& shape, std::uint32_t key) {
  Tensor<T, Cpu> tensor(shape);
  const Philox random(2021, Stream::test, key);
  for (std::int64_t i = 0; i < tensor.size(); ++i) tensor.data()[i] = T(2 * random.uniform(i) - 1);
  return tensor;
}

/// A parameter [rows, ...]: contiguous, or, as in the late-phase store, columns of a wider matrix whose other elements are 77.
template <class T>
[[nodiscard]] Tensor<T, Cpu> random_parameter(const Shape& shape, bool strided, std::uint32_t key) {
  Tensor<T, Cpu> values = random_tensor<T>(shape, key);
  if (!strided) return values;
  const std::int64_t length = shape.size_from(1);
  Tensor<T, Cpu> store = full<T, Cpu>({shape[0], length + 5}, T(77));
  Tensor<T, Cpu> view = store.columns(3, shape.slice(1, shape.rank()));
  copy(values, view);
  return view;
}

/// True if the elements between the rows of a strided parameter still hold 77.
template <class T>
[[nodiscard]] bool gaps_untouched(const Tensor<T, Cpu>& parameter) {
  for (std::int64_t row = 0; row + 1 < parameter.dim(0); ++row)
    for (std::int64_t i = parameter.shape().size_from(1); i < parameter.row_stride(); ++i)
      if (parameter.row(row)[i] != T(77)) return false;
  return true;
}

/// The elements in row-major order as double.
template <class T>
[[nodiscard]] std::vector<double> values_of(const Tensor<T, Cpu>& tensor) {
  const Tensor<T, Cpu> packed = clone(tensor);
  return {packed.data(), packed.data() + packed.size()};
}

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

/// "" if every element agrees, else a line about the worst. A sum of n terms formed in W is off by at most n epsilon<W> times the sum of
/// their absolute values; rounding weights, an intermediate result and the result to T adds at most 2 epsilon<T> of it.
template <class T, class Stored>
[[nodiscard]] std::string mismatch(const Tensor<Stored, Cpu>& found, const Expected& expected) {
  const auto values = values_of(found);
  if (values.size() != expected.sum.size()) return to_text(values.size(), " elements, expected ", expected.sum.size());
  const double relative = expected.terms * epsilon<Accumulate<T>>() + 2 * epsilon<T>();
  double worst = 1;
  std::string report;
  for (std::size_t i = 0; i < values.size(); ++i) {
    const double error = std::abs(values[i] - expected.sum[i]), allowed = relative * expected.magnitude[i] + 1e-300;
    if (error / allowed <= worst) continue;  // false for NaN
    report = to_text("element ", i, ": found ", values[i], ", expected ", expected.sum[i], " +- ", allowed);
    if (std::isnan(error)) break;
    worst = error / allowed;
  }
  return report;
}

/// Convolutions go the given way until the end of the scope.
class ConvolutionScope {
 public:
  explicit ConvolutionScope(Convolution algorithm) : before_(std::exchange(convolution(), algorithm)) {}
  ConvolutionScope(const ConvolutionScope&) = delete;
  ConvolutionScope& operator=(const ConvolutionScope&) = delete;
  ~ConvolutionScope() { convolution() = before_; }

 private:
  Convolution before_;
};

/// Runs `body` with each engine that is compiled in, oneDNN with products of bfloat16 and with those of widened floats, and restores both.
template <class Body>
void with_each_engine(Body&& body) {
  const CpuEngine before = std::exchange(cpu_engine(), CpuEngine::eigen);
  {
    INFO("engine Eigen");
    body();
  }
#if LPW_WITH_ONEDNN
  cpu_engine() = CpuEngine::onednn;
  const bool fast = onednn::bfloat16_is_fast();
  for (const bool choice : {true, false}) {
    onednn::bfloat16_is_fast() = choice;
    INFO("engine oneDNN, bfloat16 " << (choice ? "as it is" : "widened"));
    body();
  }
  onednn::bfloat16_is_fast() = fast;
#endif
  cpu_engine() = before;
}

}  // namespace lpw::test
