// Batch norm's primitives on the GPU held to the CPU's, for any case.
#pragma once

#include "cuda/operands.hpp"

#include <lpw/autograd/batch_norm.hpp>

namespace lpw::test {

struct BatchNormCase {
  Shape x;
  ParameterKind kind;
  bool residual = false, relu = false, batch_statistics = true, accumulate = false;
  double momentum = 0.1;
};

inline std::ostream& operator<<(std::ostream& out, const BatchNormCase& c) {
  return out << "x " << c.x << ' ' << c.kind << " residual " << c.residual << " relu " << c.relu << " batch statistics "
             << c.batch_statistics << " accumulate " << c.accumulate << " momentum " << c.momentum;
}

/// Where the CPU computes: half, which it has not, is held to double.
template <class T>
using CpuReference = std::conditional_t<std::is_same_v<T, half>, double, T>;

template <class T>
struct BatchNormOperands {
  Tensor<T, Cpu> x, residual, dy;
  Tensor<float, Cpu> gamma, beta;
  RunningStatistics<float, Cpu> running;
  BatchNormPass pass;

  explicit BatchNormOperands(const BatchNormCase& c)
      : x(random_tensor<T>(c.x, 1)),
        residual(c.residual ? random_tensor<T>(c.x, 2) : Tensor<T, Cpu>()),
        dy(random_tensor<T>(c.x, 3)),
        gamma(c.kind.make(c.x[0], c.x[-1], 4)),
        beta(c.kind.make(c.x[0], c.x[-1], 5)),
        running{random_parameter<float>({c.x[0], c.x[-1]}, c.kind.strided, 6),
                random_parameter<float>({c.x[0], c.x[-1]}, c.kind.strided, 7)},
        pass{.epsilon = 0.01, .momentum = c.momentum, .relu = c.relu, .batch_statistics = c.batch_statistics} {
    for (std::int64_t k = 0; k < c.x[0]; ++k)
      for (std::int64_t i = 0; i < c.x[-1]; ++i)
        running.variance.row(k)[i] = std::abs(running.variance.row(k)[i]) + 0.5f;
    if (c.momentum == 1 && c.batch_statistics) running.mean.data()[0] = running.variance.data()[0] = std::nanf("");
  }
};

/// The CPU's result, and the running statistics afterwards.
template <class T>
struct CpuForward {
  using W = Accumulate<T>;
  RunningStatistics<W, Cpu> running;
  BatchNormResult<T, Cpu> result;

  template <class Of>
  explicit CpuForward(const BatchNormOperands<Of>& o)
      : running{converted<W>(o.running.mean), converted<W>(o.running.variance)},
        result(batch_norm_forward(converted<T>(o.x), o.residual.empty() ? Tensor<T, Cpu>() : converted<T>(o.residual),
                                  converted<W>(o.gamma), converted<W>(o.beta), running, o.pass)) {}
};

/// Numbers are below 1 and inverse deviations at most 10 = 1 / sqrt(epsilon); statistics are sums of at most a few
/// hundred terms in a thread.
constexpr double statistics_tolerance = 200 * epsilon<float>();
template <class T>
constexpr double batch_norm_tolerance = 1000 * epsilon<float>() + epsilon<T>();

/// Returns the GPU's results, so that those of several runs can be compared.
template <class T>
std::vector<std::vector<double>> check_forward(const BatchNormCase& c) {
  const BatchNormOperands<T> o(c);
  const CpuForward<CpuReference<T>> expected(o);
  const auto& by = expected.result.saved.by;
  const RunningStatistics<float, Cuda> running{on_device(o.running.mean), on_device(o.running.variance)};
  const auto found =
      batch_norm_forward(on_device(o.x), on_device(o.residual), on_device(o.gamma), on_device(o.beta), running, o.pass);
  CHECK_FALSE(found.y.pending());
  CHECK(distance(found.y.raw, materialize(expected.result.y)) <= batch_norm_tolerance<T>);
  CHECK(distance(found.saved.by.mean, by.mean) <= statistics_tolerance);
  CHECK(distance(found.saved.by.inverse_deviation, by.inverse_deviation) <= statistics_tolerance);
  CHECK(distance(found.saved.by.scale, by.scale) <= statistics_tolerance);
  CHECK(distance(found.saved.by.shift, by.shift) <= statistics_tolerance);
  CHECK(distance(running.mean, expected.running.mean) <= statistics_tolerance);
  CHECK(distance(running.variance, expected.running.variance) <= statistics_tolerance);
  CHECK(gaps_untouched(running.mean));
  CHECK(gaps_untouched(running.variance));
  CHECK(found.saved.residual.empty() == expected.result.saved.residual.empty());
  return {values_of(to_host(found.y.raw)), values_of(to_host(found.saved.by.mean)),
          values_of(to_host(found.saved.by.scale))};
}

/// What the forward on the GPU would have saved, if its statistics were the CPU's, so that ReLU's mask is the same.
template <class T>
[[nodiscard]] BatchNormSaved<T, Cuda> saved_on_device(const BatchNormOperands<T>& o,
                                                      const BatchNormSaved<CpuReference<T>, Cpu>& saved) {
  const auto statistic = [](const auto& values) { return on_device(converted<float>(values)); };
  return {on_device(o.x),
          {statistic(saved.by.mean), statistic(saved.by.inverse_deviation), statistic(saved.by.scale),
           statistic(saved.by.shift)},
          saved.relu ? on_device(o.residual) : Tensor<T, Cuda>(),
          saved.relu,
          saved.batch_statistics};
}

/// The same gradient where the CPU computes.
template <class To, class T>
[[nodiscard]] Gradient<To, Cpu> converted(const Gradient<T, Cpu>& gradient) {
  return {converted<To>(gradient.tensor), gradient.accumulate};
}

/// As check_forward.
template <class T>
std::vector<std::vector<double>> check_backward(const BatchNormCase& c) {
  using R = CpuReference<T>;
  using W = Accumulate<R>;
  const BatchNormOperands<T> o(c);
  const auto saved = CpuForward<R>(o).result.saved;
  const Gradient<T, Cpu> into_x{random_tensor<T>(c.x, 8), c.accumulate},
      into_residual{random_tensor<T>(c.x, 9), c.accumulate};
  const Gradient<float, Cpu> into_gamma{c.kind.make(c.x[0], c.x[-1], 10), c.accumulate},
      into_beta{c.kind.make(c.x[0], c.x[-1], 11), c.accumulate};
  auto dx = converted<R>(into_x), dresidual = converted<R>(into_residual);
  auto dgamma = converted<W>(into_gamma), dbeta = converted<W>(into_beta);
  auto found_dx = on_device(into_x), found_dresidual = on_device(into_residual);
  auto found_dgamma = on_device(into_gamma), found_dbeta = on_device(into_beta);
  const bool masked = c.residual && c.relu;
  batch_norm_backward<R>(saved, converted<R>(o.dy), &dgamma, &dbeta, &dx, masked ? &dresidual : nullptr);
  batch_norm_backward<T>(saved_on_device(o, saved), on_device(o.dy), &found_dgamma, &found_dbeta, &found_dx,
                         masked ? &found_dresidual : nullptr);
  CHECK(distance(found_dx.tensor, dx.tensor) <= batch_norm_tolerance<T>);
  CHECK(distance(found_dgamma.tensor, dgamma.tensor) <= batch_norm_tolerance<float>);
  CHECK(distance(found_dbeta.tensor, dbeta.tensor) <= batch_norm_tolerance<float>);
  CHECK(gaps_untouched(found_dgamma.tensor));
  CHECK(gaps_untouched(found_dbeta.tensor));
  if (masked) CHECK(distance(found_dresidual.tensor, dresidual.tensor) <= epsilon<T>());
  return {values_of(to_host(found_dx.tensor)), values_of(to_host(found_dgamma.tensor)),
          values_of(to_host(found_dbeta.tensor))};
}

}  // namespace lpw::test
