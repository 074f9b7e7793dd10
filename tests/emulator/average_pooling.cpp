#include "emulator/kernel_check.hpp"

#include <lpw/kernels/average_pooling.cuh>

#include <lpw/cpu/average_pooling.hpp>

#include "support/average_pooling.hpp"

using namespace lpw;
using namespace lpw::test;
using kernels::widest;

namespace {

[[nodiscard]] kernels::PoolAxis axis_of(const WindowAxis& axis) {
  return {int(axis.in), int(axis.out), int(axis.kernel), int(axis.stride), int(axis.padding), axis.count_padding};
}

}  // namespace

TEMPLATE_TEST_CASE("the kernels of average pooling give the CPU's means and gradients", "[pooling]", float, bfloat16,
                   half) {
  for (const std::int64_t channels : {1, 5, 64})
    for (const auto& c : average_cases(7, 5))
      with_widths<TestType>(channels % widest<TestType> == 0, [&](auto width) {
        INFO("channels " << channels << " width " << width << " to " << c.windows.height.out << 'x'
                         << c.windows.width.out);
        const auto x = random_tensor<TestType>({3, 2, 7, 5, channels}, 1);
        const auto expected = lpw::average_pool2d_forward(x, c.windows);
        auto y = unwritten<TestType>(expected.shape());
        const kernels::AveragePool2dForward<TestType> forward{
            x.data(), y.data(), 6, axis_of(c.windows.height), axis_of(c.windows.width), int(channels)};
        CHECK(same_on_any_order<3>(
            small_plan(y.size() / 6 / width, 6), [&] { kernels::average_pool2d_forward<TestType, width()>(forward); },
            y));
        CHECK(same_values(y, expected, Nan::equals_nan));

        const auto dy = random_tensor<TestType>(y.shape(), 2);
        for (const bool accumulate : {false, true}) {
          auto dx = random_tensor<TestType>(x.shape(), 3);
          Gradient<TestType, Cpu> sums{clone(dx), accumulate};
          lpw::average_pool2d_backward(dy, c.windows, sums);
          const kernels::AveragePool2dBackward<TestType> backward{
              dy.data(), dx.data(), accumulate, 6, axis_of(c.windows.height), axis_of(c.windows.width), int(channels)};
          CHECK(same_on_any_order<3>(
              small_plan(dx.size() / 6 / width, 2),
              [&] { kernels::average_pool2d_backward<TestType, width()>(backward); }, dx));
          // up to 15 terms below 1, which one of both may fuse with their factors, and the rounding to T
          CHECK(distance(dx, sums.tensor) <= 15 * epsilon<float>() + epsilon<TestType>());
        }
      });
}

TEST_CASE("the kernel of average pooling sums a large window in runs, as the CPU does", "[pooling]") {
  const auto x = full<float, Cpu>({1, 1, 256, 256, 1}, 0.1f);  // in float alone 0.04 % off
  const auto windows = adaptive_windows(x.shape(), 1);
  auto y = unwritten<float>({1, 1, 1, 1, 1});
  const kernels::AveragePool2dForward<float> forward{
      x.data(), y.data(), 1, axis_of(windows.height), axis_of(windows.width), 1};
  CHECK(same_on_any_order<3>(
      small_plan(1, 1), [&] { kernels::average_pool2d_forward<float, 1>(forward); }, y));
  CHECK(same_values(y, lpw::average_pool2d_forward(x, windows), Nan::differs));
}
