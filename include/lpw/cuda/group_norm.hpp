// primitives/group_norm.hpp on the GPU: a launch forward; backward one for dx and one for the parameters' gradients.
#pragma once

#include <lpw/cuda/base/rows.hpp>
#include <lpw/kernels/group_norm.cuh>
#include <lpw/primitives/group_norm.hpp>

namespace lpw::inline LPW_ABI {

namespace cuda::detail {

/// The launch over the groups of all samples. Throws ShapeError past 2^30 of what kernels count.
struct GroupLaunch {
  SampleGroups view;
  kernels::GroupTiling tiling;
  LaunchPlan plan;

  GroupLaunch(const Shape& shape, std::int64_t groups) : view(SampleGroups::of(shape, groups)) {
    require_countable("group_norm", "samples of all members", view.members * view.samples);
    require_countable("group_norm", "elements of a sample", view.sample_size());
    tiling = {static_cast<int>(view.members),  static_cast<int>(view.samples), static_cast<int>(view.places),
              static_cast<int>(view.channels), static_cast<int>(groups),       view.group_size() > 1024};
    plan = element_plan(tiling.items() * tiling.team());
    plan.shared_bytes = kernels::shared_bytes<float>(kernels::element_threads / 32);
  }
};

/// dgamma and dbeta, of which one may not be wanted.
template <class T>
void group_norm_parameters(const GroupNormSaved<T, Cuda>& saved, const Tensor<T, Cuda>& dy,
                           Gradient<float, Cuda>* dgamma, Gradient<float, Cuda>* dbeta, int width) {
  const auto view = SampleGroups::of(dy.shape(), saved.mean.dim(2));
  require_countable("group_norm", "rows of a member", view.samples * view.places);
  const auto plan = plan_member_rows(view.members, view.samples * view.places, view.channels, width, true);
  Tensor<float, Cuda> partial({view.members * plan.tiling.group * 2 * view.channels});
  const auto data = [](Gradient<float, Cuda>* target) { return target ? target->tensor.data() : nullptr; };
  const auto stride = [&](Gradient<float, Cuda>* target) {
    return target ? member_stride(target->tensor, view.members) : 0;
  };
  const kernels::GroupNormParameters<T> p{.x = saved.x.data(),
                                          .dy = dy.data(),
                                          .mean = saved.mean.data(),
                                          .inverse_deviation = saved.inverse_deviation.data(),
                                          .places = static_cast<int>(view.places),
                                          .group_channels = static_cast<int>(view.width()),
                                          .groups = static_cast<int>(view.groups),
                                          .dgamma = data(dgamma),
                                          .dbeta = data(dbeta),
                                          .dgamma_stride = stride(dgamma),
                                          .dbeta_stride = stride(dbeta),
                                          .add_to_dgamma = dgamma && dgamma->accumulate,
                                          .add_to_dbeta = dbeta && dbeta->accumulate,
                                          .partial = partial.data(),
                                          .arrivals = counters(static_cast<std::size_t>(plan.tiling.slabs)),
                                          .tiling = plan.tiling};
  with_width<T>(width, [&](auto n) { launch(kernels::group_norm_parameters<T, n()>, plan.launch, p); });
}

}  // namespace cuda::detail

/// Throws ShapeError past 2^30 samples, or elements of one, as both here.
template <class T>
[[nodiscard]] GroupNormResult<T, Cuda> group_norm_forward(const Tensor<T, Cuda>& x, const Tensor<float, Cuda>& gamma,
                                                          const Tensor<float, Cuda>& beta, std::int64_t groups,
                                                          double epsilon) {
  const cuda::detail::GroupLaunch launch(x.shape(), groups);
  const std::int64_t members = launch.view.members;
  const Shape statistics{members, launch.view.samples, groups};
  GroupNormResult<T, Cuda> result{Tensor<T, Cuda>(x.shape()),
                                  {x, Tensor<float, Cuda>(statistics), Tensor<float, Cuda>(statistics)}};
  const kernels::GroupNormForward<T> p{.x = x.data(),
                                       .y = result.y.data(),
                                       .gamma = gamma.data(),
                                       .beta = beta.data(),
                                       .gamma_stride = cuda::member_stride(gamma, members),
                                       .beta_stride = cuda::member_stride(beta, members),
                                       .mean = result.saved.mean.data(),
                                       .inverse_deviation = result.saved.inverse_deviation.data(),
                                       .epsilon = static_cast<float>(epsilon),
                                       .tiling = launch.tiling};
  cuda::with_width<T>(vector_width<T>(launch.view.width(), {p.x, p.y}),
                      [&](auto n) { cuda::launch(kernels::group_norm_forward<T, n()>, launch.plan, p); });
  return result;
}

template <class T>
void group_norm_backward(const GroupNormSaved<T, Cuda>& saved, const Tensor<float, Cuda>& gamma,
                         const Tensor<T, Cuda>& dy, Gradient<float, Cuda>* dgamma, Gradient<float, Cuda>* dbeta,
                         Gradient<T, Cuda>* dx) {
  const cuda::detail::GroupLaunch launch(dy.shape(), saved.mean.dim(2));
  if (dgamma || dbeta)
    cuda::detail::group_norm_parameters(saved, dy, dgamma, dbeta,
                                        vector_width<T>(launch.view.width(), {saved.x.data(), dy.data()}));
  if (!dx) return;
  const kernels::GroupNormBackward<T> p{.x = saved.x.data(),
                                        .dy = dy.data(),
                                        .gamma = gamma.data(),
                                        .gamma_stride = cuda::member_stride(gamma, launch.view.members),
                                        .mean = saved.mean.data(),
                                        .inverse_deviation = saved.inverse_deviation.data(),
                                        .dx = dx->tensor.data(),
                                        .add_to_dx = dx->accumulate,
                                        .tiling = launch.tiling};
  cuda::with_width<T>(vector_width<T>(launch.view.width(), {p.x, p.dy, p.dx}),
                      [&](auto n) { cuda::launch(kernels::group_norm_backward<T, n()>, launch.plan, p); });
}

}  // namespace lpw::inline LPW_ABI
