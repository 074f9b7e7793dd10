#include <lpw/autograd/pooling.hpp>

#include <limits>

#include "support/gradient_check.hpp"

using namespace lpw;
using namespace lpw::test;

namespace {

/// Values in [-1, 1) in an order that looks random, no two closer than 2 / size: a small step never changes which is
/// the largest.
DoubleTensor distinct(const Shape& shape) {
  DoubleTensor tensor(shape);
  const std::int64_t size = tensor.size();
  std::int64_t factor = 7919;  // prime, so that i factor mod size visits every residue once
  REQUIRE(size % factor != 0);
  for (std::int64_t i = 0; i < size; ++i) tensor.data()[i] = 2.0 * double(i * factor % size) / double(size) - 1;
  return tensor;
}

constexpr PoolOptions pools[] = {{},
                                 {.kernel_size = 3, .stride = 2, .padding = 1},
                                 {.kernel_size = 3, .stride = 1},
                                 {.kernel_size = 2, .stride = 3},
                                 {.kernel_size = {2, 3}, .stride = {1, 2}, .padding = {1, 0}},
                                 {.kernel_size = {3, 2}, .stride = 2, .padding = {1, 0}, .ceil_mode = true},
                                 {.kernel_size = 2, .stride = 3, .padding = 1, .ceil_mode = true}};

}  // namespace

TEST_CASE("max_pool2d: gradients", "[pooling]") {
  for (const auto& options : pools) {
    INFO("kernel " << options.kernel_size << " stride " << options.stride << " padding " << options.padding);
    expect_gradient("max_pool2d", [&](const auto& in) { return max_pool2d(in[0], options); },
                    {distinct({2, 2, 5, 6, 3})});
  }
}

TEST_CASE("max_pool2d: values", "[pooling]") {
  const auto x = distinct({2, 2, 5, 6, 3});
  const Tape tape = Tape::evaluation();
  for (const auto& options : pools) {
    INFO("kernel " << options.kernel_size << " stride " << options.stride << " padding " << options.padding);
    const auto y = max_pool2d(tape.input(x), options).value();
    REQUIRE(y.shape() == pool_output({2, 2, 5, 6, 3}, options));
    for (std::int64_t out = 0; out < y.size(); ++out) {
      const std::int64_t c = out % 3, column = out / 3 % y.dim(3), row = out / 3 / y.dim(3) % y.dim(2),
                         image = out / 3 / y.dim(3) / y.dim(2);
      double largest = -std::numeric_limits<double>::infinity();
      for (std::int64_t i = 0; i < 5; ++i)
        for (std::int64_t j = 0; j < 6; ++j) {
          const std::int64_t u = i - row * options.step().height + options.padding.height,
                             v = j - column * options.step().width + options.padding.width;
          if (u < 0 || u >= options.kernel_size.height || v < 0 || v >= options.kernel_size.width) continue;
          largest = std::max(largest, x.data()[((image * 5 + i) * 6 + j) * 3 + c]);
        }
      REQUIRE(y.data()[out] == largest);
    }
  }
}

TEST_CASE("max_pool2d: padding never wins and of equal elements the first gets the gradient", "[pooling]") {
  Tape tape;
  const auto gradient = zeros<float, Cpu>({1, 1, 2, 2, 1});
  const auto y = max_pool2d(tape.leaf(full<float, Cpu>({1, 1, 2, 2, 1}, -5.f), gradient),
                            {.kernel_size = 3, .stride = 3, .padding = 1});
  CHECK(values_of(y.value()) == std::vector<double>{-5});
  backward_of_sum(tape, y);
  CHECK(values_of(gradient) == std::vector<double>{1, 0, 0, 0});
}

// PyTorch's sizes, found by its rule: the quotient rounded up, unless the last window would begin behind the image.
TEST_CASE("max_pool2d: ceil mode takes a last window that does not fit, if it begins in the image", "[pooling]") {
  const auto height = [](std::int64_t in, const PoolOptions& options) {
    const Tape tape;
    return max_pool2d(tape.input(random_tensor<float>({1, 1, in, 9, 2}, 1)), options).shape()[2];
  };
  CHECK(height(7, {.kernel_size = 2}) == 3);
  CHECK(height(7, {.kernel_size = 2, .ceil_mode = true}) == 4);
  CHECK(height(8, {.kernel_size = 2, .ceil_mode = true}) == 4);
  const PoolOptions apart{.kernel_size = 2, .stride = 3, .padding = 1, .ceil_mode = true};  // begin at -1, 2, 5
  CHECK(height(6, apart) == 3);
  CHECK(height(5, apart) == 2);
  CHECK(height(3, apart) == 2);
  CHECK(height(2, apart) == 1);
  const PoolOptions large{.kernel_size = {3, 2}, .stride = 2, .ceil_mode = true};
  CHECK(height(2, large) == 1);  // the only window reaches over the end
  CHECK(height(4, large) == 2);
}

TEST_CASE("max_pool2d: the window 3x3 with stride 2 behind a ResNet's stem", "[pooling]") {
  const auto inputs = random_inputs({{2, 2, 8, 7, 3}});
  const PoolOptions options{.kernel_size = 3, .stride = 2, .padding = 1};
  expect_gradient(
      "max_pool2d", [&](const auto& in) { return max_pool2d(in[0], options); }, inputs);
  const Tape tape;
  CHECK(max_pool2d(tape.input(random_tensor<float>({1, 1, 112, 112, 1}, 1)), options).shape() ==
        Shape{1, 1, 56, 56, 1});
}

TEST_CASE("global_average_pool: gradients and values", "[pooling]") {
  const auto inputs = random_inputs({{2, 3, 4, 5, 3}});
  expect_gradient(
      "global_average_pool", [](const auto& in) { return global_average_pool(in[0]); }, inputs);
  const Tape tape = Tape::evaluation();
  const auto y = global_average_pool(tape.input(inputs[0])).value();
  REQUIRE(y.shape() == Shape{2, 3, 3});
  for (std::int64_t i = 0; i < y.size(); ++i) {
    double sum = 0;
    for (std::int64_t pixel = 0; pixel < 20; ++pixel) sum += inputs[0].data()[(i / 3 * 20 + pixel) * 3 + i % 3];
    CHECK(std::abs(y.data()[i] - sum / 20) <= 20 * epsilon<double>());
  }
}

TEST_CASE("pooling: shapes and options that cannot work", "[pooling]") {
  const Tape tape;
  const auto x = tape.input(zeros<float, Cpu>({1, 2, 4, 4, 3}));
  CHECK_THROWS_WITH(max_pool2d(x, {.kernel_size = 5}),
                    "max_pool2d: the window of 5 is larger than the padded image [K=1 B=2 H=4 W=4 C=3]");
  CHECK_THROWS_AS(max_pool2d(x, {.kernel_size = 5}), ShapeError);
  CHECK(max_pool2d(x, {.kernel_size = 5, .stride = 2, .ceil_mode = true}).shape() == Shape{1, 2, 1, 1, 3});
  CHECK_THROWS_WITH(max_pool2d(x, {.kernel_size = {6, 4}, .stride = 2, .ceil_mode = true}),
                    "max_pool2d: the window of 6x4 is larger than the padded image [K=1 B=2 H=4 W=4 C=3] by its "
                    "stride of 2 or more");
  CHECK_THROWS_AS(max_pool2d(x, {.kernel_size = 2, .padding = 2}), OptionError);
  CHECK_THROWS_AS(max_pool2d(x, {.kernel_size = 0}), OptionError);
  CHECK_THROWS_AS(max_pool2d(x, {.stride = -1}), OptionError);
  CHECK_THROWS_AS(max_pool2d(x, {.stride = {1, -1}}), OptionError);
  CHECK_THROWS_WITH(max_pool2d(x, {.kernel_size = {4, 2}, .padding = {1, 2}}),
                    "max_pool2d: kernel_size 4x2, stride 0, padding 1x2; padding is at most half the kernel");
  CHECK_THROWS_AS(max_pool2d(x, {.padding = -1}), OptionError);
  CHECK_THROWS_AS(max_pool2d(tape.input(zeros<float, Cpu>({2, 4, 4, 3}))), ShapeError);
  CHECK_THROWS_AS(global_average_pool(tape.input(zeros<float, Cpu>({2, 4, 4, 3}))), ShapeError);
}
