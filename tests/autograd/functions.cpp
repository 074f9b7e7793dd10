#include <lpw/autograd/functions.hpp>

#include <limits>

#include "support/gradient_check.hpp"

using namespace lpw;
using namespace lpw::test;

namespace {

template <class T>
struct NamedFunction {
  const char* name;
  Variable<T, Cpu> (*operation)(const Variable<T, Cpu>&);
  double (*value)(double);
  bool positive;  // defined for positive numbers only
};

template <class T>
std::vector<NamedFunction<T>> all_functions() {
  using V = Variable<T, Cpu>;
  return {{"exp", [](const V& x) { return exp(x); }, [](double x) { return std::exp(x); }, false},
          {"log", [](const V& x) { return log(x); }, [](double x) { return std::log(x); }, true},
          {"sqrt", [](const V& x) { return sqrt(x); }, [](double x) { return std::sqrt(x); }, true},
          {"reciprocal", [](const V& x) { return reciprocal(x); }, [](double x) { return 1 / x; }, true},
          {"sigmoid", [](const V& x) { return sigmoid(x); }, [](double x) { return 1 / (1 + std::exp(-x)); }, false},
          {"tanh", [](const V& x) { return tanh(x); }, [](double x) { return std::tanh(x); }, false},
          {"gelu", [](const V& x) { return gelu(x); }, [](double x) { return x * std::erfc(-x / std::sqrt(2.0)) / 2; },
           false},
          {"gelu by tanh", [](const V& x) { return gelu(x, {.tanh = true}); },
           [](double x) {
             const double u = std::sqrt(2 / std::acos(-1.0)) * (x + 0.044715 * x * x * x);
             return x / (1 + std::exp(-2 * u));
           },
           false},
          {"silu", [](const V& x) { return silu(x); }, [](double x) { return x / (1 + std::exp(-x)); }, false}};
}

/// From -12 to 12, or from 2^-12 to 12.
template <class T>
Tensor<T, Cpu> arguments(bool positive) {
  Tensor<T, Cpu> x({1, 97});
  for (std::int64_t i = 0; i < x.size(); ++i) {
    const double value = positive ? std::exp2(-12 + 15.5 * static_cast<double>(i) / 96) : -12 + 0.25 * double(i);
    x.data()[i] = T(static_cast<Accumulate<T>>(value));
  }
  return x;
}

}  // namespace

TEST_CASE("functions of one variable: gradients", "[functions]") {
  for (const auto& function : all_functions<double>()) {
    auto inputs = random_inputs({{3, 2, 5}});
    for (std::int64_t i = 0; i < inputs[0].size(); ++i) {
      double& x = inputs[0].data()[i];
      x = function.positive ? 0.5 + std::abs(x) : 3 * x;
    }
    expect_gradient(
        function.name, [&](const auto& in) { return function.operation(in[0]); }, inputs);
  }
}

TEMPLATE_TEST_CASE("functions of one variable: values and slopes to the type's last digits, in the tails too",
                   "[functions]", float, bfloat16, double) {
  for (const auto& function : all_functions<TestType>()) {
    INFO(function.name);
    const auto x = arguments<TestType>(function.positive);
    Tape tape;
    auto dx = zeros<TestType, Cpu>(x.shape());
    const auto y = function.operation(tape.leaf(x, dx));
    Worst values, slopes;
    // Some roundings of a value in Accumulate<T>, the argument's among them, which exp(x) multiplies by x (up to 12)
    // and the tails of gelu by x^2 / 2 and by the exponent of its tanh form (up to 200); and one to T.
    const double tolerance = 400 * epsilon<Accumulate<TestType>>() + epsilon<TestType>() / 2;
    for (std::int64_t i = 0; i < x.size(); ++i) {
      const double at = double(x.data()[i]), expected = function.value(at);
      values.add(i, double(y.value().data()[i]), expected, std::abs(expected) + 1e-30);
    }
    CHECK(values <= tolerance);
    backward_of_sum(tape, y);
    for (std::int64_t i = 0; i < x.size(); ++i) {
      const double at = double(x.data()[i]), h = 1e-5 * std::max(1e-3, std::abs(at));
      const double slope = (function.value(at + h) - function.value(at - h)) / (2 * h);
      // Of the difference in double: rounding, eps |f| / h, and h^2 f''' / 6.
      slopes.add(i, double(dx.data()[i]), slope, std::abs(slope) + 1e-4);
    }
    CHECK(slopes <= tolerance + 1e-6);
  }
}

TEMPLATE_TEST_CASE("functions of one variable: values and slopes of large numbers are those of their limits",
                   "[functions]", float, bfloat16, double) {
  const double huge = std::is_same_v<TestType, double> ? 1e300 : 3e38;
  const std::vector<double> numbers{90, 150, 1e13, 1e20, huge};
  Tensor<TestType, Cpu> x({1, 2 * std::ssize(numbers)});
  for (std::int64_t i = 0; i < x.size(); ++i)
    x.data()[i] =
        TestType(static_cast<Accumulate<TestType>>(i % 2 ? numbers[to_size(i / 2)] : -numbers[to_size(i / 2)]));
  for (const auto& function : all_functions<TestType>()) {
    const std::string name = function.name;
    if (function.positive || name == "exp") continue;
    INFO(name);
    const bool bounded = name == "sigmoid" || name == "tanh";
    Tape tape;
    auto dx = zeros<TestType, Cpu>(x.shape());
    const auto y = function.operation(tape.leaf(x, dx));
    const auto values = y.value();
    backward_of_sum(tape, y);
    for (std::int64_t i = 0; i < x.size(); ++i) {
      const double at = double(x.data()[i]), low = name == "tanh" ? -1 : 0;
      INFO("x " << at);
      CHECK(std::abs(double(values.data()[i]) - (at < 0 ? low : bounded ? 1 : at)) <= 1e-36);
      CHECK(std::abs(double(dx.data()[i]) - (at > 0 && !bounded ? 1 : 0)) <= 1e-36);
    }
  }
}

TEST_CASE("functions of one variable: what is not finite", "[functions]") {
  const float infinity = std::numeric_limits<float>::infinity();
  const Tape tape;
  const auto x = tape.input(tensor_of<float>({4}, std::vector<float>{std::nanf(""), infinity, -infinity, 0}));
  for (const auto& function : all_functions<float>()) {
    INFO(function.name);
    const auto y = function.operation(x).value();
    CHECK(std::isnan(y.data()[0]));
    CHECK(y.data()[1] == static_cast<float>(function.value(double(infinity))));
    CHECK(y.data()[3] == static_cast<float>(function.value(0)));
  }
  CHECK(exp(x).value().data()[2] == 0);
  CHECK(tanh(x).value().data()[2] == -1);
  CHECK(std::isnan(sqrt(x).value().data()[2]));
  CHECK(std::isnan(log(x).value().data()[2]));
}
