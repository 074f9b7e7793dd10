#include "emulator/kernel_check.hpp"

#include <lpw/kernels/rank_one.cuh>

#include <lpw/cpu/elementwise.hpp>

using namespace lpw;
using namespace lpw::test;
using kernels::widest;

TEMPLATE_TEST_CASE("the kernel scale_channels gives the CPU's bits", "[rank_one]", float, bfloat16, half) {
  for (const std::int64_t members : {1, 3, 10})
    for (const std::int64_t channels : channel_counts)
      with_widths<TestType>(channels % widest<TestType> == 0, [&](auto width) {
        for (const std::int64_t factor_rows : {std::int64_t{1}, members})
          for (const bool accumulate : {false, true}) {
            const std::int64_t rows = 600 / channels + 2;
            INFO("members " << members << " channels " << channels << " width " << width << " factor rows "
                            << factor_rows << " accumulate " << accumulate);
            const auto x = awkward_tensor<TestType>({members, rows, channels}, 1);
            const auto factor = random_parameter<float>({factor_rows, channels}, true, 2);
            auto y = random_tensor<TestType>(x.shape(), 3);
            Gradient<TestType, Cpu> expected{clone(y), accumulate};
            scale_channels_backward_data(x, factor, expected);
            const auto plan = plan_member_rows(members, rows, channels, width, false);
            const kernels::ScaleChannels<TestType> p{
                x.data(), y.data(), factor.data(), factor_rows == 1 ? 0 : factor.row_stride(), accumulate, plan.tiling};
            CHECK(same_on_any_order(
                plan.launch, [&] { kernels::scale_channels<TestType, width()>(p); }, y));
            if (accumulate) {  // the CPU's compiler may round the product first
              const auto exact = awkward_tensor<TestType>(x.shape(), 1);
              for (std::int64_t i = 0; i < y.size(); ++i)
                if (!std::isnan(float(exact.data()[i])))
                  REQUIRE(std::abs(float(y.data()[i]) - float(expected.tensor.data()[i])) <=
                          2 * epsilon<float>() + 2 * epsilon<TestType>());
            } else {
              CHECK(same_values(y, expected.tensor, Nan::equals_nan));
              CHECK(same_values(y, scale_channels_forward(x, factor), Nan::equals_nan));
            }
          }
      });
}

TEMPLATE_TEST_CASE("the kernel scale_channels_backward sums over rows, and over members for a shared factor",
                   "[rank_one]", float, bfloat16, half) {
  for (const std::int64_t members : {1, 3, 10})
    for (const std::int64_t channels : channel_counts)
      with_widths<TestType>(channels % widest<TestType> == 0, [&](auto width) {
        for (const std::int64_t factor_rows : {std::int64_t{1}, members})
          for (const bool accumulate : {false, true}) {
            if (members == 10 && channels > 17) return;
            const std::int64_t rows = 4000 / channels / members + 2;
            INFO("members " << members << " channels " << channels << " width " << width << " factor rows "
                            << factor_rows << " accumulate " << accumulate);
            const auto x = random_tensor<TestType>({members, rows, channels}, 1),
                       dy = random_tensor<TestType>(x.shape(), 2);
            const auto factor = random_parameter<float>({factor_rows, channels}, true, 3);
            auto dx = random_tensor<TestType>(x.shape(), 4);
            auto dfactor = random_parameter<float>({factor_rows, channels}, true, 5);
            Gradient<double, Cpu> expected_dx{converted<double>(dx), accumulate},
                expected{converted<double>(dfactor), accumulate};
            scale_channels_backward_data(converted<double>(dy), converted<double>(factor), expected_dx);
            scale_channels_backward_factor(converted<double>(x), converted<double>(dy), expected);

            // Five blocks for each member, so that several chunks meet; they take the items in turn, or each its own.
            auto plan = plan_member_rows(members, rows, channels, width, true, 5 * members);
            if (accumulate) {
              plan.tiling.groups = 1;
              plan.launch.grid_x = static_cast<unsigned>(plan.tiling.group);
            }
            auto partial = unwritten<float>({members * plan.tiling.group * channels});
            auto arrivals = zeros<std::int32_t, Cpu>({members * plan.tiling.slabs});
            const std::int64_t stride = factor_rows == 1 ? 0 : factor.row_stride();
            const std::int64_t dstride = factor_rows == 1 && members > 1 ? 0 : dfactor.row_stride();
            const kernels::ScaleChannelsBackward<TestType> p{x.data(),
                                                             dy.data(),
                                                             factor.data(),
                                                             dx.data(),
                                                             dfactor.data(),
                                                             stride,
                                                             dstride,
                                                             accumulate,
                                                             accumulate,
                                                             partial.data(),
                                                             reinterpret_cast<unsigned*>(arrivals.data()),
                                                             plan.tiling};
            CHECK(same_on_any_order(
                plan.launch, [&] { kernels::scale_channels_backward<TestType, width()>(p); }, dx, dfactor));
            CHECK(values_of(arrivals) == std::vector<double>(arrivals.size(), 0.0));
            CHECK(gaps_untouched(dfactor));
            CHECK(distance(dx, expected_dx.tensor) <= 2 * epsilon<float>() + epsilon<TestType>());
            // The sums' terms are below 1; roundings add up as their square root, with a wide margin.
            CHECK(distance(dfactor, expected.tensor) <= 20 * epsilon<float>() * std::sqrt(double(rows * members)));
          }
      });
}

TEST_CASE("the kernel scale_channels_backward leaves out dx where it is not wanted", "[rank_one]") {
  const auto x = random_tensor<float>({2, 50, 8}, 1), dy = random_tensor<float>({2, 50, 8}, 2);
  const auto factor = random_tensor<float>({2, 8}, 3);
  auto dfactor = unwritten<float>({2, 8});
  const auto plan = plan_member_rows(2, 50, 8, 4, true);
  auto partial = unwritten<float>({2 * plan.tiling.group * 8});
  unsigned arrivals[2] = {};
  const kernels::ScaleChannelsBackward<float> p{x.data(), dy.data(), factor.data(),  nullptr,  dfactor.data(), 8, 8,
                                                false,    false,     partial.data(), arrivals, plan.tiling};
  CHECK(same_on_any_order(
      plan.launch, [&] { kernels::scale_channels_backward<float, 4>(p); }, dfactor));
  Gradient<float, Cpu> expected{Tensor<float, Cpu>({2, 8})};
  scale_channels_backward_factor(x, dy, expected);
  CHECK(distance(dfactor, expected.tensor) <= 50 * epsilon<float>());
}

TEMPLATE_TEST_CASE("the kernel scale_channels_backward sums dy where there is no x", "[rank_one]", float, bfloat16,
                   half) {
  for (const std::int64_t channels : {5, 16})
    with_widths<TestType>(channels % widest<TestType> == 0, [&](auto width) {
      for (const std::int64_t sum_rows : {1, 3}) {
        INFO("channels " << channels << " width " << width << " rows of the sum " << sum_rows);
        const auto dy = random_tensor<TestType>({3, 200, channels}, 1);
        auto sum = unwritten<float>({sum_rows, channels});
        const auto plan = plan_member_rows(3, 200, channels, width, true, 9);
        auto partial = unwritten<float>({3 * plan.tiling.group * channels});
        auto arrivals = zeros<std::int32_t, Cpu>({3 * plan.tiling.slabs});
        kernels::ScaleChannelsBackward<TestType> p{};
        p.dy = dy.data();
        p.dfactor = sum.data();
        p.dfactor_stride = sum_rows == 1 ? 0 : channels;
        p.partial = partial.data();
        p.arrivals = reinterpret_cast<unsigned*>(arrivals.data());
        p.tiling = plan.tiling;
        CHECK(same_on_any_order(
            plan.launch, [&] { kernels::scale_channels_backward<TestType, width()>(p); }, sum));
        Gradient<double, Cpu> expected{Tensor<double, Cpu>(sum.shape())};
        scale_channels_backward_factor(full<double, Cpu>(dy.shape(), 1.0), converted<double>(dy), expected);
        CHECK(distance(sum, expected.tensor) <= 20 * epsilon<float>() * std::sqrt(600.0));  // as above
      }
    });
}
