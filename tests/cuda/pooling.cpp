#include "cuda/operands.hpp"

#include <lpw/autograd/pooling.hpp>

using namespace lpw;
using namespace lpw::test;

namespace {

/// Windows side by side, windows that overlap past the border, windows with gaps, the whole image.
constexpr PoolOptions pools[] = {{.kernel_size = 2},
                                 {.kernel_size = 3, .stride = 1, .padding = 1},
                                 {.kernel_size = 2, .stride = 3},
                                 {.kernel_size = {2, 3}, .stride = {1, 2}, .padding = {1, 0}},
                                 {.kernel_size = {3, 2}, .stride = 2, .padding = {1, 0}, .ceil_mode = true},
                                 {.kernel_size = 2, .stride = 3, .padding = 1, .ceil_mode = true},
                                 {.kernel_size = 5}};

}  // namespace

TEMPLATE_TEST_CASE("max pooling on the GPU gives the CPU's bits and winners", "[gpu]", float, bfloat16) {
  for (const std::int64_t members : {1, 3})
    for (const std::int64_t channels : odd_channels)
      for (const auto& options : pools)
        for (const bool accumulate : {false, true}) {
          INFO("members " << members << " channels " << channels << " kernel " << options.kernel_size << " stride "
                          << options.stride << " accumulate " << accumulate);
          const auto x = random_tensor<TestType>({members, 2, 7, 5, channels}, 1);
          const auto expected = max_pool2d_forward(x, options);
          const auto dy = random_tensor<TestType>(expected.y.shape(), 2);
          Gradient<TestType, Cpu> dx{random_tensor<TestType>(x.shape(), 3), accumulate};
          auto found_dx = on_device(dx);
          max_pool2d_backward(expected.winner, dy, options, dx);

          const auto found = max_pool2d_forward(on_device(x), options);
          CHECK(equal(found.y, expected.y));
          CHECK(equal(found.winner, expected.winner));
          max_pool2d_backward(found.winner, on_device(dy), options, found_dx);
          CHECK(equal(found_dx.tensor, dx.tensor));  // added in the CPU's order
        }
}

TEMPLATE_TEST_CASE("global average pooling on the GPU gives the CPU's means and gradients", "[gpu]", float, bfloat16) {
  for (const std::int64_t members : {1, 3})
    for (const std::int64_t channels : odd_channels)
      for (const std::int64_t side : {1, 3, 8})
        for (const bool accumulate : {false, true}) {
          INFO("members " << members << " channels " << channels << " side " << side << " accumulate " << accumulate);
          const auto x = random_tensor<TestType>({members, 2, side, side + 1, channels}, 1);
          const auto expected = global_average_pool_forward(x);
          const auto dy = random_tensor<TestType>(expected.shape(), 2);
          Gradient<TestType, Cpu> dx{random_tensor<TestType>(x.shape(), 3), accumulate};
          auto found_dx = on_device(dx);
          global_average_pool_backward(dy, dx);
          // Sums of 72 terms below 1 in another order, over 72; and the GPU rounds dy share + dx once.
          const double tolerance = 4 * epsilon<float>() + epsilon<TestType>();
          CHECK(distance(global_average_pool_forward(on_device(x)), expected) <= tolerance);
          global_average_pool_backward(on_device(dy), found_dx);
          CHECK(distance(found_dx.tensor, dx.tensor) <= tolerance);
        }
}

TEMPLATE_TEST_CASE("pooling recorded on the GPU has the CPU's values and gradients", "[gpu]", float, bfloat16) {
  const Shape shape{3, 2, 8, 8, 17};
  const auto x = random_tensor<TestType>(shape, 1);
  const auto run = [&]<class D>(const Tensor<TestType, D>& input) {
    auto dx = zeros<TestType, D>(shape);
    Tape tape;
    const auto y = global_average_pool(max_pool2d(tape.leaf(input, dx), {.kernel_size = 3, .stride = 2, .padding = 1}));
    const auto value = y.value();
    backward_of_sum(tape, y);
    return std::pair{value, dx};
  };
  const auto expected = run(x);
  const auto found = run(on_device(x));
  const double tolerance = 4 * epsilon<float>() + epsilon<TestType>();  // as above
  CHECK(distance(found.first, expected.first) <= tolerance);
  CHECK(distance(found.second, expected.second) <= tolerance);
}
