#include <lpw/autograd/conv_transpose2d.hpp>

#include "support/convolution.hpp"
#include "support/engines.hpp"
#include "support/gradient_check.hpp"
#include "support/sums.hpp"

using namespace lpw;
using namespace lpw::test;

namespace {

/// A transposed convolution of x [K, 2, 4, 3, C].
struct TransposedCase {
  std::int64_t members, rows, channels, out_channels, kernel_height, kernel_width;
  ConvTranspose2dOptions options;

  [[nodiscard]] Shape x() const { return {members, 2, 4, 3, channels}; }
  [[nodiscard]] Shape weight() const {
    return {rows, channels, kernel_height, kernel_width, out_channels / options.groups};
  }
};

const TransposedCase transposed_cases[] = {
    {1, 1, 3, 2, 3, 3, {}},
    {3, 1, 2, 3, 2, 3, {.stride = {2, 1}, .padding = {0, 1}}},
    {3, 3, 2, 3, 3, 3, {.stride = 2, .padding = 1, .output_padding = 1}},
    {2, 2, 4, 6, 3, 2, {.stride = {3, 2}, .padding = {1, 0}, .output_padding = {2, 0}, .groups = 2}},
    {2, 1, 3, 3, 2, 3, {.stride = {2, 3}, .output_padding = {0, 2}, .dilation = {3, 2}, .groups = 3}},
    {2, 1, 16, 16, 3, 3, {.padding = 1}},               // Winograd's, where T has it
    {2, 2, 16, 32, 4, 4, {.stride = 2, .padding = 1}},  // as generators of images have them
};

}  // namespace

TEST_CASE("conv_transpose2d: gradients with all options and a bias", "[conv2d]") {
  for (const auto& c : transposed_cases)
    for (const std::int64_t bias_rows : {std::int64_t{1}, c.members}) {
      if (c.channels > 4) continue;  // finite differences of each element
      INFO("case " << &c - transposed_cases << ", bias rows " << bias_rows);
      expect_gradient(
          "conv_transpose2d", [&](const auto& in) { return conv_transpose2d(in[0], in[1], in[2], c.options); },
          random_inputs({c.x(), c.weight(), {bias_rows, c.out_channels}}));
    }
}

TEST_CASE("conv_transpose2d: gradients with rank-1 factors", "[conv2d]") {
  for (const auto& c : transposed_cases) {
    if (c.channels > 4) continue;
    INFO("case " << &c - transposed_cases);
    expect_gradient(
        "conv_transpose2d with factors",
        [&](const auto& in) {
          const RankOneFactors<double, Cpu> factors{in[2], in[3]};
          return conv_transpose2d(in[0], MemberWeight<double, Cpu>{in[1], factors}, c.options);
        },
        random_inputs({c.x(), c.weight(), {c.members, c.channels}, {1, c.out_channels / c.options.groups}}));
  }
}

// Each input times the kernel is added to the outputs that a convolution would read for it.
TEMPLATE_TEST_CASE("conv_transpose2d equals its definition", "[conv2d]", float, double, bfloat16) {
  with_each_engine([] {
    for (const auto& c : transposed_cases) {
      INFO("case " << &c - transposed_cases);
      const auto x = random_tensor<TestType>(c.x(), 1);
      const auto weight = random_parameter<Accumulate<TestType>>(c.weight(), c.rows > 1, 2);
      const Tape tape = Tape::evaluation();
      const auto y = conv_transpose2d(tape.input(x), tape.input(weight), c.options).value();
      const auto values = values_of(x), w = values_of(weight);
      Expected expected(y.size());
      expected.terms = static_cast<double>(c.channels / c.options.groups * c.kernel_height * c.kernel_width);
      for_each_product(y.shape(), c.weight(), c.options.convolution(), c.x(),
                       [&](auto to, auto j, auto from) { expected.add(to, values[from] * w[j]); });
      const auto extent = [](std::int64_t in, std::int64_t stride, std::int64_t padding, std::int64_t more,
                             std::int64_t dilation, std::int64_t kernel) {
        return (in - 1) * stride - 2 * padding + dilation * (kernel - 1) + more + 1;  // PyTorch's formula
      };
      const auto& o = c.options;
      CHECK(y.shape() ==
            Shape{c.members, 2,
                  extent(4, o.stride.height, o.padding.height, o.output_padding.height, o.dilation.height,
                         c.kernel_height),
                  extent(3, o.stride.width, o.padding.width, o.output_padding.width, o.dilation.width, c.kernel_width),
                  c.out_channels});
      CHECK(mismatch<TestType>(y, expected) == "");
    }
  });
}

TEST_CASE("conv_transpose2d: options in a trace, and what cannot work", "[conv2d]") {
  Trace trace;
  const Tape tape({.trace = &trace});
  const auto x = tape.input(random_tensor<float>({1, 2, 4, 3, 2}, 1));
  const auto w = tape.input(random_tensor<float>({1, 2, 3, 3, 5}, 2));
  (void)conv_transpose2d(x, w, {.stride = 2, .padding = {1, 0}, .output_padding = {1, 0}});
  CHECK(describe(trace) ==
        "%2 [1 2 8 7 5] = conv_transpose2d(%0 [1 2 4 3 2], %1 [1 2 3 3 5]) stride=2 padding_height=1 padding_width=0 "
        "output_padding_height=1 output_padding_width=0\n");
  CHECK_THROWS_WITH(conv_transpose2d(x, w, {.stride = {2, 1}, .output_padding = 1}),
                    "conv_transpose2d: output_padding 1 with stride 2x1; it is 0 or more, and less than the stride");
  CHECK_THROWS_AS(conv_transpose2d(x, w, {.stride = 2, .output_padding = {-1, 0}}), OptionError);
  CHECK_THROWS_AS(conv_transpose2d(x, w, {.stride = 0}), OptionError);
  CHECK_THROWS_WITH(conv_transpose2d(x, tape.input(zeros<float, Cpu>({1, 3, 3, 3, 2}))),
                    "conv_transpose2d: x has 2 channels [K=1 B=2 H=4 W=3 C=2], weight expects 3 [C=3 3x3 O=2]");
  CHECK_THROWS_WITH(conv_transpose2d(x, w, {.padding = 3}),
                    "conv_transpose2d: nothing is left of the result of [K=1 B=2 H=4 W=3 C=2] with padding 3");
  CHECK_THROWS_AS(conv_transpose2d(x, tape.input(zeros<float, Cpu>({2, 2, 3, 3, 5}))), ShapeError);
  CHECK_THROWS_WITH(conv_transpose2d(x, w, {.groups = 3}),
                    "conv_transpose2d: groups 3 do not divide the 2 rows of the weight");
  const RankOneFactors<float, Cpu> factors{tape.input(zeros<float, Cpu>({1, 5})),
                                           tape.input(zeros<float, Cpu>({1, 2}))};
  CHECK_THROWS_AS(conv_transpose2d(x, MemberWeight<float, Cpu>{w, factors}), ShapeError);  // they are r [C] and s [O]
}
