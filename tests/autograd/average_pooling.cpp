#include <lpw/autograd/average_pooling.hpp>

#include <lpw/nn/pooling.hpp>

#include "support/gradient_check.hpp"

using namespace lpw;
using namespace lpw::test;

namespace {

constexpr AveragePoolOptions average_pools[] = {
    {},
    {.kernel_size = 3, .stride = 2, .padding = 1},
    {.kernel_size = 3, .stride = 2, .padding = 1, .count_include_pad = false},
    {.kernel_size = {2, 3}, .stride = {1, 2}, .padding = {1, 0}},
    {.kernel_size = {3, 2}, .stride = 2, .padding = {1, 0}, .ceil_mode = true},
    {.kernel_size = {6, 7}, .stride = 2, .ceil_mode = true},
    {.kernel_size = 2, .stride = 3, .padding = 1, .ceil_mode = true, .count_include_pad = false}};

}  // namespace

TEST_CASE("average_pool2d: gradients", "[pooling]") {
  for (const auto& options : average_pools) {
    INFO("case " << &options - average_pools);
    expect_gradient(
        "average_pool2d", [&](const auto& in) { return average_pool2d(in[0], options); },
        random_inputs({{2, 2, 5, 6, 3}}));
  }
}

TEST_CASE("adaptive_average_pool2d: gradients, and the mean of the image as one window", "[pooling]") {
  const auto inputs = random_inputs({{2, 2, 5, 6, 3}});
  for (const PerAxis size : {PerAxis(1), PerAxis(2, 4), PerAxis(5, 6), PerAxis(7, 3)}) {
    INFO("output_size " << size);
    expect_gradient(
        "adaptive_average_pool2d", [&](const auto& in) { return adaptive_average_pool2d(in[0], size); }, inputs);
  }
  const Tape tape = Tape::evaluation();
  const auto x = tape.input(inputs[0]);
  const auto one = adaptive_average_pool2d(x, 1).value(), mean = global_average_pool(x).value();
  CHECK(one.shape() == Shape{2, 2, 1, 1, 3});
  CHECK(largest_difference(one.reshaped(mean.shape()), mean) <= 30 * epsilon<double>());  // sums of 30 terms below 1
  CHECK(values_of(adaptive_average_pool2d(x, {5, 6}).value()) == values_of(inputs[0]));
}

// By hand: the window of two at the corner of a padded image, which counts three zeros or not.
TEST_CASE("average_pool2d: padding is counted unless it is not to be, and what ceil mode adds is not", "[pooling]") {
  const Tape tape = Tape::evaluation();
  const auto x = tape.input(full<double, Cpu>({1, 1, 3, 3, 1}, 4.0));
  const auto pooled = [&](const AveragePoolOptions& options) { return values_of(average_pool2d(x, options).value()); };
  CHECK(pooled({.kernel_size = 2, .padding = 1}) == std::vector<double>{1, 2, 2, 4});
  CHECK(pooled({.kernel_size = 2, .padding = 1, .count_include_pad = false}) == std::vector<double>{4, 4, 4, 4});
  CHECK(pooled({.kernel_size = 2, .ceil_mode = true}) == std::vector<double>{4, 4, 4, 4});
  CHECK(pooled({.kernel_size = 4, .stride = 2, .ceil_mode = true}) == std::vector<double>{4});  // larger than x
}

TEST_CASE("average pooling as modules, in a trace, and refused", "[pooling]") {
  Trace trace;
  const Tape tape({.trace = &trace});
  const auto x = tape.input(random_tensor<float>({1, 2, 4, 6, 3}, 1));
  nn::AveragePool2d<float, Cpu> average({.kernel_size = {2, 3}, .ceil_mode = true});
  nn::AdaptiveAveragePool2d<float, Cpu> adaptive({2, 1});
  CHECK(average.forward(x).shape() == Shape{1, 2, 2, 2, 3});
  CHECK(adaptive.forward(x).shape() == Shape{1, 2, 2, 1, 3});
  CHECK(describe(trace) ==
        "%1 [1 2 2 2 3] = average_pool2d(%0 [1 2 4 6 3]) kernel_height=2 kernel_width=3 stride_height=2 "
        "stride_width=3 padding=0 ceil_mode=1 count_include_pad=1\n"
        "%2 [1 2 2 1 3] = adaptive_average_pool2d(%0 [1 2 4 6 3]) output_height=2 output_width=1\n");
  CHECK_THROWS_WITH(average_pool2d(x, {.kernel_size = {5, 2}}),
                    "average_pool2d: the window of 5x2 is larger than the padded image [K=1 B=2 H=4 W=6 C=3]");
  CHECK_THROWS_AS(average_pool2d(x, {.kernel_size = 3, .padding = 2}), OptionError);
  CHECK_THROWS_WITH(adaptive_average_pool2d(x, {2, 0}),
                    "adaptive_average_pool2d: output_size 2x0; expected 1 or more along each axis");
  CHECK_THROWS_AS(adaptive_average_pool2d(tape.input(zeros<float, Cpu>({2, 4, 4, 3})), 1), ShapeError);
}
