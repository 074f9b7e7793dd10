#include <lpw/autograd/conv1d.hpp>

#include "support/convolution.hpp"
#include "support/engines.hpp"
#include "support/gradient_check.hpp"
#include "support/sums.hpp"

using namespace lpw;
using namespace lpw::test;

namespace {

/// A convolution of x [K, 2, 9, 4] with kernels of length 3 to 6 channels.
struct SequenceCase {
  std::int64_t members, rows;
  Conv1dOptions options;

  [[nodiscard]] Shape x() const { return {members, 2, 9, 4}; }
  [[nodiscard]] Shape weight() const { return {rows, 6, 3, 4 / options.groups}; }
};

const SequenceCase sequence_cases[] = {{1, 1, {}},
                                       {3, 1, {.stride = 2, .padding = 1}},
                                       {3, 3, {.padding = 2, .dilation = 2}},
                                       {2, 2, {.stride = 3, .padding = 3, .groups = 2}}};

/// A sequence as an image of height 1, or a kernel.
[[nodiscard]] Shape image_of(const Shape& shape) { return {shape[0], shape[1], 1, shape[2], shape[3]}; }

}  // namespace

TEST_CASE("conv1d: gradients with options, a bias and rank-1 factors", "[conv2d]") {
  for (const auto& c : sequence_cases) {
    INFO("case " << &c - sequence_cases);
    expect_gradient(
        "conv1d", [&](const auto& in) { return conv1d(in[0], in[1], in[2], c.options); },
        random_inputs({c.x(), c.weight(), {c.members, 6}}));
    expect_gradient(
        "conv1d with factors",
        [&](const auto& in) {
          return conv1d(in[0], MemberWeight<double, Cpu>{in[1], RankOneFactors<double, Cpu>{in[2], in[3]}}, c.options);
        },
        random_inputs({c.x(), c.weight(), {c.members, 6}, {1, 4 / c.options.groups}}));
  }
}

TEST_CASE("conv_transpose1d: gradients with options and a bias", "[conv2d]") {
  for (const std::int64_t rows : {1, 2})
    expect_gradient(
        "conv_transpose1d",
        [](const auto& in) {
          return conv_transpose1d(in[0], in[1], in[2],
                                  {.stride = 3, .padding = 1, .output_padding = 2, .dilation = 2, .groups = 2});
        },
        random_inputs({{2, 2, 4, 4}, {rows, 4, 3, 3}, {rows, 6}}));
}

TEMPLATE_TEST_CASE("conv1d equals its definition", "[conv2d]", float, double, bfloat16) {
  with_each_engine([] {
    for (const auto& c : sequence_cases) {
      INFO("case " << &c - sequence_cases);
      const auto x = random_tensor<TestType>(c.x(), 1);
      const auto weight = random_parameter<Accumulate<TestType>>(c.weight(), c.rows > 1, 2);
      const Tape tape = Tape::evaluation();
      const auto y = conv1d(tape.input(x), tape.input(weight), c.options).value();
      REQUIRE(y.shape() ==
              Shape{c.members, 2, window_count(9, 3, c.options.stride, c.options.padding, c.options.dilation), 6});
      const auto in = values_of(x), w = values_of(weight);
      Expected expected(y.size());
      expected.terms = 12;
      for_each_product(image_of(c.x()), image_of(c.weight()), c.options.images(), image_of(y.shape()),
                       [&](auto i, auto j, auto out) { expected.add(out, in[i] * w[j]); });
      CHECK(mismatch<TestType>(y, expected) == "");
    }
  });
}

TEST_CASE("conv_transpose1d: by hand", "[conv2d]") {
  const auto row = [](const Shape& shape, const std::vector<double>& values) {
    Tensor<double, Cpu> tensor(shape);
    std::copy(values.begin(), values.end(), tensor.data());
    return tensor;
  };
  const Tape tape = Tape::evaluation();
  const auto x = tape.input(row({1, 1, 2, 1}, {1, 2})), w = tape.input(row({1, 1, 3, 1}, {1, 10, 100}));
  CHECK(values_of(conv_transpose1d(x, w, {.stride = 2, .output_padding = 1}).value()) ==
        std::vector<double>{1, 10, 102, 20, 200, 0});
  CHECK(values_of(conv_transpose1d(x, w, {.stride = 2, .padding = 1}).value()) == std::vector<double>{10, 102, 20});
}

TEST_CASE("conv1d: a late-phase weight's strided rows get their gradients", "[conv2d]") {
  const auto weight = random_parameter<double>({2, 3, 3, 2}, true, 1),
             gradient = random_parameter<double>({2, 3, 3, 2}, true, 2);
  const auto before = clone(gradient);
  const auto x = random_tensor<double>({2, 2, 7, 2}, 3);
  Tape tape, plain;
  tape.backward(weighted_sum(conv1d(tape.input(x), tape.leaf(weight, gradient))));
  const auto packed = zeros<double, Cpu>(weight.shape());
  plain.backward(weighted_sum(conv1d(plain.input(x), plain.leaf(clone(weight), packed))));
  for (std::int64_t k = 0; k < 2; ++k)
    for (std::int64_t i = 0; i < 18; ++i)
      CHECK(std::abs(gradient.row(k)[i] - before.row(k)[i] - packed.row(k)[i]) <=
            8 * epsilon<double>());  // sums below 8
  CHECK(gaps_untouched(gradient));
}

TEST_CASE("conv1d: shapes that cannot work", "[conv2d]") {
  const Tape tape;
  const auto x = tape.input(zeros<float, Cpu>({1, 2, 9, 4}));
  const auto weight = [&](const Shape& shape) { return tape.input(zeros<float, Cpu>(shape)); };
  CHECK_THROWS_WITH(conv1d(x, weight({6, 3, 4})), "conv1d: expected weight [1 or K, O k C], got [6 3 4]");
  CHECK_THROWS_WITH(conv1d(x, weight({1, 6, 3, 5})),
                    "conv1d: x has 4 channels [K=1 B=2 L=9 C=4], weight expects 5 [O=6 k=3 C=5]");
  CHECK_THROWS_WITH(conv1d(x, weight({1, 6, 3, 4}), {.groups = 2}),
                    "conv1d: x has 4 channels [K=1 B=2 L=9 C=4], weight expects 8 [O=6 k=3 C=4] in 2 groups");
  CHECK_THROWS_AS(conv1d(tape.input(zeros<float, Cpu>({2, 9, 4})), weight({1, 6, 3, 4})), ShapeError);
  CHECK_THROWS_WITH(conv1d(x, weight({1, 6, 12, 4}), {.padding = 1}),
                    "conv1d: the kernel of 12 is longer than the padded sequence [K=1 B=2 L=9 C=4] with padding 1");
  CHECK_THROWS_WITH(conv1d(x, weight({1, 6, 3, 4}), {.dilation = 5}),
                    "conv1d: the kernel of 3 with dilation 5 is longer than the padded sequence [K=1 B=2 L=9 C=4] "
                    "with padding 0");
  CHECK_THROWS_AS(conv1d(x, weight({1, 6, 10, 4})), ShapeError);
  CHECK_THROWS_WITH(conv1d(x, weight({1, 6, 3, 4}), {.stride = 0}),
                    "conv1d: stride 0 and padding 0; expected stride >= 1 and padding >= 0");
  CHECK_THROWS_AS(conv1d(x, weight({1, 6, 3, 4}), {.stride = 0}), OptionError);
  CHECK_THROWS_AS(conv1d(x, weight({2, 6, 3, 4})), ShapeError);
  CHECK_THROWS_WITH(
      conv1d(x, MemberWeight<float, Cpu>{weight({1, 6, 3, 4}),
                                         RankOneFactors<float, Cpu>{weight({1, 6}), weight({1, 3})}}),
      "conv1d: rank-1 factors r [K=1 O=6] and s [K=1 C=3] of a weight [1 6 3 4]; expected r [1 or K, 6] and s "
      "[1 or K, 4]");
  CHECK_THROWS_WITH(conv_transpose1d(x, weight({1, 4, 3, 6}), {.output_padding = 1}),
                    "conv_transpose1d: output_padding 1 with stride 1; it is 0 or more, and less than the stride");
  CHECK_THROWS_WITH(conv_transpose1d(x, weight({1, 5, 3, 6})),
                    "conv_transpose1d: x has 4 channels [K=1 B=2 L=9 C=4], weight expects 5 [C=5 k=3 O=6]");
  CHECK_THROWS_WITH(conv_transpose1d(x, weight({1, 4, 3, 6}), {.padding = 6}),
                    "conv_transpose1d: nothing is left of the result of [K=1 B=2 L=9 C=4] with padding 6");
}
