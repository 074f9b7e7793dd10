// Batch norm's kernels on the emulator: operands in vectors of their exact size, so that AddressSanitizer guards their
// ends, outputs that start as NaN, and the launches as the plan wants them.
#pragma once

#include "emulator/emulator.hpp"

#include <lpw/cuda/plans/batch_norm.hpp>
#include <lpw/kernels/batch_norm.cuh>
#include <lpw/tensor/philox.hpp>

#include <limits>
#include <vector>

namespace lpw::test {

/// Options of a case beyond its shape.
struct BatchNormCase {
  int members, rows, channels;
  bool residual = false, relu = false, member_parameters = false, accumulate = false, batch_statistics = true;
  float mean = 0.5f, deviation = 2.f;  // of x
  bool pooled = false;
};

inline constexpr float nan = std::numeric_limits<float>::quiet_NaN();

template <class T>
[[nodiscard]] std::vector<T> random_vector(std::size_t size, std::uint32_t key, float mean, float spread) {
  std::vector<T> values(size);
  const Philox random(2021, Stream::test, key);
  for (std::size_t i = 0; i < size; ++i) values[i] = T(mean + spread * (2 * random.uniform(i) - 1));
  return values;
}

template <class T>
struct BatchNormOperands {
  BatchNormCase of;
  std::size_t size, parameters, statistics;  // elements of x, of gamma, and of [K, C]
  std::vector<T> x, residual, dy, y, dx, dresidual;
  std::vector<float> gamma, beta, running_mean, running_variance, mean, inverse_deviation, scale, shift, dgamma, dbeta;

  explicit BatchNormOperands(const BatchNormCase& c)
      : of(c),
        size(std::size_t(c.members) * c.rows * c.channels),
        parameters(std::size_t(c.member_parameters ? c.members : 1) * c.channels),
        statistics(std::size_t(c.members) * c.channels),
        x(random_vector<T>(size, 1, c.mean, c.deviation)),
        residual(c.residual ? random_vector<T>(size, 2, 0, 1) : std::vector<T>()),
        dy(random_vector<T>(size, 3, 0.25f, 1)),
        y(size, T(nan)),
        dx(c.accumulate ? random_vector<T>(size, 4, 0, 1) : std::vector<T>(size, T(nan))),
        dresidual(c.accumulate ? random_vector<T>(size, 5, 0, 1) : std::vector<T>(size, T(nan))),
        gamma(random_vector<float>(parameters, 6, 1, 0.5f)),
        beta(random_vector<float>(parameters, 7, 0, 0.5f)),
        running_mean(random_vector<float>(statistics, 8, c.mean, 1)),
        running_variance(random_vector<float>(statistics, 9, 2, 1)),
        mean(statistics, nan),
        inverse_deviation(statistics, nan),
        scale(statistics, nan),
        shift(statistics, nan),
        dgamma(c.accumulate ? random_vector<float>(parameters, 10, 0, 1) : std::vector<float>(parameters, nan)),
        dbeta(c.accumulate ? random_vector<float>(parameters, 11, 0, 1) : std::vector<float>(parameters, nan)) {}

  [[nodiscard]] int vector() const { return of.channels % kernels::widest<T> == 0 ? kernels::widest<T> : 1; }
  [[nodiscard]] std::int64_t member_stride() const { return of.member_parameters || of.members == 1 ? of.channels : 0; }
};

/// The workspace of a plan. Its sums start as NaN; it can serve one launch after another, since the kernels leave the
/// counters at rest.
struct Workspace {
  std::vector<float> group_sums, member_sums;
  std::vector<unsigned> barriers, arrivals;

  Workspace(const BatchNormPlan& plan, std::size_t member_floats)
      : group_sums(plan.group_sums, nan),
        member_sums(member_floats, nan),
        barriers(plan.barriers),
        arrivals(plan.arrivals) {}
  [[nodiscard]] kernels::MemberWorkspace view() {
    return {group_sums.data(), member_sums.empty() ? nullptr : member_sums.data(), barriers.data(), arrivals.data()};
  }
};

[[nodiscard]] inline emulator::LaunchOptions launch_options(const BatchNormPlan& plan, const GpuLimits& gpu,
                                                            std::uint64_t seed) {
  return {.grid = plan.launch.grid_x,
          .block = LaunchPlan::block,
          .shared_bytes = plan.launch.shared_bytes,
          .seed = seed,
          .cooperative = plan.launch.cooperative,
          .resident_blocks = static_cast<unsigned>(gpu.multiprocessors * gpu.resident_blocks)};
}

template <class T>
[[nodiscard]] BatchNormPlan forward_plan(const BatchNormOperands<T>& o, const GpuLimits& gpu,
                                         const BatchNormTuning& tuning) {
  return plan_batch_norm(gpu, o.of.members, o.of.rows, o.of.channels,
                         {.element_bytes = sizeof(T),
                          .vector = o.vector(),
                          .read_twice = o.of.batch_statistics,
                          .sums = o.of.batch_statistics},
                         tuning);
}

template <class T>
[[nodiscard]] BatchNormPlan backward_plan(const BatchNormOperands<T>& o, const GpuLimits& gpu,
                                          const BatchNormTuning& tuning) {
  return plan_batch_norm(gpu, o.of.members, o.of.rows, o.of.channels,
                         {.element_bytes = sizeof(T), .vector = o.vector(), .read_twice = 2}, tuning);
}

template <class T>
[[nodiscard]] kernels::BatchNormForward<T> forward_parameters(BatchNormOperands<T>& o, const BatchNormPlan& plan,
                                                              Workspace& workspace) {
  return {.x = o.x.data(),
          .residual = o.of.residual ? o.residual.data() : nullptr,
          .y = o.y.data(),
          .gamma = o.gamma.data(),
          .beta = o.beta.data(),
          .gamma_stride = o.member_stride(),
          .beta_stride = o.member_stride(),
          .running_mean = o.running_mean.data(),
          .running_variance = o.running_variance.data(),
          .mean_stride = o.of.channels,
          .variance_stride = o.of.channels,
          .mean = o.mean.data(),
          .inverse_deviation = o.inverse_deviation.data(),
          .scale = o.scale.data(),
          .shift = o.shift.data(),
          .epsilon = 1e-5f,
          .momentum = 0.1f,
          .relu = o.of.relu,
          .batch_statistics = o.of.batch_statistics,
          .pooled = o.of.pooled,
          .tiling = plan.tiling,
          .workspace = workspace.view()};
}

template <class T>
[[nodiscard]] kernels::BatchNormBackward<T> backward_parameters(BatchNormOperands<T>& o, const BatchNormPlan& plan,
                                                                Workspace& workspace) {
  return {.x = o.x.data(),
          .dy = o.dy.data(),
          .residual = o.of.residual && o.of.relu ? o.residual.data() : nullptr,
          .mean = o.mean.data(),
          .inverse_deviation = o.inverse_deviation.data(),
          .scale = o.scale.data(),
          .shift = o.shift.data(),
          .dx = o.dx.data(),
          .dresidual = o.of.residual ? o.dresidual.data() : nullptr,
          .dgamma = o.dgamma.data(),
          .dbeta = o.dbeta.data(),
          .dgamma_stride = o.member_stride(),
          .dbeta_stride = o.member_stride(),
          .add_to_dx = o.of.accumulate,
          .add_to_dresidual = o.of.accumulate,
          .add_to_dgamma = o.of.accumulate,
          .add_to_dbeta = o.of.accumulate,
          .relu = o.of.relu,
          .batch_statistics = o.of.batch_statistics,
          .sums = nullptr,
          .known = nullptr,
          .weight = 1,
          .tiling = plan.tiling,
          .workspace = workspace.view()};
}

template <class T>
void launch(const kernels::BatchNormForward<T>& p, const emulator::LaunchOptions& options) {
  if (p.tiling.vector == 1) return emulator::emulate(options, [&] { kernels::batch_norm_forward<T, 1>(p); });
  emulator::emulate(options, [&] { kernels::batch_norm_forward<T, kernels::widest<T>>(p); });
}

template <class T>
void launch(const kernels::BatchNormBackward<T>& p, const emulator::LaunchOptions& options) {
  if (p.tiling.vector == 1) return emulator::emulate(options, [&] { kernels::batch_norm_backward<T, 1>(p); });
  emulator::emulate(options, [&] { kernels::batch_norm_backward<T, kernels::widest<T>>(p); });
}

template <class T>
void run_forward(BatchNormOperands<T>& o, const BatchNormPlan& plan, const GpuLimits& gpu, std::uint64_t seed) {
  Workspace workspace(plan, 0);
  launch(forward_parameters(o, plan, workspace), launch_options(plan, gpu, seed));
}

template <class T>
void run_backward(BatchNormOperands<T>& o, const BatchNormPlan& plan, const GpuLimits& gpu, std::uint64_t seed) {
  Workspace workspace(plan, o.member_stride() ? 0 : 2 * o.statistics);
  launch(backward_parameters(o, plan, workspace), launch_options(plan, gpu, seed));
}

}  // namespace lpw::test
