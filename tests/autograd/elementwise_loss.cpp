#include <lpw/autograd/elementwise_loss.hpp>

#include "support/errors.hpp"
#include "support/gradient_check.hpp"
#include "support/losses.hpp"
#include "support/threads.hpp"

using namespace lpw;
using namespace lpw::test;

namespace {

using BinaryOptions = BinaryCrossEntropyOptions<double, Cpu>;

/// f(x, t, e) of each element e of a sample: the mean over samples, and over members.
template <class F>
std::vector<double> plain_means(const DoubleTensor& x, const DoubleTensor& t, Reduction reduction, F f) {
  const std::int64_t samples = x.dim(0) * x.dim(1), elements = x.size() / samples;
  std::vector<double> losses(std::size_t(samples), 0.0), means(std::size_t(x.dim(0)), 0.0);
  for (std::int64_t i = 0; i < x.size(); ++i)
    losses[std::size_t(i / elements)] += f(x.data()[i], t.data()[i], i % elements) / double(elements);
  for (std::size_t i = 0; i < losses.size(); ++i) means[i / std::size_t(x.dim(1))] += losses[i] / double(x.dim(1));
  return reduction == Reduction::samples ? losses : means;
}

DoubleTensor targets_in_unit_interval(const Shape& shape) {
  auto t = random_tensor<double>(shape, 8);
  for (std::int64_t i = 0; i < t.size(); ++i) t.data()[i] = i % 3 == 0 ? double(i % 2) : (1 + t.data()[i]) / 2;
  return t;
}

constexpr Reduction reductions[] = {Reduction::mean, Reduction::samples};
const std::vector<Shape> shapes = {{1, 4}, {3, 2, 5}, {2, 3, 2, 2, 3}};

}  // namespace

TEST_CASE("mse_loss and l1_loss: means of members and losses of samples", "[loss]") {
  for (const Shape& shape : shapes)
    for (const Reduction reduction : reductions) {
      INFO(shape << (reduction == Reduction::mean ? " mean" : " samples"));
      const auto x = random_tensor<double>(shape, 1), t = random_tensor<double>(shape, 2);
      const Tape tape;
      const double tolerance = 40 * epsilon<double>();  // sums of up to 36 terms below 4
      CHECK(largest_difference(
                mse_loss(tape.input(x), t, {.reduction = reduction}).value(),
                plain_means(x, t, reduction, [](double a, double b, auto) { return (a - b) * (a - b); })) <= tolerance);
      CHECK(largest_difference(
                l1_loss(tape.input(x), t, {.reduction = reduction}).value(),
                plain_means(x, t, reduction, [](double a, double b, auto) { return std::abs(a - b); })) <= tolerance);
    }
}

TEST_CASE("binary_cross_entropy_with_logits: the definition, with and without positive weights", "[loss]") {
  for (const Shape& shape : shapes)
    for (const Reduction reduction : reductions)
      for (const bool weighted : {false, true}) {
        INFO(shape << (reduction == Reduction::mean ? " mean" : " samples") << (weighted ? " weighted" : ""));
        if (shape.rank() == 2 && weighted) continue;  // columns would be samples
        const auto x = random_tensor<double>(shape, 1), t = targets_in_unit_interval(shape);
        auto positive = random_tensor<double>({shape[-1]}, 3);
        for (std::int64_t c = 0; c < positive.size(); ++c) positive.data()[c] += 2;
        const auto expected = plain_means(x, t, reduction, [&](double a, double b, std::int64_t e) {
          const double p = weighted ? positive.data()[e % shape[-1]] : 1, sigmoid = 1 / (1 + std::exp(-a));
          return -(p * b * std::log(sigmoid) + (1 - b) * std::log(1 - sigmoid));
        });
        BinaryOptions options{.reduction = reduction};
        if (weighted) options.positive_weight = positive;
        const Tape tape;
        CHECK(largest_difference(binary_cross_entropy_with_logits(tape.input(x), t, options).value(), expected) <=
              100 * epsilon<double>());  // sums of up to 36 terms below 5
      }
}

TEST_CASE("elementwise losses: gradients of both sides", "[loss]") {
  for (const Shape& shape : shapes)
    for (const Reduction reduction : reductions) {
      INFO(shape << (reduction == Reduction::mean ? " mean" : " samples"));
      auto inputs = random_inputs({shape, shape});
      for (std::int64_t i = 0; i < inputs[1].size(); ++i)  // away from the kink of |x - t|
        inputs[1].data()[i] = inputs[0].data()[i] + (i % 2 ? 0.5 : -0.5) + inputs[1].data()[i] / 4;
      const LossOptions options{.reduction = reduction};
      expect_gradient(
          "mse_loss", [&](const auto& in) { return mse_loss(in[0], in[1], options); }, inputs);
      expect_gradient(
          "l1_loss", [&](const auto& in) { return l1_loss(in[0], in[1], options); }, inputs);
      const auto t = targets_in_unit_interval(shape);
      for (const bool weighted : {false, true}) {
        BinaryOptions binary{.reduction = reduction};
        if (weighted) binary.positive_weight = full<double, Cpu>({shape[-1]}, 2.5);
        expect_gradient("binary_cross_entropy_with_logits",
                        [&](const auto& in) { return binary_cross_entropy_with_logits(in[0], t, binary); },
                        {inputs[0]});
      }
    }
}

TEMPLATE_TEST_CASE("elementwise losses: float and bfloat16 round what double gives", "[loss]", float, bfloat16) {
  const auto inputs = random_inputs({{2, 3, 37}, {2, 3, 37}});
  const auto check = [](const auto& worst) {
    // Values of some ten roundings in float, sums of 37 in double; gradients rounded to T.
    CHECK(worst.first <= 20 * epsilon<float>());
    CHECK(worst.second <= 20 * epsilon<float>() + epsilon<TestType>());
  };
  for (const Reduction reduction : reductions) {
    const LossOptions options{.reduction = reduction};
    check(errors_in<TestType>(inputs, [&](const auto& in) { return mse_loss(in[0], in[1], options); }));
    check(errors_in<TestType>(inputs, [&](const auto& in) { return l1_loss(in[0], in[1], options); }));
    check(errors_in<TestType>({inputs[0]}, [&]<class T>(const std::vector<Variable<T, Cpu>>& in) {
      const auto t = converted<T>(rounded_to<TestType>(targets_in_unit_interval({2, 3, 37})));
      const BinaryCrossEntropyOptions<Accumulate<T>, Cpu> binary{
          .positive_weight = converted<Accumulate<T>>(rounded_to<float>(targets_in_unit_interval({37}))),
          .reduction = reduction};
      return binary_cross_entropy_with_logits(in[0], t, binary);
    }));
  }
}

TEMPLATE_TEST_CASE("binary_cross_entropy_with_logits: large logits keep loss and gradient", "[loss]", float, double) {
  Tape tape;
  auto gradient = zeros<TestType, Cpu>({1, 6});
  const std::vector<TestType> logits{-1000, 1000, -1000, 1000, -40, 40}, targets{0, 1, 1, 0, 0, 1};
  const auto losses =
      binary_cross_entropy_with_logits(tape.leaf(tensor_of<TestType>({1, 6}, logits), gradient),
                                       tensor_of<TestType>({1, 6}, targets), {.reduction = Reduction::samples});
  const double small = std::exp(-40.0);
  CHECK(values_of(losses.value()).size() == 6);
  CHECK(distance(losses.value(), std::vector<double>{0, 0, 1000, 1000, small, small}) <= epsilon<TestType>());
  CHECK(std::abs(double(losses.value().data()[4]) / small - 1) <= 4 * epsilon<TestType>());  // not lost beside 1
  backward_of_sum(tape, losses);
  CHECK(std::abs(double(gradient.data()[4]) / small - 1) <= 4 * epsilon<TestType>());
  CHECK(std::abs(double(gradient.data()[5]) / -small - 1) <= 4 * epsilon<TestType>());
  CHECK(distance(values_of(gradient), std::vector<double>{0, 0, -1, 1, small, -small}) <= epsilon<TestType>());
}

TEST_CASE("elementwise losses: NaN reaches loss and gradient", "[loss]") {
  for (int kind = 0; kind < 3; ++kind) {
    Tape tape;
    const auto gradient = zeros<float, Cpu>({2, 1, 3});
    auto x = zeros<float, Cpu>({2, 1, 3});
    x.data()[1] = std::nanf("");
    const auto leaf = tape.leaf(x, gradient);
    const auto t = full<float, Cpu>({2, 1, 3}, 0.5f);
    const auto loss = kind == 0   ? mse_loss(leaf, t)
                      : kind == 1 ? l1_loss(leaf, t)
                                  : binary_cross_entropy_with_logits(leaf, t);
    const auto value = clone(loss.value());
    CHECK(std::isnan(value.data()[0]));
    CHECK(std::isfinite(value.data()[1]));
    tape.backward(loss);
    CHECK(std::isnan(gradient.data()[1]));
    CHECK(std::isfinite(gradient.data()[0]));
  }
}

TEST_CASE("binary_cross_entropy_with_logits: targets and positive weights may lie strided", "[loss]") {
  const auto inputs = random_inputs({{2, 3, 4}, {2, 3, 4}, {4}});
  auto targets = zeros<double, Cpu>({2, 15}).columns(2, {3, 4}), positive = zeros<double, Cpu>({4, 3}).columns(1, {});
  copy(inputs[1], targets);
  auto weights = inputs[2];
  for (std::int64_t c = 0; c < 4; ++c) weights.data()[c] += 1;
  copy(weights, positive);
  const auto results = [&](const DoubleTensor& t, const DoubleTensor& p) {
    return values_and_gradients<double>({inputs[0]}, [&](const auto& in) {
      return binary_cross_entropy_with_logits(in[0], t, {.positive_weight = p});
    });
  };
  CHECK(results(targets, positive) == results(inputs[1], weights));
}

TEST_CASE("elementwise losses: the same bits on any number of threads", "[loss]") {
  CHECK(same_on_any_threads([] {
    return values_and_gradients<float>(random_inputs({{3, 40, 200}, {3, 40, 200}}),
                                       [](const auto& in) { return mse_loss(in[0], in[1]); });
  }));
}

TEST_CASE("elementwise losses: shapes that do not fit", "[loss]") {
  const Tape tape;
  const auto x = tape.input(zeros<float, Cpu>({2, 3, 4}));
  CHECK(message_of<ShapeError>([&] {
          (void)mse_loss(x, zeros<float, Cpu>({2, 3, 1}));
        }) == "mse_loss: x is [2 3 4], target [2 3 1]; shapes must be equal, nothing is broadcast");
  CHECK(message_of<ShapeError>([&] { (void)l1_loss(tape.input(zeros<float, Cpu>({3})), zeros<float, Cpu>({3})); }) ==
        "l1_loss: expected x [K B ...], got [3]; K is the axis of the members, 1 for a plain network");
  CHECK(message_of<ShapeError>([&] {
          (void)binary_cross_entropy_with_logits(x, zeros<float, Cpu>({2, 3, 4}),
                                                 {.positive_weight = zeros<float, Cpu>({3})});
        }) ==
        "binary_cross_entropy_with_logits: positive_weight is [3], the last axis of x [2 3 4] has 4 columns; "
        "expected a weight for each");
  CHECK(message_of<OptionError>([&] {
          (void)binary_cross_entropy_with_logits(
              x, zeros<float, Cpu>({2, 3, 4}),
              {.positive_weight = tensor_of<float>({4}, std::vector<float>{1, 0, -1, 2})});
        }) == "binary_cross_entropy_with_logits: positive weight -1 at 2; expected a number of 0 or more");
  CHECK(message_of<ShapeError>([&] {
          (void)mse_loss(tape.input(zeros<float, Cpu>({2, 0})), zeros<float, Cpu>({2, 0}));
        }) == "mse_loss: a tensor of shape [2 0] has no elements");
}
