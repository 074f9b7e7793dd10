// Operations of what a researcher's own layers are made of, on the GPU and on the CPU: values, and the gradients of all
// operands.
#include <lpw/autograd/arithmetic.hpp>
#include <lpw/autograd/concat.hpp>
#include <lpw/autograd/functions.hpp>
#include <lpw/autograd/matmul.hpp>
#include <lpw/autograd/permute.hpp>
#include <lpw/autograd/repeat_members.hpp>
#include <lpw/autograd/slice.hpp>
#include <lpw/autograd/softmax.hpp>
#include <lpw/autograd/sums.hpp>

#include "cuda/support.hpp"

using namespace lpw;
using namespace lpw::test;

namespace {

/// y = operation(inputs, parameters) and all gradients, where y's gradient is drawn.
template <class D, class T, class Operation>
std::vector<Tensor<double, Cpu>> results_on(const Operation& operation, const std::vector<Tensor<T, Cpu>>& inputs,
                                            const std::vector<Tensor<float, Cpu>>& parameters) {
  Tape tape;
  std::vector<Variable<T, D>> variables;
  std::vector<Variable<float, D>> weights;
  std::vector<Tensor<T, D>> gradients;
  std::vector<Tensor<float, D>> weight_gradients;
  for (const auto& input : inputs) {
    gradients.push_back(zeros<T, D>(input.shape()));
    variables.push_back(tape.leaf(to_device<D>(input), gradients.back()));
  }
  for (const auto& parameter : parameters) {
    weight_gradients.push_back(zeros<float, D>(parameter.shape()));
    weights.push_back(tape.leaf(to_device<D>(parameter), weight_gradients.back()));
  }
  const auto y = operation(variables, weights);
  using V = typename std::decay_t<decltype(y.value())>::value_type;
  std::vector<Tensor<double, Cpu>> results{converted<double>(to_host(y.value()))};
  tape.backward(y, to_device<D>(random_tensor<V>(y.shape(), 99)));
  for (const auto& gradient : gradients) results.push_back(converted<double>(to_host(gradient)));
  for (const auto& gradient : weight_gradients) results.push_back(converted<double>(to_host(gradient)));
  return results;
}

template <class T, class Operation>
void check_operation(const char* name, const Operation& operation, const std::vector<Shape>& shapes,
                     const std::vector<Shape>& parameter_shapes = {}) {
  std::vector<Tensor<T, Cpu>> inputs;
  std::vector<Tensor<float, Cpu>> parameters;
  for (const Shape& shape : shapes) {
    inputs.push_back(random_tensor<T>(shape, static_cast<std::uint32_t>(inputs.size())));
    auto& input = inputs.back();  // positive and away from 0, for logarithms and quotients
    for (std::int64_t i = 0; i < input.size(); ++i) input.data()[i] = T(1.5f + float(input.data()[i]));
  }
  for (const Shape& shape : parameter_shapes)
    parameters.push_back(random_tensor<float>(shape, static_cast<std::uint32_t>(50 + parameters.size())));
  const auto expected = results_on<Cpu>(operation, inputs, parameters),
             found = results_on<Cuda>(operation, inputs, parameters);
  for (std::size_t i = 0; i < expected.size(); ++i) {
    INFO(name << ", result " << i << " of y and the gradients");
    // Some roundings in float, sums of up to some hundred terms in another order, and one rounding to T that may fall
    // to either side, relative to the largest value.
    CHECK(relative_difference(found[i], expected[i]) <= 300 * epsilon<float>() + epsilon<T>());
  }
}

}  // namespace

TEMPLATE_TEST_CASE("arithmetic and sums on the GPU are the CPU's, with their gradients", "[gpu]", float, bfloat16) {
  using T = TestType;
  check_operation<T>("sub", [](const auto& x, const auto&) { return sub(x[0], x[1]); }, {{2, 3, 16}, {2, 3, 16}});
  check_operation<T>("mul", [](const auto& x, const auto&) { return mul(x[0], x[1]); }, {{2, 3, 5}, {2, 3, 5}});
  check_operation<T>("div", [](const auto& x, const auto&) { return div(x[0], x[1], {.over = {1}}); },
                     {{2, 30, 16}, {1, 16}});
  check_operation<T>("mul by a parameter", [](const auto& x, const auto& w) { return mul(x[0], w[0], {.over = {1}}); },
                     {{2, 70, 24}}, {{2, 24}});
  check_operation<T>("add a shared parameter",
                     [](const auto& x, const auto& w) { return add(x[0], w[0], {.over = {1}}); }, {{2, 7, 5}},
                     {{1, 5}});
  check_operation<T>("affine", [](const auto& x, const auto&) { return affine(x[0], {.scale = 3, .shift = -1}); },
                     {{2, 7, 5}});
  check_operation<T>("sum", [](const auto& x, const auto&) { return sum(x[0]); }, {{2, 70, 50}});
  check_operation<T>("mean over rows", [](const auto& x, const auto&) { return mean(x[0], {.over = {1}}); },
                     {{2, 70, 24}});
  check_operation<T>("a layer's normalisation",
                     [](const auto& x, const auto& w) {
                       const auto centred = sub(x[0], mean(x[0], {.over = {-1}}), {.over = {-1}});
                       const auto variance = mean(mul(centred, centred), {.over = {-1}});
                       const auto y = div(centred, sqrt(affine(variance, {.shift = 1e-5})), {.over = {-1}});
                       return mul(y, w[0], {.over = {1}});
                     },
                     {{2, 6, 32}}, {{2, 32}});
}

TEMPLATE_TEST_CASE("functions of one variable on the GPU are the CPU's, with their gradients", "[gpu]", float,
                   bfloat16) {
  const std::vector<Shape> shapes{{2, 5, 16}};
  const auto check = [&](const char* name, const auto& f) {
    check_operation<TestType>(
        name, [&](const auto& x, const auto&) { return f(x[0]); }, shapes);
  };
  check("exp", [](const auto& x) { return exp(x); });
  check("log", [](const auto& x) { return log(x); });
  check("sqrt", [](const auto& x) { return sqrt(x); });
  check("reciprocal", [](const auto& x) { return reciprocal(x); });
  check("sigmoid", [](const auto& x) { return sigmoid(x); });
  check("tanh", [](const auto& x) { return tanh(x); });
  check("gelu", [](const auto& x) { return gelu(x); });
  check("gelu by tanh", [](const auto& x) { return gelu(x, {.tanh = true}); });
  check("silu", [](const auto& x) { return silu(x); });
}

TEMPLATE_TEST_CASE("matrix products and softmax on the GPU are the CPU's, with their gradients", "[gpu]", float,
                   bfloat16) {
  using T = TestType;
  for (const std::int64_t members_a : {1, 3})
    for (const std::int64_t members_b : {1, 3})
      for (const bool transposed : {false, true})
        for (const bool batched : {false, true}) {
          const auto product = [&](const auto& x, const auto&) {
            return matmul(x[0], x[1], {.transpose_a = transposed, .transpose_b = transposed});
          };
          const auto shape = [&](std::int64_t members, std::int64_t rows, std::int64_t columns) {
            const Shape matrix = transposed ? Shape{columns, rows} : Shape{rows, columns};
            return (batched ? matrix.prepend(2) : matrix).prepend(members);
          };
          check_operation<T>("matmul", product, {shape(members_a, 5, 8), shape(members_b, 8, 3)});
        }
  for (const bool causal : {false, true}) {
    const auto attention = [&](const auto& x, const auto&) { return softmax(x[0], {.causal = causal}); };
    for (const std::int64_t columns : {1, 5, 16, 700}) check_operation<T>("softmax", attention, {{2, 3, 7, columns}});
  }
  const auto logarithm = [](const auto& x, const auto&) { return log_softmax(x[0]); };
  for (const std::int64_t columns : {1, 5, 16, 700}) check_operation<T>("log_softmax", logarithm, {{2, 7, columns}});
}

TEMPLATE_TEST_CASE("axes permuted, cut and put together on the GPU are the CPU's, with their gradients", "[gpu]", float,
                   bfloat16) {
  using T = TestType;
  check_operation<T>("repeat_members", [](const auto& x, const auto&) { return repeat_members(x[0], 3); }, {{1, 5, 7}});
  check_operation<T>("permute",
                     [](const auto& x, const auto&) {
                       return permute(x[0], {0, 2, 1, 3});
                     },
                     {{2, 3, 4, 16}});
  check_operation<T>("transpose", [](const auto& x, const auto&) { return transpose(x[0]); }, {{2, 33, 17}});
  check_operation<T>("slice",
                     [](const auto& x, const auto&) { return slice(x[0], {.axis = 1, .first = 1, .count = 2}); },
                     {{2, 4, 16}});
  check_operation<T>("slice of members",
                     [](const auto& x, const auto&) { return slice(x[0], {.axis = 0, .first = 1}); }, {{2, 4, 16}});
  check_operation<T>("concat", [](const auto& x, const auto&) { return concat(x, 1); }, {{2, 4, 16}, {2, 1, 16}});
  check_operation<T>("concat of columns", [](const auto& x, const auto&) { return concat(x, -1); },
                     {{2, 4, 3}, {2, 4, 8}, {2, 4, 1}});
}
