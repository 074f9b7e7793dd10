#include "emulator/kernel_check.hpp"

#include <lpw/kernels/pooling.cuh>

#include <lpw/cpu/pooling.hpp>

using namespace lpw;
using namespace lpw::test;
using kernels::widest;

namespace {

constexpr PoolOptions pools[] = {{},
                                 {.kernel_size = 3, .stride = 2, .padding = 1},
                                 {.kernel_size = 3, .stride = 1, .padding = 1},
                                 {.kernel_size = 2, .stride = 3},
                                 {.kernel_size = 5, .stride = 2, .padding = 2},
                                 {.kernel_size = {2, 3}, .stride = {1, 2}, .padding = {1, 0}},
                                 {.kernel_size = {3, 2}, .stride = 2, .padding = {1, 0}, .ceil_mode = true},
                                 {.kernel_size = 2, .stride = 3, .padding = 1, .ceil_mode = true}};
constexpr std::int64_t image_channels[] = {1, 3, 5, 17, 64};

[[nodiscard]] kernels::PoolGeometry geometry_of(const Shape& x, const Shape& y, const PoolOptions& options) {
  return {x[0] * x[1],
          int(x[2]),
          int(x[3]),
          int(x[4]),
          int(y[2]),
          int(y[3]),
          int(options.kernel_size.height),
          int(options.kernel_size.width),
          int(options.step().height),
          int(options.step().width),
          int(options.padding.height),
          int(options.padding.width)};
}

/// Few different values, so that ties are common, and some NaN.
template <class T>
[[nodiscard]] Tensor<T, Cpu> tied_tensor(const Shape& shape) {
  auto x = random_tensor<T>(shape, 1);
  for (std::int64_t i = 0; i < x.size(); ++i)
    x.data()[i] = i % 29 == 11 ? T(std::nanf("")) : T(std::round(3 * float(x.data()[i])));
  return x;
}

}  // namespace

TEMPLATE_TEST_CASE("the kernels of max pooling give the CPU's winners and the CPU's sums", "[pooling]", float, bfloat16,
                   half) {
  for (const std::int64_t members : {1, 3})
    for (const std::int64_t channels : image_channels)
      for (const auto& options : pools)
        with_widths<TestType>(channels % widest<TestType> == 0, [&](auto width) {
          if (members > 1 && channels > 5) return;
          INFO("members " << members << " channels " << channels << " width " << width << " kernel "
                          << options.kernel_size << " stride " << options.stride);
          const auto x = tied_tensor<TestType>({members, 2, 7, 5, channels});
          const auto expected = lpw::max_pool2d_forward(x, options);
          auto y = unwritten<TestType>(expected.y.shape());
          auto winner = unwritten<std::int32_t>(y.shape());
          const auto geometry = geometry_of(x.shape(), y.shape(), options);
          const kernels::MaxPoolForward<TestType> forward{x.data(), y.data(), winner.data(), geometry};
          CHECK(same_on_any_order(
              small_plan(y.size() / geometry.images / width, geometry.images),
              [&] { kernels::max_pool2d_forward<TestType, width()>(forward); }, y, winner));
          CHECK(same_values(y, expected.y, Nan::equals_nan));
          CHECK(same_values(winner, expected.winner, Nan::equals_nan));

          const auto dy = random_tensor<TestType>(y.shape(), 2);
          for (const bool accumulate : {false, true}) {
            auto dx = random_tensor<TestType>(x.shape(), 3);
            Gradient<TestType, Cpu> sums{clone(dx), accumulate};
            lpw::max_pool2d_backward(winner, dy, options, sums);
            const kernels::MaxPoolBackward<TestType> backward{winner.data(), dy.data(), dx.data(), accumulate,
                                                              geometry};
            CHECK(same_on_any_order(
                small_plan(dx.size() / geometry.images / width, 2),
                [&] { kernels::max_pool2d_backward<TestType, width()>(backward); }, dx));
            CHECK(same_values(dx, sums.tensor, Nan::equals_nan));
          }
        });
}

TEST_CASE("the kernel of max pooling sums many windows with one winner in runs") {
  auto x = full<float, Cpu>({1, 1, 47, 47, 1}, 0.f);
  x.data()[23 * 47 + 23] = 1;  // is in each of the 24 x 24 windows
  const PoolOptions options{.kernel_size = 24, .stride = 1};
  const auto pooled = lpw::max_pool2d_forward(x, options);
  const auto dy = full<float, Cpu>(pooled.y.shape(), 0.1f);
  auto dx = unwritten<float>(x.shape());
  Gradient<float, Cpu> expected{Tensor<float, Cpu>(x.shape())};
  lpw::max_pool2d_backward(pooled.winner, dy, options, expected);
  const kernels::MaxPoolBackward<float> backward{pooled.winner.data(), dy.data(), dx.data(), false,
                                                 geometry_of(x.shape(), pooled.y.shape(), options)};
  CHECK(same_on_any_order(
      small_plan(dx.size(), 1), [&] { kernels::max_pool2d_backward<float, 1>(backward); }, dx));
  // of 128 such terms the sum is 8 epsilon off, of 576 in float alone 45
  CHECK(relative_difference(dx, expected.tensor) <= 10 * epsilon<float>());
}

TEMPLATE_TEST_CASE("the kernels of global average pooling give the mean and spread its gradient", "[pooling]", float,
                   bfloat16, half) {
  for (const std::int64_t members : {1, 3, 10})
    for (const std::int64_t channels : channel_counts)
      for (const std::int64_t side : {1, 9})
        with_widths<TestType>(channels % widest<TestType> == 0, [&](auto width) {
          if (members > 1 && channels > 64) return;
          if (members > 3 && side > 1) return;
          INFO("members " << members << " channels " << channels << " width " << width << " side " << side);
          const Shape shape{members, 2, side, side, channels};
          const auto x = random_tensor<TestType>(shape, 1);
          auto y = unwritten<TestType>({members, 2, channels});
          auto plan = plan_member_rows(2 * members, side * side, channels, width, true, 1);
          REQUIRE(plan.tiling.group == 1);
          plan.tiling.groups = 2;  // a block takes several images
          plan.launch.grid_x = 2;
          const kernels::AveragePoolForward<TestType> forward{x.data(), y.data(), plan.tiling};
          CHECK(same_on_any_order(
              plan.launch, [&] { kernels::global_average_pool_forward<TestType, width()>(forward); }, y));
          CHECK(distance(y, lpw::global_average_pool_forward(converted<double>(x))) <=
                8 * epsilon<float>() + epsilon<TestType>());

          for (const bool accumulate : {false, true}) {
            auto dx = random_tensor<TestType>(shape, 2);
            Gradient<double, Cpu> expected{converted<double>(dx), accumulate};
            lpw::global_average_pool_backward(converted<double>(y), expected);
            const kernels::AveragePoolBackward<TestType> backward{y.data(),    dx.data(),        accumulate,
                                                                  2 * members, int(side * side), int(channels)};
            CHECK(same_on_any_order(
                small_plan(side * side * channels / width, 2 * members),
                [&] { kernels::global_average_pool_backward<TestType, width()>(backward); }, dx));
            CHECK(distance(dx, expected.tensor) <= 4 * epsilon<float>() + epsilon<TestType>());
          }
        });
}

TEST_CASE("the kernel of global average pooling sums a large image in runs", "[pooling]") {
  constexpr std::int64_t pixels = 4096, channels = 64;
  const auto x = full<float, Cpu>({1, 1, pixels, 1, channels}, 0.1f);
  auto y = unwritten<float>({1, 1, channels});
  const auto plan = plan_member_rows(1, pixels, channels, 1, true, 1);
  REQUIRE(pixels / plan.tiling.pass() >= 1024);  // pixels that a thread sums
  const kernels::AveragePoolForward<float> forward{x.data(), y.data(), plan.tiling};
  CHECK(same_on_any_order<1>(
      plan.launch, [&] { kernels::global_average_pool_forward<float, 1>(forward); }, y));
  // twice some eight runs of 128 equal terms, each rounded by a quarter of a unit on average; all in one: 80 epsilon
  CHECK(relative_difference(y, full<float, Cpu>(y.shape(), 0.1f)) <= 32 * epsilon<float>());
}
