#include "emulator/kernel_check.hpp"

#include <lpw/kernels/softmax.cuh>

#include <lpw/cpu/softmax.hpp>

using namespace lpw;
using namespace lpw::test;
using kernels::widest;

TEMPLATE_TEST_CASE("the kernels softmax_forward and softmax_backward give the CPU's values on any order of threads",
                   "[softmax]", float, bfloat16, half) {
  for (const std::int64_t columns : {1, 7, 64, 1000})
    for (const bool causal : {false, true})
      with_widths<TestType>(columns % widest<TestType> == 0, [&](auto width) {
        INFO("columns " << columns << " width " << width << " causal " << causal);
        const Shape shape{2, 5, columns};
        const auto x = random_tensor<TestType>(shape, 1), dy = random_tensor<TestType>(shape, 2);
        const auto expected = softmax_forward(x, causal);
        const auto plan = small_plan(32 * 10);
        auto y = unwritten<TestType>(shape);
        const kernels::SoftmaxForward<TestType> forward{x.data(), y.data(), 10, static_cast<int>(columns),
                                                        causal ? 5 : 0};
        CHECK(same_on_any_order(
            plan, [&] { kernels::softmax_forward<TestType, width()>(forward); }, y));
        // Roundings of the exponential and of a sum of up to 1000 / 32 terms a thread, and one to T on either side.
        const double tolerance = 40 * epsilon<float>() + epsilon<TestType>();
        CHECK(relative_difference(y, expected) <= tolerance);
        for (const bool accumulate : {false, true}) {
          auto dx = accumulate ? random_tensor<TestType>(shape, 3) : unwritten<TestType>(shape);
          Gradient<TestType, Cpu> gradient{clone(dx), accumulate};
          softmax_backward(expected, dy, gradient);
          const kernels::SoftmaxBackward<TestType> backward{expected.data(),           dy.data(), dx.data(), 10,
                                                            static_cast<int>(columns), accumulate};
          CHECK(same_on_any_order(
              plan, [&] { kernels::softmax_backward<TestType, width()>(backward); }, dx));
          CHECK(relative_difference(dx, gradient.tensor) <= tolerance);
        }
      });
}
