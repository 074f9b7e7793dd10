// Convolutions with all options, on the tape: gradients, a bias, what a trace lists, and what is refused.
#include <lpw/autograd/conv2d.hpp>

#include "support/gradient_check.hpp"

using namespace lpw;
using namespace lpw::test;

namespace {

/// A convolution of x [K, 2, 5, 6, C].
struct OptionGradientCase {
  std::int64_t members, rows, channels, out_channels, kernel_height, kernel_width;
  Conv2dOptions options;
};

const OptionGradientCase option_gradient_cases[] = {
    {1, 1, 2, 3, 2, 3, {.stride = {1, 2}}},
    {3, 1, 2, 2, 3, 2, {.stride = {2, 1}, .padding = {2, 1}}},
    {3, 3, 2, 3, 3, 2, {.padding = {1, 0}, .dilation = {1, 3}}},
    {2, 2, 4, 6, 3, 3, {.padding = 1, .groups = 2}},
    {2, 1, 3, 6, 2, 3, {.stride = {2, 1}, .padding = 1, .dilation = {2, 1}, .groups = 3}},
};

[[nodiscard]] Shape weight_shape(const OptionGradientCase& c) {
  return {c.rows, c.out_channels, c.kernel_height, c.kernel_width, c.channels / c.options.groups};
}

}  // namespace

TEST_CASE("conv2d: gradients with options of each axis, dilation, groups and a bias", "[conv2d]") {
  for (const auto& c : option_gradient_cases)
    for (const std::int64_t bias_rows : {std::int64_t{1}, c.members}) {
      INFO("case " << &c - option_gradient_cases << ", bias rows " << bias_rows);
      expect_gradient(
          "conv2d", [&](const auto& in) { return conv2d(in[0], in[1], in[2], c.options); },
          random_inputs({{c.members, 2, 5, 6, c.channels}, weight_shape(c), {bias_rows, c.out_channels}}));
    }
}

TEST_CASE("conv2d: gradients with rank-1 factors, a residual and options", "[conv2d]") {
  for (const auto& c : option_gradient_cases) {
    INFO("case " << &c - option_gradient_cases);
    const auto inputs = random_inputs({{c.members, 2, 5, 6, c.channels},
                                       weight_shape(c),
                                       {c.members, c.out_channels},
                                       {1, c.channels / c.options.groups}});
    expect_gradient(
        "conv2d_add with factors",
        [&](const auto& in) {
          const RankOneFactors<double, Cpu> factors{in[2], in[3]};
          return conv2d_add(in[0], in[1], factors, conv2d(in[0], in[1], c.options), c.options);
        },
        inputs);
  }
}

TEST_CASE("conv2d: a trace lists options of each axis, dilation and groups where there are any", "[conv2d]") {
  Trace trace;
  const Tape tape({.trace = &trace});
  const auto x = tape.input(random_tensor<float>({1, 2, 5, 6, 4}, 1));
  const auto weight = tape.input(random_tensor<float>({1, 4, 3, 3, 2}, 2));
  const auto bias = tape.input(random_tensor<float>({1, 4}, 3));
  (void)conv2d(x, weight, bias, {.stride = {2, 1}, .padding = {1, 2}, .dilation = 2, .groups = 2});
  CHECK(describe(trace) ==
        "%3 [1 2 2 6 4] = conv2d(%0 [1 2 5 6 4], %1 [1 4 3 3 2]) stride_height=2 stride_width=1 padding_height=1 "
        "padding_width=2 dilation=2 groups=2\n"
        "%4 [1 2 2 6 4] = add_channels(%3 [1 2 2 6 4], %2 [1 4])\n");
}

TEST_CASE("conv2d: options that cannot work", "[conv2d]") {
  const Tape tape;
  const auto x = tape.input(zeros<float, Cpu>({1, 2, 5, 6, 4}));
  const auto weight = [&](const Shape& shape) { return tape.input(zeros<float, Cpu>(shape)); };
  CHECK_THROWS_WITH(conv2d(x, weight({1, 4, 3, 3, 4}), {.stride = {1, 0}}),
                    "conv2d: stride 1x0 and padding 0; expected stride >= 1 and padding >= 0");
  CHECK_THROWS_AS(conv2d(x, weight({1, 4, 3, 3, 4}), {.padding = {-1, 0}}), OptionError);
  CHECK_THROWS_WITH(conv2d(x, weight({1, 4, 3, 3, 4}), {.dilation = {0, 1}}),
                    "conv2d: dilation 0x1 and groups 1; both are at least 1");
  CHECK_THROWS_AS(conv2d(x, weight({1, 4, 3, 3, 4}), {.groups = 0}), OptionError);
  CHECK_THROWS_WITH(conv2d(x, weight({1, 4, 3, 3, 1}), {.groups = 3}),
                    "conv2d: groups 3 do not divide the 4 rows of the weight");
  CHECK_THROWS_WITH(conv2d(x, weight({1, 4, 3, 3, 4}), {.groups = 2}),
                    "conv2d: x has 4 channels [K=1 B=2 H=5 W=6 C=4], weight expects 8 [O=4 3x3 C=4] in 2 groups");
  CHECK_THROWS_WITH(conv2d(x, weight({1, 4, 3, 3, 4}), {.dilation = 3}),
                    "conv2d: the 3x3 kernel with dilation 3 is larger than the padded image [K=1 B=2 H=5 W=6 C=4] "
                    "with padding 0");
  CHECK_NOTHROW(conv2d(x, weight({1, 4, 3, 3, 4}), {.padding = {1, 1}, .dilation = 3}));
  CHECK_THROWS_AS(conv2d(x, weight({1, 4, 3, 3, 4}), weight({1, 3})), ShapeError);
  CHECK_THROWS_AS(conv2d(x, weight({1, 4, 3, 3, 4}), weight({2, 4})), ShapeError);
}
