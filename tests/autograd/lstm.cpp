#include <lpw/autograd/lstm.hpp>

#include "support/engines.hpp"
#include "support/errors.hpp"
#include "support/gradient_check.hpp"
#include "support/recurrent.hpp"
#include "support/threads.hpp"

using namespace lpw;
using namespace lpw::test;

namespace {

/// The operation on the list of inputs_for.
template <class T, class W = Accumulate<T>>
LstmResult<T, Cpu> apply_lstm(const Variable<T, Cpu>& x, const Variable<T, Cpu>& h, const Variable<W, Cpu>& c,
                              const std::vector<Variable<W, Cpu>>& p) {
  if (p.size() == 4) return lstm(x, h, c, LstmMatrix<W, Cpu>{p[0], p[1]}, LstmMatrix<W, Cpu>{p[2], p[3]});
  return lstm(x, h, c, LstmMatrix<W, Cpu>{p[0], p[1], RankOneFactors<W, Cpu>{p[2], p[3]}},
              LstmMatrix<W, Cpu>{p[4], p[5], RankOneFactors<W, Cpu>{p[6], p[7]}});
}
LstmResult<double, Cpu> apply_lstm(const DoubleVariables& in) {
  return apply_lstm<double>(in[0], in[1], in[2], {in.begin() + 3, in.end()});
}

/// The formulas of one member, sample and step, written plainly: h and c of size H before and after; W, U [4H, .], b
/// and d [4H].
void lstm_step(const std::vector<double>& x, std::vector<double>& h, std::vector<double>& c,
               const std::vector<double>& w, const std::vector<double>& b, const std::vector<double>& u,
               const std::vector<double>& d) {
  const std::size_t size = h.size();
  std::vector<double> a(4 * size);
  for (std::size_t j = 0; j < a.size(); ++j) {
    a[j] = b[j] + d[j];
    for (std::size_t i = 0; i < x.size(); ++i) a[j] += w[j * x.size() + i] * x[i];
    for (std::size_t i = 0; i < size; ++i) a[j] += u[j * size + i] * h[i];
  }
  for (std::size_t j = 0; j < size; ++j) {
    c[j] = logistic(a[size + j]) * c[j] + logistic(a[j]) * std::tanh(a[2 * size + j]);
    h[j] = logistic(a[3 * size + j]) * std::tanh(c[j]);
  }
}

}  // namespace

TEST_CASE("lstm: all steps and the last state follow the formulas, member by member", "[lstm]") {
  for (const RecurrentCase& c : recurrent_cases) {
    INFO(c);
    const auto in = c.inputs_for(4, 2);
    const bool factors = c.factor_rows > 0;
    const std::size_t hh = factors ? 7 : 5;
    const Tape tape;
    DoubleVariables variables;
    for (const auto& tensor : in) variables.push_back(tape.input(tensor));
    const auto result = apply_lstm(variables);
    const auto y = result.y.value();
    for (std::int64_t k = 0; k < c.members; ++k)
      for (std::int64_t b = 0; b < c.batch; ++b) {
        const double *h0 = in[1].row(k) + b * c.hidden, *c0 = in[2].row(k) + b * c.hidden;
        std::vector<double> h(h0, h0 + c.hidden), cell(c0, c0 + c.hidden);
        // Sums of some ten terms and functions of slope below 1, in each of a few steps.
        const double tolerance = 100 * double(c.steps) * epsilon<double>();
        for (std::int64_t t = 0; t < c.steps; ++t) {
          const double* x = in[0].row(k) + (t * c.batch + b) * c.inputs;
          lstm_step({x, x + c.inputs}, h, cell, matrix_of(in, 3, factors, k), vector_of(in[4], k),
                    matrix_of(in, hh, factors, k), vector_of(in[hh + 1], k));
          for (std::int64_t j = 0; j < c.hidden; ++j)
            REQUIRE(std::abs(y.row(k)[(t * c.batch + b) * c.hidden + j] - h[std::size_t(j)]) <= tolerance);
        }
        for (std::int64_t j = 0; j < c.hidden; ++j) {
          REQUIRE(std::abs(result.state.hidden.row(k)[b * c.hidden + j] - h[std::size_t(j)]) <= tolerance);
          REQUIRE(std::abs(result.state.cell.row(k)[b * c.hidden + j] - cell[std::size_t(j)]) <= tolerance);
        }
      }
  }
}

TEST_CASE("lstm: gradients of inputs, states, weights, biases and factors through time", "[lstm]") {
  for (const RecurrentCase& c : recurrent_cases) {
    INFO(c);
    expect_gradient(
        "lstm", [](const auto& in) { return apply_lstm(in).y; }, c.inputs_for(4, 2));
  }
}

TEST_CASE("lstm: factors on one of the matrices", "[lstm]") {
  const auto in =
      random_inputs({{2, 3, 2, 3}, {2, 2, 2}, {2, 2, 2}, {1, 8, 3}, {1, 8}, {1, 8, 2}, {1, 8}, {2, 8}, {2, 3}});
  expect_gradient(
      "on the input matrix",
      [](const auto& v) {
        return lstm(v[0], v[1], v[2], LstmMatrix<double, Cpu>{v[3], v[4], RankOneFactors<double, Cpu>{v[7], v[8]}},
                    LstmMatrix<double, Cpu>{v[5], v[6]})
            .y;
      },
      in);
  auto recurrent = in;
  recurrent[8] = random_tensor<double>({2, 2}, 9);
  expect_gradient(
      "on the recurrent matrix",
      [](const auto& v) {
        return lstm(v[0], v[1], v[2], LstmMatrix<double, Cpu>{v[3], v[4]},
                    LstmMatrix<double, Cpu>{v[5], v[6], RankOneFactors<double, Cpu>{v[7], v[8]}})
            .y;
      },
      recurrent);
}

TEST_CASE("lstm: two windows that carry states are one", "[lstm]") {
  const RecurrentCase whole{.members = 2, .steps = 6, .batch = 8, .inputs = 2, .hidden = 3, .factor_rows = 2};
  auto in = whole.inputs_for(4, 2);
  const Tape tape;
  const auto run = [&](const DoubleTensor& x, const LstmState<double, Cpu>& start) {
    DoubleVariables variables{tape.input(x), tape.input(start.hidden), tape.input(start.cell)};
    for (std::size_t i = 3; i < in.size(); ++i) variables.push_back(tape.input(in[i]));
    return apply_lstm(variables);
  };
  const auto steps = [&](std::int64_t first, std::int64_t count) {
    const std::int64_t length = whole.batch * whole.inputs;
    return clone(in[0].reshaped({2, 6 * length}).columns(first * length, {count, whole.batch, whole.inputs}));
  };
  const auto one = run(in[0], {in[1], in[2]});
  const auto first = run(steps(0, 4), {in[1], in[2]});
  const auto second = run(steps(4, 2), first.state);
  CHECK(values_of(second.state.hidden) == values_of(one.state.hidden));
  CHECK(values_of(second.state.cell) == values_of(one.state.cell));
}

TEMPLATE_TEST_CASE("lstm: float and bfloat16 give double's results and gradients", "[lstm]", float, bfloat16) {
  using T = TestType;
  using W = Accumulate<T>;
  for (const auto& [factor_rows, inputs] : {std::pair<std::int64_t, std::int64_t>{0, 9}, {2, 9}, {2, 4}}) {
    INFO("factor rows " << factor_rows << ", inputs " << inputs);  // with few inputs their matrix is formed
    const RecurrentCase c{
        .members = 2, .steps = 7, .batch = 5, .inputs = inputs, .hidden = 17, .factor_rows = factor_rows};
    const auto run = [&]<class V, class P>(V, P) {
      std::vector<DoubleTensor> in = c.inputs_for(4, 2);
      for (std::size_t i = 3; i < in.size(); ++i)  // sums of some ten terms then stay below 2
        for (std::int64_t j = 0; j < in[i].size(); ++j) in[i].data()[j] *= in[i].shape().rank() == 3 ? 0.3 : 1;
      const auto as = [](const DoubleTensor& tensor, auto example) {
        Tensor<decltype(example), Cpu> result(tensor.shape());  // rounded to T first: the same numbers in every type
        for (std::int64_t i = 0; i < result.size(); ++i)
          result.data()[i] = decltype(example)(static_cast<double>(T(float(tensor.data()[i]))));
        return result;
      };
      Tape tape;
      auto dx = zeros<V, Cpu>(c.x());
      std::vector<Tensor<P, Cpu>> gradients;
      std::vector<Variable<P, Cpu>> parameters;
      for (std::size_t i = 3; i < in.size(); ++i) {
        gradients.push_back(zeros<P, Cpu>(in[i].shape()));
        parameters.push_back(tape.leaf(as(in[i], P()), gradients.back()));
      }
      const auto result = apply_lstm<V>(tape.leaf(as(in[0], V()), dx), tape.input(as(in[1], V())),
                                        tape.input(as(in[2], P())), parameters);
      const auto y = clone(result.y.value());
      backward_of_sum(tape, result.y);
      std::vector<std::vector<double>> all{values_of(y), values_of(dx)};
      for (const auto& gradient : gradients) all.push_back(values_of(gradient));
      return all;
    };
    const auto expected = run(double(), double());
    with_each_engine([&] {
      const auto found = run(T(0.f), W());
      for (std::size_t i = 0; i < found.size(); ++i) {
        INFO("result " << i);
        // Some ten roundings in each of seven steps, or sums of 70 terms in float, which add up as their square root.
        CHECK(relative_difference(found[i], expected[i]) <= std::sqrt(70.0) * epsilon<T>());
      }
    });
  }
}

TEST_CASE("lstm: the same bits on any number of threads", "[lstm]") {
  const RecurrentCase c{.members = 2, .steps = 4, .batch = 40, .inputs = 8, .hidden = 48, .factor_rows = 2};
  CHECK(same_on_any_threads([&] {
    const auto in = c.inputs_for(4, 2);
    Tape tape;
    DoubleVariables variables;
    std::vector<DoubleTensor> gradients;
    for (const auto& tensor : in) {
      gradients.push_back(zeros<double, Cpu>(tensor.shape()));
      variables.push_back(tape.leaf(tensor, gradients.back()));
    }
    const auto y = apply_lstm(variables).y;
    std::vector<std::vector<double>> all{values_of(y.value())};
    backward_of_sum(tape, y);
    for (const auto& gradient : gradients) all.push_back(values_of(gradient));
    return all;
  }));
}

TEST_CASE("lstm: one step on the tape for a window", "[lstm]") {
  const RecurrentCase c{.members = 1, .steps = 9, .batch = 2, .inputs = 3, .hidden = 4};
  Tape tape;
  DoubleVariables variables;
  for (const auto& tensor : c.inputs_for(4, 2))
    variables.push_back(tape.leaf(tensor, zeros<double, Cpu>(tensor.shape())));
  const std::size_t before = tape.size();
  (void)apply_lstm(variables);
  CHECK(tape.size() == before + 1);
}

TEST_CASE("lstm: shapes that do not fit", "[lstm]") {
  const RecurrentCase good{.members = 2, .steps = 3, .batch = 2, .inputs = 3, .hidden = 4, .factor_rows = 2};
  const auto message = [&](std::size_t input, const Shape& shape) -> std::string {
    auto in = good.inputs_for(4, 2);
    in[input] = DoubleTensor(shape);
    const Tape tape;
    DoubleVariables variables;
    for (const auto& tensor : in) variables.push_back(tape.input(tensor));
    return message_of<ShapeError>([&] { (void)apply_lstm(variables); });
  };
  CHECK(message(0, {2, 6, 3}) ==
        "lstm: expected x [K T B I], got [2 6 3]; K is the axis of the members, 1 for a plain network");
  CHECK(message(0, {2, 3, 2, 5}) == "lstm: weight_ih is [K=1 O=16 I=3]; expected [1 or 2, 16, 5]");
  CHECK(message(0, {2, 0, 2, 3}) == "lstm: a tensor of shape [2 0 2 3] has no elements");
  CHECK(message(1, {2, 3, 4}) ==
        "lstm: x is [K=2 T=3 B=2 I=3], hidden [2 3 4], cell [2 2 4]; expected both [K B H]; after a release, or with "
        "another B, begin with zeros: start(K, B), of a layer alone zero_states(K, B)");
  CHECK(message(3, {3, 16, 3}) ==
        "lstm: weight has 3 member rows, the input has K=2 members; expected 1 (shared) or 2");
  CHECK(message(4, {1, 15}) == "lstm: bias_ih is [1 15]; expected [1 or 2, 16]");
  CHECK(message(6, {2, 4}) == "lstm: rank-1 factor s of weight_ih is [2 4]; expected [1 or 2, 3]");
  CHECK(message(9, {1, 12}) == "lstm: rank-1 factor r of weight_hh is [1 12]; expected [1 or 2, 16]");
  CHECK(message(0, good.x()).empty());
}
