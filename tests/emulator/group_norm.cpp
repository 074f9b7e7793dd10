// Group norm's kernels under several orders of threads. tests/cuda/group_norm.cpp holds their values against the CPU's.
#include "emulator/kernel_check.hpp"

#include <lpw/kernels/group_norm.cuh>

#include <lpw/cpu/group_norm.hpp>

using namespace lpw;
using namespace lpw::test;

TEMPLATE_TEST_CASE("the kernels of group norm give results and gradients", "[group_norm]", float, bfloat16) {
  struct Size {
    std::int64_t members, samples, places, channels, groups;
  };
  for (const Size& size : {Size{1, 9, 1, 5, 1}, Size{3, 20, 1, 64, 1}, Size{2, 3, 7, 48, 3}, Size{2, 2, 300, 8, 1}})
    with_widths<TestType>(size.channels / size.groups % kernels::widest<TestType> == 0, [&](auto width) {
      const auto [members, samples, places, channels, groups] = size;
      INFO("members " << members << " samples " << samples << " places " << places << " channels " << channels
                      << " groups " << groups << " width " << width);
      const Shape shape{members, samples, places, channels}, statistics{members, samples, groups};
      const auto x = random_tensor<TestType>(shape, 1), dy = random_tensor<TestType>(shape, 2);
      const auto gamma = random_tensor<float>({members, channels}, 3), beta = random_tensor<float>({1, channels}, 4);
      const kernels::GroupTiling tiling{int(members),  int(samples), int(places),
                                        int(channels), int(groups),  places * channels / groups > 1024};
      auto plan = small_plan(tiling.items() * tiling.team());
      plan.shared_bytes = kernels::shared_bytes<float>(kernels::element_threads / 32);

      auto y = unwritten<TestType>(shape), dx = unwritten<TestType>(shape);
      auto mean = unwritten<float>(statistics), inverse = unwritten<float>(statistics);
      const kernels::GroupNormForward<TestType> forward{x.data(), y.data(),    gamma.data(),   beta.data(), channels,
                                                        0,        mean.data(), inverse.data(), 1e-2f,       tiling};
      CHECK(same_on_any_order(
          plan, [&] { kernels::group_norm_forward<TestType, width()>(forward); }, y, mean, inverse));
      const kernels::GroupNormBackward<TestType> backward{
          x.data(), dy.data(), gamma.data(), channels, mean.data(), inverse.data(), dx.data(), false, tiling};
      CHECK(same_on_any_order(
          plan, [&] { kernels::group_norm_backward<TestType, width()>(backward); }, dx));

      const auto rows = plan_member_rows(members, samples * places, channels, width, true, 5 * members);
      auto dgamma = unwritten<float>({members, channels}), dbeta = unwritten<float>({1, channels}),
           partial = unwritten<float>({members * rows.tiling.group * 2 * channels});
      auto arrivals = zeros<std::int32_t, Cpu>({rows.tiling.slabs});
      const kernels::GroupNormParameters<TestType> parameters{.x = x.data(),
                                                              .dy = dy.data(),
                                                              .mean = mean.data(),
                                                              .inverse_deviation = inverse.data(),
                                                              .places = int(places),
                                                              .group_channels = int(channels / groups),
                                                              .groups = int(groups),
                                                              .dgamma = dgamma.data(),
                                                              .dbeta = dbeta.data(),
                                                              .dgamma_stride = channels,
                                                              .dbeta_stride = 0,
                                                              .add_to_dgamma = false,
                                                              .add_to_dbeta = false,
                                                              .partial = partial.data(),
                                                              .arrivals = reinterpret_cast<unsigned*>(arrivals.data()),
                                                              .tiling = rows.tiling};
      CHECK(same_on_any_order(
          rows.launch, [&] { kernels::group_norm_parameters<TestType, width()>(parameters); }, dgamma, dbeta,
          arrivals));
      CHECK(largest_magnitude(arrivals) == 0);

      const auto scale = converted<double>(gamma);
      const auto expected =
          group_norm_forward(converted<double>(x), scale, converted<double>(beta), groups, double(1e-2f));
      Gradient<double, Cpu> expected_dx{Tensor<double, Cpu>(shape)}, expected_dgamma{converted<double>(dgamma)},
          expected_dbeta{converted<double>(dbeta)};
      group_norm_backward(expected.saved, scale, converted<double>(dy), &expected_dgamma, &expected_dbeta,
                          &expected_dx);
      // Some twenty roundings, and sums of up to 1200 terms in float, which add up as their square root.
      const double tolerance = 60 * epsilon<float>();
      CHECK(distance(y, expected.y) <= tolerance + epsilon<TestType>());
      CHECK(distance(dx, expected_dx.tensor) <= tolerance + epsilon<TestType>());
      CHECK(distance(dgamma, expected_dgamma.tensor) <= tolerance);
      CHECK(distance(dbeta, expected_dbeta.tensor) <= tolerance);
    });
}
