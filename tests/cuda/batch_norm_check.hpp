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
  BatchNormCase of;
  Tensor<T, Cpu> x, residual, dy;
  Tensor<float, Cpu> gamma, beta;
  RunningStatistics<float, Cpu> running;
  BatchNormPass pass;

  explicit BatchNormOperands(const BatchNormCase& c)
      : of(c),
        x(random_tensor<T>(c.x, 1)),
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

/// The forward on the GPU, from the same operands each time.
template <class T>
struct GpuForward {
  RunningStatistics<float, Cuda> running;
  BatchNormResult<T, Cuda> result;

  explicit GpuForward(const BatchNormOperands<T>& o)
      : running{on_device(o.running.mean), on_device(o.running.variance)},
        result(batch_norm_forward(on_device(o.x), on_device(o.residual), on_device(o.gamma), on_device(o.beta), running,
                                  o.pass)) {}
};

/// Whether a launch is repeated, which must give the same bits.
enum class Runs { once, twice };

template <class T>
[[nodiscard]] Verdict same_on_device(const Tensor<T, Cuda>& found, const Tensor<T, Cuda>& expected) {
  return same_bits(to_host(found), to_host(expected));
}

template <class T>
void check_forward(const BatchNormOperands<T>& o, const CpuForward<CpuReference<T>>& cpu, Runs runs = Runs::once) {
  const GpuForward<T> gpu(o);
  const auto& expected = cpu.result.saved.by;
  const auto& found = gpu.result.saved.by;
  CHECK_FALSE(gpu.result.y.pending());
  CHECK(distance(gpu.result.y.raw, materialize(cpu.result.y)) <= batch_norm_tolerance<T>);
  CHECK(distance(found.mean, expected.mean) <= statistics_tolerance);
  CHECK(distance(found.inverse_deviation, expected.inverse_deviation) <= statistics_tolerance);
  CHECK(distance(found.scale, expected.scale) <= statistics_tolerance);
  CHECK(distance(found.shift, expected.shift) <= statistics_tolerance);
  CHECK(distance(gpu.running.mean, cpu.running.mean) <= statistics_tolerance);
  CHECK(distance(gpu.running.variance, cpu.running.variance) <= statistics_tolerance);
  CHECK(gaps_untouched(gpu.running.mean));
  CHECK(gaps_untouched(gpu.running.variance));
  CHECK(gpu.result.saved.residual.empty() == cpu.result.saved.residual.empty());
  if (runs == Runs::once) return;
  const GpuForward<T> again(o);
  CHECK(same_on_device(again.result.y.raw, gpu.result.y.raw));
  CHECK(same_on_device(again.result.saved.by.mean, found.mean));
  CHECK(same_on_device(again.result.saved.by.scale, found.scale));
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

/// Where the gradients go, with what is there before.
template <class T, class W, class D>
struct BatchNormTargets {
  Gradient<T, D> dx, dresidual;
  Gradient<W, D> dgamma, dbeta;

  void run(const BatchNormSaved<T, D>& saved, const Tensor<T, D>& dy, bool masked) {
    batch_norm_backward<T>(saved, dy, &dgamma, &dbeta, &dx, masked ? &dresidual : nullptr);
  }
};

template <class T>
[[nodiscard]] BatchNormTargets<T, float, Cpu> random_targets(const BatchNormCase& c) {
  return {{random_tensor<T>(c.x, 8), c.accumulate},
          {random_tensor<T>(c.x, 9), c.accumulate},
          {c.kind.make(c.x[0], c.x[-1], 10), c.accumulate},
          {c.kind.make(c.x[0], c.x[-1], 11), c.accumulate}};
}

template <class T>
void check_backward(const BatchNormOperands<T>& o, const CpuForward<CpuReference<T>>& forward, Runs runs = Runs::once) {
  using R = CpuReference<T>;
  using W = Accumulate<R>;
  const auto& saved = forward.result.saved;
  const auto targets = random_targets<T>(o.of);
  const auto copied = [](const auto& gradient, auto type) {
    return Gradient<decltype(type), Cpu>{converted<decltype(type)>(gradient.tensor), gradient.accumulate};
  };
  BatchNormTargets<R, W, Cpu> cpu{copied(targets.dx, R()), copied(targets.dresidual, R()), copied(targets.dgamma, W()),
                                  copied(targets.dbeta, W())};
  const auto on_gpu = [&] {
    return BatchNormTargets<T, float, Cuda>{on_device(targets.dx), on_device(targets.dresidual),
                                            on_device(targets.dgamma), on_device(targets.dbeta)};
  };
  const bool masked = o.of.residual && o.of.relu;
  cpu.run(saved, converted<R>(o.dy), masked);
  const auto gpu_saved = saved_on_device(o, saved);
  const auto dy = on_device(o.dy);
  auto gpu = on_gpu();
  gpu.run(gpu_saved, dy, masked);
  CHECK(distance(gpu.dx.tensor, cpu.dx.tensor) <= batch_norm_tolerance<T>);
  CHECK(distance(gpu.dgamma.tensor, cpu.dgamma.tensor) <= batch_norm_tolerance<float>);
  CHECK(distance(gpu.dbeta.tensor, cpu.dbeta.tensor) <= batch_norm_tolerance<float>);
  CHECK(gaps_untouched(gpu.dgamma.tensor));
  CHECK(gaps_untouched(gpu.dbeta.tensor));
  if (masked) CHECK(distance(gpu.dresidual.tensor, cpu.dresidual.tensor) <= epsilon<T>());
  if (runs == Runs::once) return;
  auto again = on_gpu();
  again.run(gpu_saved, dy, masked);
  CHECK(same_on_device(again.dx.tensor, gpu.dx.tensor));
  CHECK(same_on_device(again.dgamma.tensor, gpu.dgamma.tensor));
  CHECK(same_on_device(again.dbeta.tensor, gpu.dbeta.tensor));
}

}  // namespace lpw::test
