#include <lpw/cpu/pooling.hpp>

#include <cmath>

#include "catch.hpp"
#include "support/compare.hpp"
#include "support/random.hpp"
#include "support/sums.hpp"
#include "support/threads.hpp"

using namespace lpw;
using namespace lpw::test;

namespace {

constexpr PoolOptions pools[] = {{},
                                 {.kernel_size = 3, .stride = 2, .padding = 1},
                                 {.kernel_size = 3, .stride = 1, .padding = 1},
                                 {.kernel_size = {2, 3}, .stride = {1, 2}, .padding = {1, 0}},
                                 {.kernel_size = {3, 2}, .stride = 2, .padding = {1, 0}, .ceil_mode = true},
                                 {.kernel_size = 2, .stride = 3, .padding = 1, .ceil_mode = true}};

}  // namespace

TEMPLATE_TEST_CASE("max_pool2d sends each gradient to the winner it names", "[pooling]", float, double, bfloat16) {
  for (const std::int64_t channels : {1, 3, 17})
    for (const auto& options : pools)
      for (const bool accumulate : {false, true}) {
        INFO("channels " << channels << " kernel " << options.kernel_size << " stride " << options.stride
                         << " accumulate " << accumulate);
        const auto x = random_tensor<TestType>({2, 3, 7, 5, channels}, 1);
        const auto pooled = max_pool2d_forward(x, options);
        const auto dy = random_tensor<TestType>(pooled.y.shape(), 2);
        Gradient<TestType, Cpu> dx{random_tensor<TestType>(x.shape(), 3), accumulate};
        Expected expected(dx.tensor, accumulate);
        expected.terms = 10;  // windows that share an element, and what was there
        std::int64_t wrong = 0;
        const std::int64_t windows = pooled.y.dim(2) * pooled.y.dim(3);
        for (std::int64_t i = 0; i < dy.size(); ++i) {
          const std::int64_t image = i / (windows * channels),
                             winner = (image * 35 + pooled.winner.data()[i]) * channels + i % channels;
          wrong += pooled.y.data()[i] != x.data()[winner];
          expected.add(winner, double(dy.data()[i]));
        }
        CHECK(wrong == 0);
        max_pool2d_backward(pooled.winner, dy, options, dx);
        CHECK(mismatch<TestType>(dx.tensor, expected) == "");
      }
}

TEST_CASE("max_pool2d's gradient of many windows with one winner is exact to some roundings", "[pooling]") {
  auto x = full<float, Cpu>({1, 1, 255, 255, 1}, 0.f);
  x.data()[127 * 255 + 127] = 1;  // is in each of the 128 x 128 windows
  const PoolOptions options{.kernel_size = 128, .stride = 1};
  const auto pooled = max_pool2d_forward(x, options);
  Gradient<float, Cpu> dx{Tensor<float, Cpu>(x.shape())};
  max_pool2d_backward(pooled.winner, full<float, Cpu>(pooled.y.shape(), 0.1f), options, dx);
  // in float alone 1.5e-4; in double no more than the last rounding shows
  CHECK(std::abs(double(dx.tensor.data()[127 * 255 + 127]) / (16384 * double(0.1f)) - 1) <= epsilon<float>());
}

TEMPLATE_TEST_CASE("global_average_pool and its gradient equal their definitions", "[pooling]", float, double,
                   bfloat16) {
  for (const std::int64_t channels : {1, 3, 17})
    for (const bool accumulate : {false, true}) {
      INFO("channels " << channels << " accumulate " << accumulate);
      const auto x = random_tensor<TestType>({2, 3, 7, 5, channels}, 1);
      const auto dy = random_tensor<TestType>({2, 3, channels}, 2);
      Gradient<TestType, Cpu> dx{random_tensor<TestType>(x.shape(), 3), accumulate};
      Expected mean(dy.size()), spread(dx.tensor, accumulate);
      for (std::int64_t i = 0; i < x.size(); ++i) {
        const std::int64_t out = i / (35 * channels) * channels + i % channels;
        mean.add(out, double(x.data()[i]) / 35);
        spread.add(i, double(dy.data()[out]) / 35);
      }
      mean.terms = 36;
      spread.terms = 3;
      CHECK(mismatch<TestType>(global_average_pool_forward(x), mean) == "");
      global_average_pool_backward(dy, dx);
      CHECK(mismatch<TestType>(dx.tensor, spread) == "");
    }
}

TEST_CASE("global_average_pool of a large image is exact to some roundings", "[pooling]") {
  const auto mean = global_average_pool_forward(full<float, Cpu>({1, 1, 1024, 1024, 1}, 0.1f));
  // a run of 128 equal terms, each rounded to half a unit of the sum at most, and the quotient
  CHECK(relative_difference(values_of(mean), std::vector{double(0.1f)}) <= 64 * epsilon<float>());
}

TEST_CASE("pooling gives the same bits on any number of threads", "[pooling]") {
  const auto x = random_tensor<float>({2, 3, 9, 8, 17}, 1);
  CHECK(same_on_any_threads([&] {
    const auto pooled = max_pool2d_forward(x, pools[1]);
    Gradient<float, Cpu> dx{Tensor<float, Cpu>(x.shape())}, spread{Tensor<float, Cpu>(x.shape())};
    max_pool2d_backward(pooled.winner, pooled.y, pools[1], dx);
    const auto mean = global_average_pool_forward(x);
    global_average_pool_backward(mean, spread);
    return std::vector{values_of(pooled.y), values_of(dx.tensor), values_of(mean), values_of(spread.tensor)};
  }));
}
