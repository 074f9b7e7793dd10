#include <lpw/autograd/softmax.hpp>

#include <limits>

#include "support/gradient_check.hpp"
#include "support/threads.hpp"

using namespace lpw;
using namespace lpw::test;

TEST_CASE("softmax: gradients, whole and causal", "[softmax]") {
  expect_gradient(
      "softmax", [](const auto& in) { return softmax(in[0]); }, random_inputs({{3, 2, 5}}));
  for (const Shape& shape : {Shape{3, 2, 4, 4}, Shape{2, 3, 5}, Shape{2, 5, 3}}) {
    // What is masked has no influence, so its gradient is compared by adding x itself.
    const auto causal = [](const auto& in) { return add(softmax(in[0], {.causal = true}), in[0]); };
    expect_gradient("causal softmax", causal, random_inputs({shape}));
  }
}

TEMPLATE_TEST_CASE("softmax: values, of large and masked numbers too", "[softmax]", float, bfloat16, double) {
  const Tape tape;
  const Shape shape{2, 3, 50};
  auto x = random_tensor<TestType>(shape, 1);
  for (std::int64_t i = 0; i < x.size(); ++i)
    x.data()[i] = TestType(static_cast<Accumulate<TestType>>(20 * double(x.data()[i]) + 1000));
  x.data()[7] = TestType(static_cast<Accumulate<TestType>>(-std::numeric_limits<double>::infinity()));
  for (const bool causal : {false, true}) {
    INFO("causal " << causal);
    const auto y = softmax(tape.input(x), {.causal = causal}).value();
    Worst worst;
    for (std::int64_t row = 0; row < 6; ++row) {
      const std::int64_t count = causal ? row % 3 + 1 : 50;
      double total = 0;
      for (std::int64_t j = 0; j < count; ++j) total += std::exp(double(x.data()[row * 50 + j]) - 1000);
      for (std::int64_t j = 0; j < 50; ++j) {
        const double p = j < count ? std::exp(double(x.data()[row * 50 + j]) - 1000) / total : 0;
        worst.add(row * 50 + j, double(y.data()[row * 50 + j]), p, p + 1e-30);
      }
    }
    // The exponential's few roundings, those of its argument (up to 40), of the sum and of the quotient; and one to T.
    CHECK(worst <= 50 * epsilon<Accumulate<TestType>>() + epsilon<TestType>() / 2);
  }
  CHECK(same_on_any_threads([&] { return values_of(softmax(tape.input(x)).value()); }));
}

TEST_CASE("softmax: what is not finite, and what it refuses", "[softmax]") {
  const Tape tape;
  const auto row = [&](std::vector<float> x) { return softmax(tape.input(tensor_of<float>({1, 3}, x))).value(); };
  const float infinity = std::numeric_limits<float>::infinity();
  CHECK(values_of(row({0, -infinity, 0})) == std::vector<double>{0.5, 0, 0.5});
  CHECK(std::isnan(row({-infinity, -infinity, -infinity}).data()[0]));
  for (const double x : values_of(row({0, std::nanf(""), 0}))) CHECK(std::isnan(x));
  for (const double x : values_of(row({std::nanf(""), 0, 0}))) CHECK(std::isnan(x));
  const auto variable = [&](const Shape& shape) { return tape.input(zeros<float, Cpu>(shape)); };
  CHECK_THROWS_WITH(softmax(variable({4, 4}), {.causal = true}),
                    "softmax: expected x [K ... M N], got [4 4]; K is the axis of the members, 1 for a plain network");
  CHECK_THROWS_AS(softmax(variable({4})), ShapeError);
  CHECK_THROWS_AS(softmax(variable({4, 0})), ShapeError);
}
