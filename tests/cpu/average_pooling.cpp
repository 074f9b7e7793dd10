#include <lpw/cpu/average_pooling.hpp>

#include "catch.hpp"
#include "support/average_pooling.hpp"
#include "support/random.hpp"
#include "support/sums.hpp"
#include "support/threads.hpp"

using namespace lpw;
using namespace lpw::test;

TEMPLATE_TEST_CASE("average_pool2d and its gradient equal their definitions", "[pooling]", float, double, bfloat16) {
  for (const std::int64_t channels : {1, 3, 17})
    for (const auto& c : average_cases(7, 5))
      for (const bool accumulate : {false, true}) {
        INFO("channels " << channels << " from " << c.windows.height.in << 'x' << c.windows.width.in << " to "
                         << c.windows.height.out << 'x' << c.windows.width.out << " accumulate " << accumulate);
        const auto x = random_tensor<TestType>({2, 3, 7, 5, channels}, 1);
        const Shape out = c.windows.output(x.shape());
        REQUIRE(out[2] == std::ssize(c.height));
        REQUIRE(out[3] == std::ssize(c.width));
        const auto dy = random_tensor<TestType>(out, 2);
        Gradient<TestType, Cpu> dx{random_tensor<TestType>(x.shape(), 3), accumulate};
        Expected mean(dy.size()), spread(dx.tensor, accumulate);
        for_each_term(c, x.shape(), [&](std::int64_t from, std::int64_t to, std::int64_t count) {
          mean.add(to, double(x.data()[from]) / static_cast<double>(count));
          spread.add(from, double(dy.data()[to]) / static_cast<double>(count));
        });
        mean.terms = 36;            // an image, and the division
        spread.terms = 2 * 15 + 1;  // windows that share a pixel, each divided, and what was there
        CHECK(mismatch<TestType>(average_pool2d_forward(x, c.windows), mean) == "");
        average_pool2d_backward(dy, c.windows, dx);
        CHECK(mismatch<TestType>(dx.tensor, spread) == "");
      }
}

TEST_CASE("average pooling of a large image is exact to some roundings", "[pooling]") {
  const auto image = full<float, Cpu>({1, 1, 1024, 1024, 1}, 0.1f);
  // a run of 128 equal terms, each rounded to half a unit of the sum at most, and the quotient
  const double allowed = 64 * epsilon<float>();
  const auto mean = average_pool2d_forward(image, adaptive_windows(image.shape(), 1));
  CHECK(relative_difference(values_of(mean), std::vector{double(0.1f)}) <= allowed);
}

TEST_CASE("average_pool2d gives the same bits on any number of threads", "[pooling]") {
  const auto x = random_tensor<float>({2, 3, 9, 8, 17}, 1);
  for (const auto& c : average_cases(9, 8))
    CHECK(same_on_any_threads([&] {
      const auto y = average_pool2d_forward(x, c.windows);
      Gradient<float, Cpu> dx{Tensor<float, Cpu>(x.shape())};
      average_pool2d_backward(y, c.windows, dx);
      return std::vector{values_of(y), values_of(dx.tensor)};
    }));
}
