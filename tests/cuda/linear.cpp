#include "cuda/support.hpp"

#include <lpw/cpu/linear.hpp>

using namespace lpw;
using namespace lpw::test;

TEMPLATE_TEST_CASE("linear layers on the GPU give the CPU's values and gradients", "[gpu]", float, bfloat16,
                   lpw::half) {
  for (const std::int64_t members : {1, 3})
    for (const std::int64_t rows : {std::int64_t{1}, members})
      for (const bool strided : {false, true})
        for (const bool accumulate : {false, true}) {
          const std::int64_t batch = 5, in = 17, out = 12;
          INFO("members " << members << " weight rows " << rows << " strided " << strided << " accumulate "
                          << accumulate);
          const auto x = random_tensor<TestType>({members, batch, in}, 1),
                     dy = random_tensor<TestType>({members, batch, out}, 2);
          const auto weight = random_parameter<float>({rows, out, in}, strided, 3),
                     bias = random_parameter<float>({rows, out}, strided, 4);
          const auto start_x = random_tensor<TestType>(x.shape(), 5);
          const auto start_weight = random_tensor<float>({rows, out, in}, 6);
          const auto exact_weight = converted<double>(weight), exact_dy = converted<double>(dy);
          Gradient<double, Cpu> dx{converted<double>(start_x), accumulate},
              dweight{converted<double>(start_weight), accumulate};
          const auto y = linear_forward(converted<double>(x), exact_weight, converted<double>(bias));
          linear_backward_data(exact_dy, exact_weight, dx);
          linear_backward_weight(converted<double>(x), exact_dy, dweight);

          const auto w = on_device(weight);
          Gradient<TestType, Cuda> found_dx{on_device(start_x), accumulate};
          Gradient<float, Cuda> found_dweight{on_device(start_weight), accumulate};
          // Sums of up to 17 terms below 1 in another order; in 16 bits the weight, of 17 products of 1/4 in the
          // mean, the product and the sum with the bias are rounded.
          const double tolerance = 50 * epsilon<float>() + (17 / 4 / 2 + 2) * epsilon<TestType>();
          CHECK(distance(linear_forward(on_device(x), w, on_device(bias)), y) <= tolerance);
          linear_backward_data(on_device(dy), w, found_dx);
          linear_backward_weight(on_device(x), on_device(dy), found_dweight);
          CHECK(distance(found_dx.tensor, dx.tensor) <= tolerance);
          CHECK(distance(found_dweight.tensor, dweight.tensor) <= 50 * epsilon<float>());
        }
}
