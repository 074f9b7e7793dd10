// primitives/batch_norm.hpp on the GPU: one launch forward (statistics, running statistics, normalisation, residual,
// ReLU) and one backward, which sum themselves what may be known. The result is stored: the convolution that reads it
// is a library's.
#pragma once

#include <lpw/cuda/base/rows.hpp>
#include <lpw/cuda/plans/batch_norm.hpp>
#include <lpw/kernels/batch_norm.cuh>
#include <lpw/primitives/batch_norm.hpp>

namespace lpw::inline LPW_ABI {

namespace cuda::detail {

/// Runs the kernel over x [K, M, C] with the plan and the memory in which its blocks meet, which `p` lacks so far.
/// `over_members`: gradients are summed over the members.
template <class Parameters>
void launch_batch_norm(void (*kernel)(Parameters), const MemberRows& view, const BatchNormWork& work, bool over_members,
                       Parameters p) {
  const auto plan = plan_batch_norm(cooperative_limits(kernel), view.members, view.rows, view.channels, work);
  Tensor<float, Cuda> sums(
      {static_cast<std::int64_t>(plan.group_sums) + (over_members ? 2 * view.members * view.channels : 0)});
  unsigned* words = counters(plan.barriers + plan.arrivals);
  p.tiling = plan.tiling;
  p.workspace = {sums.data(), over_members ? sums.data() + plan.group_sums : nullptr, words, words + plan.barriers};
  cuda::launch(kernel, plan.launch, p);
}

template <class T>
[[nodiscard]] T* target_data(Gradient<T, Cuda>* target) {
  return target ? target->tensor.data() : nullptr;
}
template <class T>
[[nodiscard]] bool target_accumulates(const Gradient<T, Cuda>* target) {
  return target && target->accumulate;
}
[[nodiscard]] inline std::int64_t target_stride(const Gradient<float, Cuda>* target, std::int64_t members) {
  return target ? member_stride(target->tensor, members) : 0;
}

/// The forward's launch, of which y may be empty: only what normalises is wanted then.
template <class T>
[[nodiscard]] Normalizer<float, Cuda> batch_norm_forward(const Tensor<T, Cuda>& x, const Tensor<T, Cuda>& residual,
                                                         Tensor<T, Cuda> y, const Tensor<float, Cuda>& gamma,
                                                         const Tensor<float, Cuda>& beta,
                                                         RunningStatistics<float, Cuda> running,
                                                         const BatchNormPass& pass) {
  const auto view = member_rows("batch_norm", x.shape());
  const auto statistic = [&] { return Tensor<float, Cuda>({view.members, view.channels}); };
  Normalizer<float, Cuda> by{statistic(), statistic(), statistic(), statistic()};
  const int width = vector_width<T>(view.channels, {x.data(), residual.data(), y.data()});
  const BatchNormWork work{.element_bytes = sizeof(T),
                           .vector = width,
                           .read_twice = pass.batch_statistics && !y.empty(),
                           .sums = pass.batch_statistics};
  const kernels::BatchNormForward<T> p{.x = x.data(),
                                       .residual = residual.data(),
                                       .y = y.data(),
                                       .gamma = gamma.data(),
                                       .beta = beta.data(),
                                       .gamma_stride = member_stride(gamma, view.members),
                                       .beta_stride = member_stride(beta, view.members),
                                       .running_mean = running.mean.data(),
                                       .running_variance = running.variance.data(),
                                       .mean_stride = running.mean.row_stride(),
                                       .variance_stride = running.variance.row_stride(),
                                       .mean = by.mean.data(),
                                       .inverse_deviation = by.inverse_deviation.data(),
                                       .scale = by.scale.data(),
                                       .shift = by.shift.data(),
                                       .epsilon = static_cast<float>(pass.epsilon),
                                       .momentum = static_cast<float>(pass.momentum),
                                       .relu = pass.relu,
                                       .batch_statistics = pass.batch_statistics,
                                       .pooled = pass.pooled,
                                       .tiling = {},
                                       .workspace = {}};
  with_width<T>(width, [&](auto n) { launch_batch_norm(kernels::batch_norm_forward<T, n()>, view, work, false, p); });
  return by;
}

}  // namespace cuda::detail

/// Throws ShapeError past 2^30 rows or channels.
template <class T>
[[nodiscard]] BatchNormResult<T, Cuda> batch_norm_forward(const Tensor<T, Cuda>& x, const Tensor<T, Cuda>& residual,
                                                          const Tensor<float, Cuda>& gamma,
                                                          const Tensor<float, Cuda>& beta,
                                                          const RunningStatistics<float, Cuda>& running,
                                                          const BatchNormPass& pass,
                                                          const Moments<float, Cuda>& /*known*/ = {}) {
  Tensor<T, Cuda> y(x.shape());
  auto by = cuda::detail::batch_norm_forward(x, residual, y, gamma, beta, running, pass);
  return {{std::move(y)},
          {x, std::move(by), pass.relu ? residual : Tensor<T, Cuda>(), pass.relu, pass.batch_statistics}};
}

/// As on the CPU: the statistics that a forward of these x alone begins with. Throws as above.
template <class T>
[[nodiscard]] Moments<float, Cuda> batch_moments(const Tensor<T, Cuda>& x) {
  const auto view = cuda::member_rows("batch_norm", x.shape());
  const Shape shape{view.members, view.channels};
  const auto unused = zeros<float, Cuda>({1, view.channels});  // gamma and beta of a map that nobody wants
  Moments<float, Cuda> moments{Tensor<float, Cuda>(shape), Tensor<float, Cuda>(shape)};
  (void)cuda::detail::batch_norm_forward<T>(x, {}, {}, unused, unused, {moments.mean, moments.variance},
                                            {.momentum = 1, .pooled = true});
  return moments;
}

namespace cuda::detail {

/// The backward's launch. `sums`: [K, 2, C] to be written, times `weight`; `known`: dx is to have these. Empty:
/// neither.
template <class T>
void batch_norm_backward(const BatchNormSaved<T, Cuda>& saved, const Tensor<T, Cuda>& dy, Gradient<float, Cuda>* dgamma,
                         Gradient<float, Cuda>* dbeta, Gradient<T, Cuda>* dx, Gradient<T, Cuda>* dresidual,
                         const Tensor<double, Cuda>& known, Tensor<double, Cuda> sums = {}, double weight = 1) {
  const auto view = member_rows("batch_norm", dy.shape());
  const std::int64_t dgamma_stride = target_stride(dgamma, view.members),
                     dbeta_stride = target_stride(dbeta, view.members);
  const Tensor<T, Cuda> residual = saved.relu ? saved.residual : Tensor<T, Cuda>();
  const int width = vector_width<T>(
      view.channels, {saved.x.data(), dy.data(), residual.data(), target_data(dx), target_data(dresidual)});
  const BatchNormWork work{.element_bytes = sizeof(T), .vector = width, .read_twice = 2};
  const bool over_members = (dgamma && dgamma_stride == 0) || (dbeta && dbeta_stride == 0);
  const kernels::BatchNormBackward<T> p{.x = saved.x.data(),
                                        .dy = dy.data(),
                                        .residual = residual.data(),
                                        .mean = saved.by.mean.data(),
                                        .inverse_deviation = saved.by.inverse_deviation.data(),
                                        .scale = saved.by.scale.data(),
                                        .shift = saved.by.shift.data(),
                                        .dx = target_data(dx),
                                        .dresidual = target_data(dresidual),
                                        .dgamma = target_data(dgamma),
                                        .dbeta = target_data(dbeta),
                                        .dgamma_stride = dgamma_stride,
                                        .dbeta_stride = dbeta_stride,
                                        .add_to_dx = target_accumulates(dx),
                                        .add_to_dresidual = target_accumulates(dresidual),
                                        .add_to_dgamma = target_accumulates(dgamma),
                                        .add_to_dbeta = target_accumulates(dbeta),
                                        .relu = saved.relu,
                                        .batch_statistics = saved.batch_statistics,
                                        .sums = sums.data(),
                                        .known = known.data(),
                                        .weight = weight,
                                        .tiling = {},
                                        .workspace = {}};
  with_width<T>(width,
                [&](auto n) { launch_batch_norm(kernels::batch_norm_backward<T, n()>, view, work, over_members, p); });
}

}  // namespace cuda::detail

/// Throws as above.
template <class T>
void batch_norm_backward(const BatchNormSaved<T, Cuda>& saved, const Tensor<T, Cuda>& dy, Gradient<float, Cuda>* dgamma,
                         Gradient<float, Cuda>* dbeta, Gradient<T, Cuda>* dx, Gradient<T, Cuda>* dresidual,
                         const Tensor<double, Cuda>& known = {}) {
  cuda::detail::batch_norm_backward(saved, dy, dgamma, dbeta, dx, dresidual, known);
}

/// One launch, which sums what may be known. Throws as above.
template <class T>
[[nodiscard]] Tensor<double, Cuda> batch_norm_part_sums(const BatchNormSaved<T, Cuda>& saved, const Tensor<T, Cuda>& dy,
                                                        Gradient<float, Cuda>* dgamma, Gradient<float, Cuda>* dbeta,
                                                        double weight, const Tensor<double, Cuda>& /*known*/ = {}) {
  const auto view = cuda::member_rows("batch_norm", dy.shape());
  Tensor<double, Cuda> sums({view.members, 2, view.channels});
  cuda::detail::batch_norm_backward<T>(saved, dy, dgamma, dbeta, nullptr, nullptr, {}, sums, weight);
  return sums;
}

}  // namespace lpw::inline LPW_ABI
