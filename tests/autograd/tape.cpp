#include <lpw/autograd/tape.hpp>

#include <string>
#include <utility>

#include <lpw/autograd/batch_norm.hpp>
#include <lpw/autograd/conv2d.hpp>
#include <lpw/autograd/linear.hpp>
#include <lpw/autograd/sums.hpp>

#include "support/gradient_check.hpp"
#include "support/threads.hpp"

using namespace lpw;
using namespace lpw::test;

namespace {

Tensor<float, Cpu> multiply(const Tensor<float, Cpu>& a, const Tensor<float, Cpu>& b) {
  Tensor<float, Cpu> product(a.shape());
  for (std::int64_t i = 0; i < a.size(); ++i) product.data()[i] = a.data()[i] * b.data()[i];
  return product;
}

Tensor<float, Cpu> scaled(Tensor<float, Cpu> a, float factor) {
  for (std::int64_t i = 0; i < a.size(); ++i) a.data()[i] *= factor;
  return a;
}

// A custom operation.
template <class D>
Variable<float, D> square(const Variable<float, D>& x) {
  auto value = x.value();
  return record(
      multiply(value, value), [value, dx = x.edge()](Tensor<float, D> dy) { dx.add(scaled(multiply(value, dy), 2)); },
      x);
}

/// A leaf together with the tensor its gradient arrives in.
struct Leaf {
  Tensor<float, Cpu> value, gradient;
  explicit Leaf(const Shape& shape, std::uint32_t key = 1)
      : value(random_tensor<float>(shape, key)), gradient(zeros<float, Cpu>(shape)) {}
  [[nodiscard]] Variable<float, Cpu> on(const Tape& tape) const { return tape.leaf(value, gradient); }
};

std::size_t bytes_in_use() { return cpu_pool().usage().used; }

/// The value itself; its backward step notes the memory in use.
Variable<float, Cpu> probe(const Variable<float, Cpu>& x, std::vector<std::size_t>& used) {
  return record(
      x.value(),
      [&used, dx = x.edge()](Tensor<float, Cpu> dy) {
        used.push_back(bytes_in_use());
        dx.add(std::move(dy));
      },
      x);
}

constexpr std::size_t image_bytes = std::size_t{1} << 20;
const Shape image_shape{1, 4, 64, 64, 16};      // 1 MB of float
constexpr std::size_t small = image_bytes / 8;  // weights, channel vectors

}  // namespace

TEST_CASE("tape: gradients of the sum of the output's elements are added to the leaves", "[tape]") {
  Tape tape;
  Leaf x({3});
  fill(x.gradient, 1.f);
  backward_of_sum(tape, square(x.on(tape)));
  for (int i = 0; i < 3; ++i) CHECK(x.gradient.data()[i] == 1 + 2 * x.value.data()[i]);
  CHECK(tape.size() == 0);
}

TEST_CASE("tape: a leaf is an output too", "[tape]") {
  Tape tape;
  const Leaf x({2});
  backward_of_sum(tape, x.on(tape));
  CHECK(values_of(x.gradient) == std::vector<double>{1, 1});
}

TEST_CASE("tape: a loss is one number for each member, and what is not is refused by its shape", "[tape]") {
  Tape tape;
  const Leaf x({2, 3, 4});
  const auto y = square(x.on(tape));
  const std::string cure =
      "; expected one number for each member, [K]: reduce it by mean(loss), or hand over its gradient";
  CHECK_THROWS_WITH(tape.backward(y), "backward: the loss is [2 3 4]" + cure);
  const auto of_samples = mean(y, {.over = {2}});
  CHECK_THROWS_WITH(tape.backward(of_samples), "backward: the loss is [2 3]" + cure);
  CHECK_THROWS_AS(tape.backward(of_samples), ShapeError);
  CHECK(tape.size() > 0);  // nothing was done: the loss can still be reduced
  CHECK(values_of(x.gradient) == std::vector<double>(24, 0));
  SECTION("[K]") { tape.backward(mean(of_samples)); }
  SECTION("[K 1 1]") { tape.backward(mean(y, {.keep = true})); }
  SECTION("[1], the sum over the members") { tape.backward(sum(mean(y), {.over = {0}})); }
  for (std::int64_t i = 0; i < 24; ++i)  // the mean's rounding, and the square's
    CHECK(std::abs(x.gradient.data()[i] - 2 * x.value.data()[i] / 12) <= 2 * epsilon<float>());
}

TEST_CASE("tape: of an output of any shape a gradient is handed over, and stays as it is", "[tape]") {
  Tape tape;
  const Leaf x({2, 3});
  const auto y = square(x.on(tape));
  const auto dy = random_tensor<float>({2, 3}, 3), before = clone(dy);
  CHECK_THROWS_WITH(tape.backward(y, zeros<float, Cpu>({3, 2})),
                    "backward: the output is [2 3], its gradient [3 2]; expected the same shape");
  tape.backward(y, dy);
  CHECK(same_bits(dy, before));
  for (std::int64_t i = 0; i < 6; ++i) CHECK(x.gradient.data()[i] == 2 * (x.value.data()[i] * dy.data()[i]));
}

TEST_CASE("tape: a stale variable throws", "[tape]") {
  Tape tape;
  const Leaf x({3});
  const auto a = x.on(tape), b = square(a);
  SECTION("after clear") { tape.clear(); }
  SECTION("after backward") { backward_of_sum(tape, b); }
  SECTION("after the end of its tape") { const Tape end = std::move(tape); }
  CHECK_THROWS_WITH(square(a),
                    "variable [3]: its tape has been cleared, run backwards, or destroyed; record the computation "
                    "again, on a tape with a name");
  CHECK_THROWS_AS(square(a), TapeError);
  CHECK_THROWS_AS(relu(b), TapeError);
  CHECK_THROWS_AS(a.mode(), TapeError);
  CHECK(b.value().size() == 3);  // values stay readable
}

TEST_CASE("tape: backward of a stale or foreign variable throws", "[tape]") {
  Tape tape, other;
  const Leaf x({3});
  const auto y = square(x.on(tape));
  CHECK_THROWS_WITH(backward_of_sum(other, y), "backward: the variable belongs to another tape");
  CHECK_THROWS_AS(backward_of_sum(other, y), TapeError);
  CHECK_THROWS_WITH(add(y, x.on(other)), "operation: its inputs belong to different tapes");
  CHECK_THROWS_AS(add(y, x.on(other)), TapeError);
  backward_of_sum(tape, y);
  CHECK_THROWS_AS(backward_of_sum(tape, y), TapeError);
}

TEST_CASE("tape: nothing is recorded without need", "[tape]") {
  const Leaf x({3});
  SECTION("for inputs that are data") {
    Tape tape;
    const auto y = square(tape.input(x.value));
    CHECK(tape.size() == 0);
    CHECK_FALSE(y.needs_gradient());
    CHECK_THROWS_WITH(backward_of_sum(tape, y),
                      "backward: nothing was recorded for this variable; is the tape switched off?");
    CHECK_THROWS_AS(backward_of_sum(tape, y), TapeError);
  }
  SECTION("on an evaluation tape") {
    Tape tape = Tape::evaluation({.first = 2, .count = 3});
    const auto y = square(x.on(tape));
    CHECK(tape.size() == 0);
    CHECK(y.mode() == Mode::evaluation);
    CHECK(tape.options().members.first == 2);
    CHECK(tape.options().members.count == 3);
    CHECK_THROWS_AS(backward_of_sum(tape, y), TapeError);
    CHECK(values_of(x.gradient) == std::vector<double>(3, 0));
  }
}

TEST_CASE("tape: an unused branch costs nothing and leaves no gradient", "[tape]") {
  Tape tape;
  const Leaf x({3}), unused({3}, 2);
  const auto y = square(x.on(tape));
  const auto side = square(unused.on(tape));
  backward_of_sum(tape, y);
  CHECK(values_of(unused.gradient) == std::vector<double>(3, 0));
  CHECK(values_of(x.gradient) != std::vector<double>(3, 0));
}

TEST_CASE("tape: wrong gradients of custom operations and wrong leaves throw", "[tape]") {
  Tape tape;
  const Leaf x({2, 3});
  CHECK_THROWS_WITH(tape.leaf(x.value, zeros<float, Cpu>({3, 2})), "leaf: value [2 3], gradient [3 2]");
  const auto wrong = record(
      clone(x.value),
      [dx = x.on(tape).edge()](Tensor<float, Cpu> dy) {
        dx.add(dy.reshaped({3, 2}));
      },
      x.on(tape));
  CHECK_THROWS_AS(backward_of_sum(tape, wrong), ShapeError);
}

TEST_CASE("tape: a value read several times gets the sum of its gradients", "[tape]") {
  const auto diamond = [](const DoubleVariables& in) {
    const auto a = pass_through(in[0]), b = scale_channels(a, in[1]), c = scale_channels(b, in[1]);
    return add(add(a, b), add(c, a));
  };
  expect_gradient("diamond", diamond, random_inputs({{2, 3, 4}, {1, 4}}));
}

// add() hands one tensor to both of its inputs. A second gradient that arrives at one of them must not reach the other.
TEST_CASE("tape: a gradient shared by two inputs is not overwritten", "[tape]") {
  const auto shared = [](const DoubleVariables& in) {
    const auto a = pass_through(in[0]), b = pass_through(in[1]);
    const auto c = scale_channels(a, in[2]), d = scale_channels(b, in[2]);
    return add(add(a, b), add(c, d));
  };
  expect_gradient("shared gradient", shared, random_inputs({{2, 3, 4}, {2, 3, 4}, {2, 4}}));
}

TEST_CASE("tape: sums arrive with the gradient they were made of, and are void once it is written to again", "[tape]") {
  using FloatEdge = Edge<float, Cpu>;
  const Tensor<double, Cpu> sums = full<double, Cpu>({1}, 7.0);
  const auto ones = [] { return full<float, Cpu>({2, 3}, 1.f); };
  // The sums that reach x's step when the step of the operation that reads it runs `backward`.
  const auto arriving = [&](auto&& backward) {
    Tape tape;
    const Leaf leaf({2, 3});
    std::vector<double> arrived{-1};
    const auto x = record(
        leaf.value, [&](Tensor<float, Cpu>, const Tensor<double, Cpu>& found) { arrived = values_of(found); },
        leaf.on(tape));
    const auto y = record(
        leaf.value, [&, dx = x.edge()](Tensor<float, Cpu>) { backward(dx); }, x);
    backward_of_sum(tape, y);
    return arrived;
  };
  CHECK(arriving([&](const FloatEdge& dx) { dx.add(ones()); }).empty());
  CHECK(arriving([&](const FloatEdge& dx) { dx.add(ones()), dx.put_sums(sums); }) == std::vector<double>{7});
  CHECK(arriving([&](const FloatEdge& dx) { dx.add(ones()), dx.put_sums(sums), dx.put_sums({}); }).empty());
  CHECK(arriving([&](const FloatEdge& dx) { dx.add(ones()), dx.put_sums(sums), dx.add(ones()); }).empty());
  CHECK(arriving([&](const FloatEdge& dx) { dx.add(ones()), dx.put_sums(sums), (void)dx.sink({2, 3}); }).empty());
}

TEST_CASE("tape: can be moved while variables are on it", "[tape]") {
  const Leaf x({3});
  auto make = [&](Variable<float, Cpu>* y) {
    Tape tape;
    *y = square(x.on(tape));
    return tape;
  };
  const Tape scratch;
  auto y = scratch.input(x.value);
  Tape first = make(&y);
  Tape second = std::move(first);
  CHECK(second.size() == 2);
  const auto z = square(y);
  backward_of_sum(second, z);  // x^4
  for (int i = 0; i < 3; ++i) {
    const double v = x.value.data()[i];
    CHECK(std::abs(x.gradient.data()[i] - 4 * v * v * v) <= 8 * epsilon<float>());
  }
}

TEST_CASE("tape: a leaf's gradient accumulates over member chunks to that of one pass", "[tape]") {
  const std::int64_t members = 5;
  const auto x = random_tensor<double>({members, 3, 4}, 1), base = random_tensor<double>({1, 4, 4}, 2),
             late = random_tensor<double>({members, 2, 4}, 3);
  const auto gradients = [&](std::int64_t chunk) {
    auto dbase = zeros<double, Cpu>(base.shape()), dlate = zeros<double, Cpu>(late.shape());
    for (const MemberRange range : member_chunks(members, chunk)) {
      Tape tape({.members = range});
      const auto hidden = linear(tape.input(x.rows(range.first, range.count)), tape.leaf(base, dbase));
      backward_of_sum(
          tape, linear(hidden, tape.leaf(late.rows(range.first, range.count), dlate.rows(range.first, range.count))));
    }
    return std::pair{values_of(dbase), values_of(dlate)};
  };
  const auto whole = gradients(0);
  for (const std::int64_t chunk : {1, 2, 5, 9}) {
    const auto found = gradients(chunk);
    CHECK(found.second == whole.second);  // each member's own
    // Sums of 30 products of values below 2, in another order.
    for (std::size_t i = 0; i < whole.first.size(); ++i)
      CHECK(std::abs(found.first[i] - whole.first[i]) <= 120 * epsilon<double>());
  }
}

TEST_CASE("member_chunks: covers all members in order", "[tape]") {
  for (const std::int64_t chunk : {0, 1, 2, 3, 7, 10}) {
    std::int64_t next = 0;
    for (const MemberRange range : member_chunks(7, chunk)) {
      CHECK(range.first == next);
      CHECK(range.count >= 1);
      CHECK(range.count <= (chunk ? chunk : 7));
      next += range.count;
    }
    CHECK(next == 7);
  }
  CHECK(member_chunks(7).size() == 1);
  CHECK_THROWS_AS(member_chunks(7, -1), OptionError);
}

TEST_CASE("tape: activations are freed while the backward pass runs", "[tape]") {
  const std::size_t start = bytes_in_use();
  constexpr int length = 6;
  {
    const Leaf x(image_shape);
    const std::size_t before = bytes_in_use();
    std::vector<std::size_t> used;
    Tape tape;
    auto y = x.on(tape);
    for (int i = 0; i < length; ++i) y = relu(probe(y, used));
    CHECK(bytes_in_use() == before + length * image_bytes);
    cpu_pool().reset_peak();
    backward_of_sum(tape, y);
    // At the peak the first step reads the output's gradient and writes its input's.
    CHECK(cpu_pool().usage().peak <= before + (length + 2) * image_bytes);
    // Each ReLU's step frees the result it saved, except the last's, which this function holds; and there is one
    // gradient at a time.
    REQUIRE(used.size() == length);
    for (int i = 0; i < length; ++i) CHECK(used[i] == before + (length + 1 - i) * image_bytes);
    y = tape.input(Tensor<float, Cpu>());
    CHECK(bytes_in_use() == before);
  }
  CHECK(bytes_in_use() == start);
}

TEST_CASE("tape: clearing it frees what was recorded", "[tape]") {
  const Leaf x(image_shape);
  const std::size_t before = bytes_in_use();
  Tape tape;
  for (int i = 0; i < 3; ++i) (void)relu(relu(x.on(tape)));
  CHECK(bytes_in_use() == before + 6 * image_bytes);
  tape.clear();
  CHECK(bytes_in_use() == before);
}

TEST_CASE("tape: normalised activations are not stored", "[tape]") {
  const ThreadScope one_thread(1);  // convolutions may take working memory for each
  const Leaf x(image_shape), gamma({1, 16}), beta({1, 16}), weight({1, 16, 1, 1, 16});
  const RunningStatistics<float, Cpu> running{zeros<float, Cpu>({1, 16}), full<float, Cpu>({1, 16}, 1.f)};
  const std::size_t before = bytes_in_use();
  constexpr int length = 4;
  Tape tape;
  auto y = x.on(tape);
  for (int i = 0; i < length; ++i)
    y = conv2d(batch_norm(y, gamma.on(tape), beta.on(tape), running, {.relu = true}), weight.on(tape));
  CHECK(bytes_in_use() <=
        before + length * image_bytes + small);  // each convolution's result, and nothing for the batch norms
  cpu_pool().reset_peak();
  backward_of_sum(tape, y);
  // Beside the activations: the output's gradient, the activation that the weight's gradient reads, and the
  // convolution's working memory.
  CHECK(cpu_pool().usage().peak <= before + (length + 3) * image_bytes + small);
  y = tape.input(Tensor<float, Cpu>());
  CHECK(bytes_in_use() <= before + small);
}

TEST_CASE("tape: a convolution's input is freed before its gradient is made", "[tape]") {
  const ThreadScope one_thread(1);
  const Leaf x(image_shape), weight({1, 16, 1, 1, 16});
  const std::size_t before = bytes_in_use();
  constexpr int length = 4;
  Tape tape;
  auto y = x.on(tape);
  for (int i = 0; i < length; ++i) y = conv2d(y, weight.on(tape));
  cpu_pool().reset_peak();
  backward_of_sum(tape, y);
  // The results, one gradient and some working memory: when the last step makes a second gradient, the input that it
  // saved is gone.
  CHECK(cpu_pool().usage().peak < before + (length + 2) * image_bytes);
}

TEST_CASE("tape: the first gradient of a value must have its shape", "[tape]") {
  Leaf x({1, 4});
  Tape tape;
  const auto hidden = relu(x.on(tape));
  const auto wrong = record(
      clone(hidden.value()), [dx = hidden.edge()](Tensor<float, Cpu>) { dx.add(zeros<float, Cpu>({1})); }, hidden);
  CHECK_THROWS_AS(backward_of_sum(tape, wrong), ShapeError);
}

TEST_CASE("tape: after a step that throws the tape is clear and its variables are stale", "[tape]") {
  Leaf x({1, 4});
  Tape tape;
  const auto hidden = relu(x.on(tape));
  const auto failing = record(
      clone(hidden.value()), [](Tensor<float, Cpu>) { fail("no memory, say"); }, hidden);
  CHECK_THROWS_AS(backward_of_sum(tape, failing), Error);
  CHECK(tape.size() == 0);
  CHECK_THROWS_AS(backward_of_sum(tape, failing), TapeError);
  CHECK_THROWS_AS(relu(hidden), TapeError);
  backward_of_sum(tape, relu(x.on(tape)));  // the tape serves on
}

TEST_CASE("tape: operations on a parameter that lies strided in its store read and write its own rows", "[tape]") {
  // Columns 1 and 2 of a store [2, 4]: what late-phase parameters are after release.
  Tensor<float, Cpu> store({2, 4}), gradient = zeros<float, Cpu>({2, 4});
  for (std::int64_t i = 0; i < 8; ++i) store.data()[i] = static_cast<float>(i + 1);
  Tape tape;
  const auto parameter = tape.leaf(store.columns(1, {2}), gradient.columns(1, {2}));  // rows {2, 3} and {6, 7}
  const auto value = relu(parameter).value();
  CHECK(std::vector<float>(value.data(), value.data() + 4) == std::vector<float>{2, 3, 6, 7});
  backward_of_sum(tape, add(square(parameter), relu(parameter)));
  CHECK(std::vector<float>(gradient.data(), gradient.data() + 8) == std::vector<float>{0, 5, 7, 0, 0, 13, 15, 0});
}

TEST_CASE("tape: a leaf's gradient is written where it lies, whatever its value does", "[tape]") {
  const auto values = tensor_of<float>({2, 2}, std::vector<float>{2, 3, 6, 7});
  const auto gradients = [](const Tensor<float, Cpu>& value, const Tensor<float, Cpu>& gradient) {
    Tape tape;
    const auto x = tape.leaf(value, gradient);
    backward_of_sum(tape, add(square(x), relu(x)));
  };
  Tensor<float, Cpu> strided = zeros<float, Cpu>({2, 4}), packed = zeros<float, Cpu>({2, 2});
  gradients(values, strided.columns(1, {2}));
  CHECK(std::vector<float>(strided.data(), strided.data() + 8) == std::vector<float>{0, 5, 7, 0, 0, 13, 15, 0});
  auto store = zeros<float, Cpu>({2, 4}).columns(1, {2});
  copy(values, store);
  gradients(store, packed);
  CHECK(std::vector<float>(packed.data(), packed.data() + 4) == std::vector<float>{5, 7, 13, 15});
}
