#include "cuda/operands.hpp"

#include <lpw/autograd/average_pooling.hpp>

#include "support/average_pooling.hpp"

using namespace lpw;
using namespace lpw::test;

TEMPLATE_TEST_CASE("average pooling on the GPU gives the CPU's means and gradients", "[gpu]", float, bfloat16) {
  for (const std::int64_t channels : odd_channels)
    for (const auto& c : average_cases(7, 5))
      for (const bool accumulate : {false, true}) {
        INFO("channels " << channels << " to " << c.windows.height.out << 'x' << c.windows.width.out << " accumulate "
                         << accumulate);
        const auto x = random_tensor<TestType>({3, 2, 7, 5, channels}, 1);
        const auto expected = average_pool2d_forward(x, c.windows);
        const auto dy = random_tensor<TestType>(expected.shape(), 2);
        Gradient<TestType, Cpu> dx{random_tensor<TestType>(x.shape(), 3), accumulate};
        auto found_dx = on_device(dx);
        average_pool2d_backward(dy, c.windows, dx);
        // Sums of up to 35 terms below 1, in the CPU's order, but divided and multiplied by other instructions.
        const double tolerance = 35 * epsilon<float>() + epsilon<TestType>();
        CHECK(distance(average_pool2d_forward(on_device(x), c.windows), expected) <= tolerance);
        average_pool2d_backward(on_device(dy), c.windows, found_dx);
        CHECK(distance(found_dx.tensor, dx.tensor) <= tolerance);
      }
}
