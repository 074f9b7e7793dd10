// The functions of elements, and their sums, against plain loops in double: one table of layouts for both devices.
#pragma once

#include <cmath>
#include <functional>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include <lpw/primitives/mapping.hpp>

#include "catch.hpp"
#include "support/compare.hpp"
#include "support/random.hpp"

namespace lpw::test {

/// How the operands and the result of a function lie along a shape. Where a stride of the result is 0, sums go.
struct Layout {
  const char* name;
  Shape shape;
  Strides x, y, b, result;
  std::int64_t first = 0;  // of the result, and of x
};

inline const Layout applied_layouts[] = {
    {"one element", {1, 1}, {}, {}, {}, {1, 1}},
    {"one after another", {3, 5, 7}, {35, 7, 1}, {35, 7, 1}, {35, 7, 1}, {35, 7, 1}},
    {"whole vectors", {2, 9, 64}, {576, 64, 1}, {576, 64, 1}, {576, 64, 1}, {576, 64, 1}},
    {"b repeated over rows", {2, 9, 64}, {576, 64, 1}, {576, 64, 1}, {64, 0, 1}, {576, 64, 1}},
    {"b repeated along rows", {3, 5, 16}, {80, 16, 1}, {80, 16, 1}, {0, 1, 0}, {80, 16, 1}},
    {"b alone", {3, 5, 7}, {35, 7, 1}, {35, 7, 1}, {}, {35, 7, 1}},
    {"x transposed", {2, 6, 8, 24}, {1152, 24, 144, 1}, {1152, 192, 24, 1}, {0, 192, 24, 1}, {1152, 192, 24, 1}},
    {"x transposed along rows", {2, 7, 5}, {35, 1, 7}, {35, 5, 1}, {5, 0, 1}, {35, 5, 1}},
    {"a part of the result", {2, 4, 16}, {64, 16, 1}, {64, 16, 1}, {64, 16, 1}, {160, 32, 1}, 16},
    {"every third of the result", {2, 7}, {7, 1}, {7, 1}, {7, 1}, {30, 3}, 5},
    {"many elements", {1, 70, 129}, {9030, 129, 1}, {9030, 129, 1}, {0, 0, 1}, {9030, 129, 1}},
    {"six axes",
     {2, 3, 2, 3, 2, 3},
     {1, 2, 6, 12, 36, 72},
     {108, 36, 18, 6, 3, 1},
     {0, 1, 0, 3, 0, 9},
     {108, 36, 18, 6, 3, 1}}};

inline const Layout summed_layouts[] = {
    {"one element", {1, 1}, {}, {}, {}, {}},
    {"nothing summed", {2, 7}, {7, 1}, {7, 1}, {7, 1}, {7, 1}},
    {"along rows", {3, 5, 70}, {350, 70, 1}, {350, 70, 1}, {0, 0, 1}, {5, 1, 0}},
    {"along short rows", {30, 5}, {5, 1}, {5, 1}, {0, 1}, {1, 0}},
    {"across rows", {3, 50, 70}, {3500, 70, 1}, {3500, 70, 1}, {70, 0, 1}, {70, 0, 1}},
    {"across members", {4, 2, 5}, {10, 5, 1}, {10, 5, 1}, {0, 5, 1}, {0, 5, 1}},
    {"all", {3, 5, 7}, {35, 7, 1}, {35, 7, 1}, {0, 7, 1}, {}},
    {"across and along", {2, 9, 3, 40}, {1080, 120, 40, 1}, {1080, 120, 40, 1}, {0, 0, 40, 1}, {3, 0, 1, 0}},
    {"every second result", {2, 3, 40}, {120, 40, 1}, {120, 40, 1}, {40, 0, 1}, {6, 2, 0}, 3},
    {"in parts along rows", {2, 20000}, {20000, 1}, {20000, 1}, {0, 1}, {1, 0}},
    {"in parts across rows", {2, 1100, 3}, {3300, 3, 1}, {3300, 3, 1}, {3, 0, 1}, {3, 0, 1}},
    {"all, in parts", {2, 300, 70}, {21000, 70, 1}, {21000, 70, 1}, {0, 0, 1}, {}}};

/// f(x, y, b) in double, as primitives/function.hpp says it.
[[nodiscard]] inline double function_in_double(Function f, double x, double y, double b, double scale, double shift) {
  const auto sigmoid = [](double z) { return 1 / (1 + std::exp(-z)); };
  const auto gelu = [](double z) { return z * std::erfc(-z / std::sqrt(2.0)) / 2; };
  const auto gelu_tanh = [](double z) {
    return z * (1 + std::tanh(std::sqrt(2 / std::acos(-1.0)) * (z + 0.044715 * z * z * z))) / 2;
  };
  const auto silu = [&](double z) { return z * sigmoid(z); };
  const auto slope = [&](const auto& function) {  // by a difference of the fourth order
    const double h = 1e-3;
    return (8 * (function(y + h) - function(y - h)) - (function(y + 2 * h) - function(y - 2 * h))) / (12 * h);
  };
  switch (f) {
    case Function::identity:
      return x;
    case Function::negative:
      return -x;
    case Function::affine:
      return scale * x + shift;
    case Function::spread:
      return scale * b;
    case Function::add:
      return x + b;
    case Function::subtract:
      return x - b;
    case Function::multiply:
      return x * b;
    case Function::divide:
      return x / b;
    case Function::product:
      return x * y;
    case Function::divisor_slope:
      return -x * y / (b * b);
    case Function::exp:
      return std::exp(x);
    case Function::log:
      return std::log(x);
    case Function::sqrt:
      return std::sqrt(x);
    case Function::sigmoid:
      return sigmoid(x);
    case Function::tanh:
      return std::tanh(x);
    case Function::gelu:
      return gelu(x);
    case Function::gelu_tanh:
      return gelu_tanh(x);
    case Function::silu:
      return silu(x);
    case Function::exp_slope:
      return x * std::exp(y);
    case Function::log_slope:
      return x / y;
    case Function::sqrt_slope:
      return x / (2 * std::sqrt(y));
    case Function::sigmoid_slope:
      return x * slope(sigmoid);
    case Function::tanh_slope:
      return x * slope([](double z) { return std::tanh(z); });
    case Function::gelu_slope:
      return x * slope(gelu);
    case Function::gelu_tanh_slope:
      return x * slope(gelu_tanh);
    case Function::silu_slope:
      return x * slope(silu);
  }
  return std::nan("");
}

inline constexpr int function_count = static_cast<int>(Function::silu_slope) + 1;

/// body(std::integral_constant<Function, f>) for each function.
template <class Body>
void for_each_function(const Body& body) {
  [&]<int... f>(std::integer_sequence<int, f...>) {
    (body(std::integral_constant<Function, static_cast<Function>(f)>()), ...);
  }
  (std::make_integer_sequence<int, function_count>());
}

/// A tensor whose elements are reached from `first` on by the strides, and no more than these need.
template <class T>
[[nodiscard]] Strided<T, Cpu> laid_out(const Shape& shape, const Strides& strides, std::int64_t first,
                                       std::uint32_t key) {
  std::int64_t last = first;
  for (int axis = 0; axis < shape.rank(); ++axis) last += (shape[axis] - 1) * strides[to_size(axis)];
  auto tensor = random_tensor<T>({last + 1}, key);
  for (std::int64_t i = 0; i <= last; ++i) {  // from 0.5 to 1.5, of either sign
    const double value = double(tensor.data()[i]);
    tensor.data()[i] = T(static_cast<Accumulate<T>>(value + (value < 0 ? -0.5 : 0.5)));
  }
  return {tensor, strides, first};
}

/// Calls body(element of x, of y, of b, of the result) for each index.
template <class Body>
void walk_plainly(const Layout& layout, const Body& body) {
  for (std::int64_t i = 0; i < layout.shape.size(); ++i) {
    std::int64_t rest = i, x = layout.first, y = 0, b = 0, result = layout.first;
    for (int axis = layout.shape.rank() - 1; axis >= 0; --axis) {
      const std::int64_t at = rest % layout.shape[axis];
      rest /= layout.shape[axis];
      x += at * layout.x[to_size(axis)];
      y += at * layout.y[to_size(axis)];
      b += at * layout.b[to_size(axis)];
      result += at * layout.result[to_size(axis)];
    }
    body(x, y, b, result);
  }
}

/// What apply_function and sum_function of one function are, compiled: for pointers to them, and what calls these.
template <class T, class B, class Out, class Device = Cpu>
using FunctionRun = void(const Shape&, const FunctionInputs<T, B, Device>&, StridedTarget<Out, Device>);

/// Function f over a layout: run(shape, inputs, target) leaves in the target what apply_function or sum_function of f
/// would. `slack`: how many roundings of an intermediate result a value may be off by. Nothing here is a template over
/// f, of which there are dozens.
template <class T, class B, class Out>
void check_mapping(Function f, const Layout& layout, bool accumulate, double slack,
                   const std::function<FunctionRun<T, B, Out>>& run) {
  FunctionInputs<T, B, Cpu> inputs{.x = laid_out<T>(layout.shape, layout.x, layout.first, 1),
                                   .y = laid_out<T>(layout.shape, layout.y, 0, 2),
                                   .b = laid_out<B>(layout.shape, layout.b, 0, 3),
                                   .scale = -1.5,
                                   .shift = 0.25};
  for (auto* positive : {&inputs.x, &inputs.y})  // for logarithms and roots
    if (f == Function::log || f == Function::sqrt || f == Function::log_slope || f == Function::sqrt_slope)
      for (std::int64_t i = 0; i < positive->tensor.size(); ++i)
        positive->tensor.data()[i] = T(std::abs(static_cast<Accumulate<T>>(positive->tensor.data()[i])));
  StridedTarget<Out, Cpu> target{laid_out<Out>(layout.shape, layout.result, layout.first, 4), accumulate};
  const auto before = clone(target.to.tensor);
  std::vector<double> expected = values_of(before), magnitude(expected.size(), 0.0);
  std::vector<double> terms(expected.size(), 0.0);
  walk_plainly(layout, [&](std::int64_t x, std::int64_t y, std::int64_t b, std::int64_t result) {
    const auto at = to_size(result);
    const double value = function_in_double(f, double(inputs.x.tensor.data()[x]), double(inputs.y.tensor.data()[y]),
                                            double(inputs.b.tensor.data()[b]), inputs.scale, inputs.shift);
    if (terms[at] == 0) expected[at] = accumulate ? expected[at] : 0.0;
    if (terms[at] == 0) magnitude[at] = std::abs(expected[at]) + 0.5;
    terms[at] += 1;
    expected[at] += value;
    magnitude[at] += std::abs(value);
  });
  run(layout.shape, inputs, target);
  Worst worst;
  const auto found = values_of(target.to.tensor);
  for (std::size_t i = 0; i < found.size(); ++i) {
    // Roundings of a value in W, of a sum in W, of the slopes' differences in double, and of the result; what is no
    // result is as it was.
    const double allowed =
        slack * epsilon<Accumulate<T>>() * magnitude[i] + 1e-9 * magnitude[i] + epsilon<Out>() * std::abs(expected[i]);
    worst.add(static_cast<std::int64_t>(i), found[i], expected[i], terms[i] > 0 ? allowed : 1e-300);
  }
  INFO("function " << static_cast<int>(f) << ", " << layout.name << ", accumulate " << accumulate);
  CHECK(worst <= 1);
}

}  // namespace lpw::test
