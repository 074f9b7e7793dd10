// Traces of forward passes: what is listed, and that a pass is the same without one.
#include <lpw/autograd/trace.hpp>

#include <lpw/autograd/batch_norm.hpp>
#include <lpw/autograd/conv2d.hpp>
#include <lpw/autograd/cross_entropy.hpp>
#include <lpw/autograd/dropout.hpp>
#include <lpw/autograd/embedding.hpp>
#include <lpw/autograd/linear.hpp>
#include <lpw/autograd/lstm.hpp>
#include <lpw/autograd/pooling.hpp>
#include <lpw/autograd/reshape.hpp>

#include "support/gradient_check.hpp"

using namespace lpw;
using namespace lpw::test;

namespace {

using Floats = Tensor<float, Cpu>;
using Kind = TracedValue::Kind;

/// Weights of a small network for two members: convolution, batch norm with ReLU, convolution plus a residual, pool,
/// dropout, head.
struct Weights {
  Floats images = random_tensor<float>({2, 3, 8, 8, 4}, 1), kernel = random_tensor<float>({1, 4, 3, 3, 4}, 2),
         gamma = random_tensor<float>({2, 4}, 3), beta = random_tensor<float>({2, 4}, 4),
         mean = zeros<float, Cpu>({2, 4}), variance = full<float, Cpu>({2, 4}, 1), r = random_tensor<float>({2, 4}, 5),
         s = random_tensor<float>({2, 4}, 6), matrix = random_tensor<float>({1, 3, 4}, 7),
         bias = random_tensor<float>({1, 3}, 8);
  Tensor<std::int32_t, Cpu> labels = zeros<std::int32_t, Cpu>({2, 3});
  std::vector<Floats> gradients;

  [[nodiscard]] Variable<float, Cpu> leaf(const Tape& tape, const Floats& value) {
    gradients.push_back(zeros<float, Cpu>(value.shape()));
    return tape.leaf(value, gradients.back());
  }
  [[nodiscard]] Variable<float, Cpu> loss(const Tape& tape) {
    const auto x = tape.input(images);
    const auto w = leaf(tape, kernel);
    const RankOneFactors<float, Cpu> factors{leaf(tape, r), leaf(tape, s)};
    const RunningStatistics<float, Cpu> running{mean, variance};
    const auto a = conv2d(x, w, {.padding = 1});
    const auto scale = leaf(tape, gamma),
               shift = leaf(tape, beta);  // in order, whatever the compiler does with arguments
    const auto b = batch_norm(a, scale, shift, running, {.epsilon = 1e-3, .relu = true});
    const auto c = conv2d_add(b, leaf(tape, kernel), factors, x, {.padding = 1});  // the same weight once more
    const auto features = dropout(global_average_pool(c), 0.25);
    const auto head = leaf(tape, matrix), offset = leaf(tape, bias);
    return cross_entropy(linear(features, head, offset), labels, {.label_smoothing = 0.1});
  }
};

[[nodiscard]] TapeOptions training(Trace* trace = nullptr) {
  return {.random = Philox(1, Stream::dropout), .trace = trace};
}

/// The number behind "stride" or the like; fails the test where there is none.
[[nodiscard]] double attribute(const TracedOperation& operation, std::string_view name) {
  for (const Attribute& attribute : operation.attributes)
    if (attribute.name == name)
      return std::visit([](auto value) { return static_cast<double>(value); }, attribute.value);
  FAIL(operation.name << " has no attribute " << name);
  return 0;
}

}  // namespace

TEST_CASE("trace: a pass is listed with names, attributes, operands and shapes", "[trace]") {
  Trace trace;
  Weights weights;
  const Tape tape(training(&trace));
  (void)weights.loss(tape);
  CHECK(describe(trace) ==
        "%4 [2 3 8 8 4] = conv2d(%0 [2 3 8 8 4], %1 [1 4 3 3 4]) stride=1 padding=1\n"
        "%9 [2 3 8 8 4] = batch_norm(%4 [2 3 8 8 4], %5 [2 4], %6 [2 4], %7 [2 4], %8 [2 4]) epsilon=0.001 "
        "momentum=0.1 relu=1\n"
        "%10 [2 3 8 8 4] = conv2d_add(%9 [2 3 8 8 4], %1 [1 4 3 3 4], %0 [2 3 8 8 4], %2 [2 4], %3 [2 4]) stride=1 "
        "padding=1\n"
        "%11 [2 3 4] = global_average_pool(%10 [2 3 8 8 4])\n"
        "%12 [2 3 4] = dropout(%11 [2 3 4]) rate=0.25\n"
        "%15 [2 3 3] = linear(%12 [2 3 4], %13 [1 3 4], %14 [1 3])\n"
        "%17 [2] = cross_entropy(%15 [2 3 3], %16 [2 3]) label_smoothing=0.1\n");
  const auto kind_of = [&](const auto& tensor) { return trace.values().at(to_size(trace.find(tensor))).kind; };
  CHECK(kind_of(weights.images) == Kind::input);
  CHECK(kind_of(weights.kernel) == Kind::leaf);
  CHECK(kind_of(weights.variance) == Kind::data);
  CHECK(kind_of(weights.labels) == Kind::data);
  CHECK(trace.values()[16].dtype == "I32");
  CHECK(trace.values()[17].kind == Kind::result);
  CHECK(trace.find(zeros<float, Cpu>({2, 4})) == -1);
  CHECK(attribute(trace.operations()[0], "padding") == 1);
}

TEST_CASE("trace: evaluation is listed too, though nothing is recorded", "[trace]") {
  Trace trace;
  Weights weights;
  auto options = Tape::evaluation().options();
  options.trace = &trace;
  const Tape tape(options);
  (void)weights.loss(tape);
  CHECK(tape.size() == 0);
  std::vector<std::string> names;
  for (const auto& operation : trace.operations()) names.push_back(operation.name);
  CHECK(names == std::vector<std::string>{"conv2d", "batch_norm", "conv2d_add", "global_average_pool", "linear",
                                          "cross_entropy"});
  for (const auto& operation : trace.operations())
    for (const auto input : operation.inputs) CHECK(input >= 0);
}

TEST_CASE("trace: losses, gradients and the tape are the same to the bit without one", "[trace]") {
  Trace trace;
  Weights traced, plain;
  Tape with(training(&trace)), without(training());
  const auto a = traced.loss(with), b = plain.loss(without);
  CHECK(with.size() == without.size());
  CHECK(values_of(a.value()) == values_of(b.value()));
  with.backward(a);
  without.backward(b);
  REQUIRE(traced.gradients.size() == plain.gradients.size());
  for (std::size_t i = 0; i < plain.gradients.size(); ++i)
    CHECK(values_of(traced.gradients[i]) == values_of(plain.gradients[i]));
  CHECK(trace.operations().size() == 7);  // the backward pass is none of its business
}

TEST_CASE(
    "trace: operands that are missing have no number, and an LSTM's states are outputs that the next window reads",
    "[trace]") {
  Trace trace;
  const Tape tape({.trace = &trace});
  const auto weight = [&](const Shape& shape, std::uint32_t key) {
    return tape.leaf(random_tensor<float>(shape, key), zeros<float, Cpu>(shape));
  };
  const auto places = tape.input(zeros<std::int32_t, Cpu>({1, 2, 3}));
  const auto x = embedding<float>(places, weight({1, 7, 5}, 1));
  const LstmMatrix<float, Cpu> ih{weight({1, 8, 5}, 2), weight({1, 8}, 3)};
  const LstmMatrix<float, Cpu> hh{weight({1, 8, 2}, 4), weight({1, 8}, 5),
                                  RankOneFactors<float, Cpu>{weight({1, 8}, 6), weight({1, 2}, 7)}};
  const auto start = zeros<float, Cpu>({1, 3, 2}), start_cell = zeros<float, Cpu>({1, 3, 2});
  const auto h = tape.input(start);
  const auto first = lstm(x, h, tape.input(start_cell), ih, hh);
  const auto second = lstm(x, tape.input(first.state.hidden), tape.input(first.state.cell), ih, hh);
  (void)linear(reshape(second.y, {1, 6, 2}), weight({1, 4, 2}, 8));
  const auto& operations = trace.operations();
  REQUIRE(operations.size() == 5);
  CHECK(operations[0].name == "embedding");
  CHECK(operations[0].inputs[0] == places.traced());
  REQUIRE(operations[1].inputs.size() == 11);
  CHECK(operations[1].inputs[5] == -1);  // rank-1 factors of the input matrix
  CHECK(operations[1].inputs[6] == -1);
  CHECK(operations[1].inputs[9] >= 0);  // and of the recurrent one
  REQUIRE(operations[1].outputs.size() == 3);
  CHECK(operations[2].inputs[1] == operations[1].outputs[1]);
  CHECK(operations[2].inputs[2] == operations[1].outputs[2]);
  CHECK(operations[3].name == "reshape");
  REQUIRE(operations[4].inputs.size() == 3);
  CHECK(operations[4].inputs[0] == operations[3].outputs[0]);
  CHECK(operations[4].inputs[2] == -1);  // no bias
}

TEST_CASE("trace: custom operations have the name they give, or none", "[trace]") {
  Trace trace;
  const Tape tape({.trace = &trace});
  const auto x = tape.input(random_tensor<double>({1, 2}, 1));
  const auto y = pass_through(x);
  const auto z = record(
      {"clamp", {{"low", -0.5}, {"count", 3}}}, clone(y.value()),
      [dx = y.edge()](DoubleTensor dy) { dx.add(std::move(dy)); }, y);
  CHECK(describe(trace) == "%1 [1 2] = (%0 [1 2])\n%2 [1 2] = clamp(%1 [1 2]) low=-0.5 count=3\n");
  CHECK(z.traced() == 2);
  CHECK(std::holds_alternative<double>(trace.operations()[1].attributes[0].value));
  CHECK(std::holds_alternative<std::int64_t>(trace.operations()[1].attributes[1].value));
}

TEST_CASE("trace: values are kept apart though their memory is one, and known after it would have been freed",
          "[trace]") {
  Trace trace;
  const Tape tape({.trace = &trace});
  const auto used = cpu_pool().usage().used;
  {
    const auto x = tape.input(random_tensor<float>({1, 4, 2}, 1));
    (void)reshape(x, {1, 8});  // the same memory
  }
  CHECK(cpu_pool().usage().used > used);
  (void)relu(tape.input(random_tensor<float>({1, 4, 2}, 2)));
  CHECK(describe(trace) == "%1 [1 8] = reshape(%0 [1 4 2])\n%3 [1 4 2] = relu(%2 [1 4 2])\n");
}
