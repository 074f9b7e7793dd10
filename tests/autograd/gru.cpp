#include <lpw/autograd/gru.hpp>

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
GruResult<T, Cpu> apply_gru(const Variable<T, Cpu>& x, const Variable<T, Cpu>& h,
                            const std::vector<Variable<W, Cpu>>& p) {
  if (p.size() == 4) return gru(x, h, GruMatrix<W, Cpu>{p[0], p[1]}, GruMatrix<W, Cpu>{p[2], p[3]});
  return gru(x, h, GruMatrix<W, Cpu>{p[0], p[1], RankOneFactors<W, Cpu>{p[2], p[3]}},
             GruMatrix<W, Cpu>{p[4], p[5], RankOneFactors<W, Cpu>{p[6], p[7]}});
}
GruResult<double, Cpu> apply_gru(const DoubleVariables& in) {
  return apply_gru<double>(in[0], in[1], {in.begin() + 2, in.end()});
}

/// The formulas of one member, sample and step, written plainly: h of size H before and after; W, U [3H, .], b and d
/// [3H].
void gru_step(const std::vector<double>& x, std::vector<double>& h, const std::vector<double>& w,
              const std::vector<double>& b, const std::vector<double>& u, const std::vector<double>& d) {
  const std::size_t size = h.size();
  std::vector<double> a = b, c = d;
  for (std::size_t j = 0; j < 3 * size; ++j) {
    for (std::size_t i = 0; i < x.size(); ++i) a[j] += w[j * x.size() + i] * x[i];
    for (std::size_t i = 0; i < size; ++i) c[j] += u[j * size + i] * h[i];
  }
  for (std::size_t j = 0; j < size; ++j) {
    const double r = logistic(a[j] + c[j]), z = logistic(a[size + j] + c[size + j]),
                 n = std::tanh(a[2 * size + j] + r * c[2 * size + j]);
    h[j] = (1 - z) * n + z * h[j];
  }
}

}  // namespace

TEST_CASE("gru: all steps and the last state follow the formulas, member by member", "[gru]") {
  for (const RecurrentCase& c : recurrent_cases) {
    INFO(c);
    const auto in = c.inputs_for(3, 1);
    const bool factors = c.factor_rows > 0;
    const std::size_t hh = factors ? 6 : 4;
    const Tape tape;
    DoubleVariables variables;
    for (const auto& tensor : in) variables.push_back(tape.input(tensor));
    const auto result = apply_gru(variables);
    const auto y = result.y.value();
    for (std::int64_t k = 0; k < c.members; ++k)
      for (std::int64_t b = 0; b < c.batch; ++b) {
        const double* h0 = in[1].row(k) + b * c.hidden;
        std::vector<double> h(h0, h0 + c.hidden);
        // Sums of some ten terms and functions of slope below 1, in each of a few steps.
        const double tolerance = 100 * double(c.steps) * epsilon<double>();
        for (std::int64_t t = 0; t < c.steps; ++t) {
          const double* x = in[0].row(k) + (t * c.batch + b) * c.inputs;
          gru_step({x, x + c.inputs}, h, matrix_of(in, 2, factors, k), vector_of(in[3], k),
                   matrix_of(in, hh, factors, k), vector_of(in[hh + 1], k));
          for (std::int64_t j = 0; j < c.hidden; ++j)
            REQUIRE(std::abs(y.row(k)[(t * c.batch + b) * c.hidden + j] - h[std::size_t(j)]) <= tolerance);
        }
        for (std::int64_t j = 0; j < c.hidden; ++j)
          REQUIRE(std::abs(result.state.hidden.row(k)[b * c.hidden + j] - h[std::size_t(j)]) <= tolerance);
      }
  }
}

TEST_CASE("gru: gradients of inputs, states, weights, biases and factors through time", "[gru]") {
  for (const RecurrentCase& c : recurrent_cases) {
    INFO(c);
    expect_gradient(
        "gru", [](const auto& in) { return apply_gru(in).y; }, c.inputs_for(3, 1));
  }
}

TEST_CASE("gru: factors on one of the matrices", "[gru]") {
  const auto in = random_inputs({{2, 3, 2, 3}, {2, 2, 2}, {1, 6, 3}, {1, 6}, {1, 6, 2}, {1, 6}, {2, 6}, {2, 3}});
  expect_gradient(
      "on the input matrix",
      [](const auto& v) {
        return gru(v[0], v[1], GruMatrix<double, Cpu>{v[2], v[3], RankOneFactors<double, Cpu>{v[6], v[7]}},
                   GruMatrix<double, Cpu>{v[4], v[5]})
            .y;
      },
      in);
  auto recurrent = in;
  recurrent[7] = random_tensor<double>({2, 2}, 9);
  expect_gradient(
      "on the recurrent matrix",
      [](const auto& v) {
        return gru(v[0], v[1], GruMatrix<double, Cpu>{v[2], v[3]},
                   GruMatrix<double, Cpu>{v[4], v[5], RankOneFactors<double, Cpu>{v[6], v[7]}})
            .y;
      },
      recurrent);
}

TEST_CASE("gru: two windows that carry states are one", "[gru]") {
  const RecurrentCase whole{.members = 2, .steps = 6, .batch = 8, .inputs = 2, .hidden = 3, .factor_rows = 2};
  auto in = whole.inputs_for(3, 1);
  const Tape tape;
  const auto run = [&](const DoubleTensor& x, const GruState<double, Cpu>& start) {
    DoubleVariables variables{tape.input(x), tape.input(start.hidden)};
    for (std::size_t i = 2; i < in.size(); ++i) variables.push_back(tape.input(in[i]));
    return apply_gru(variables);
  };
  const auto steps = [&](std::int64_t first, std::int64_t count) {
    const std::int64_t length = whole.batch * whole.inputs;
    return clone(in[0].reshaped({2, 6 * length}).columns(first * length, {count, whole.batch, whole.inputs}));
  };
  const auto one = run(in[0], {in[1]});
  const auto first = run(steps(0, 4), {in[1]});
  const auto second = run(steps(4, 2), first.state);
  CHECK(values_of(second.state.hidden) == values_of(one.state.hidden));
}

TEMPLATE_TEST_CASE("gru: float and bfloat16 give double's results and gradients", "[gru]", float, bfloat16) {
  using T = TestType;
  using W = Accumulate<T>;
  for (const auto& [factor_rows, inputs] : {std::pair<std::int64_t, std::int64_t>{0, 9}, {2, 9}, {2, 4}}) {
    INFO("factor rows " << factor_rows << ", inputs " << inputs);  // with few inputs their matrix is formed
    const RecurrentCase c{
        .members = 2, .steps = 7, .batch = 5, .inputs = inputs, .hidden = 17, .factor_rows = factor_rows};
    const auto run = [&]<class V, class P>(V, P) {
      std::vector<DoubleTensor> in = c.inputs_for(3, 1);
      for (std::size_t i = 2; i < in.size(); ++i)  // sums of some ten terms then stay below 2
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
      for (std::size_t i = 2; i < in.size(); ++i) {
        gradients.push_back(zeros<P, Cpu>(in[i].shape()));
        parameters.push_back(tape.leaf(as(in[i], P()), gradients.back()));
      }
      const auto result = apply_gru<V>(tape.leaf(as(in[0], V()), dx), tape.input(as(in[1], V())), parameters);
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

TEST_CASE("gru: what a step adds is not lost to the rounding of h in bfloat16", "[gru]") {
  const std::int64_t steps = 400;
  const auto last = [&]<class T>(T) {
    using W = Accumulate<T>;
    auto bias = zeros<W, Cpu>({1, 3});
    bias.data()[1] = W(7);  // z = 0.999: a step adds 1e-3 (tanh(1) - h), h's rounding is up to 2e-3
    bias.data()[2] = W(1);
    const Tape tape;
    const auto weight = tape.input(zeros<W, Cpu>({1, 3, 1})), b = tape.input(bias),
               none = tape.input(zeros<W, Cpu>({1, 3}));
    const auto result = gru(tape.input(zeros<T, Cpu>({1, steps, 1, 1})), tape.input(full<T, Cpu>({1, 1, 1}, T(0.5f))),
                            GruMatrix<W, Cpu>{weight, b}, GruMatrix<W, Cpu>{weight, none});
    return static_cast<double>(result.state.hidden.data()[0]);
  };
  const double expected = last(double());
  CHECK(expected > 0.57);
  CHECK(difference(last(bfloat16(0.f)), expected) <= epsilon<bfloat16>());  // rounded once
}

TEST_CASE("gru: the same bits on any number of threads", "[gru]") {
  const RecurrentCase c{.members = 2, .steps = 4, .batch = 40, .inputs = 8, .hidden = 48, .factor_rows = 2};
  CHECK(same_on_any_threads([&] {
    const auto in = c.inputs_for(3, 1);
    Tape tape;
    DoubleVariables variables;
    std::vector<DoubleTensor> gradients;
    for (const auto& tensor : in) {
      gradients.push_back(zeros<double, Cpu>(tensor.shape()));
      variables.push_back(tape.leaf(tensor, gradients.back()));
    }
    const auto y = apply_gru(variables).y;
    std::vector<std::vector<double>> all{values_of(y.value())};
    backward_of_sum(tape, y);
    for (const auto& gradient : gradients) all.push_back(values_of(gradient));
    return all;
  }));
}

TEST_CASE("gru: one step on the tape for a window", "[gru]") {
  const RecurrentCase c{.members = 1, .steps = 9, .batch = 2, .inputs = 3, .hidden = 4};
  Tape tape;
  DoubleVariables variables;
  for (const auto& tensor : c.inputs_for(3, 1))
    variables.push_back(tape.leaf(tensor, zeros<double, Cpu>(tensor.shape())));
  const std::size_t before = tape.size();
  (void)apply_gru(variables);
  CHECK(tape.size() == before + 1);
}

TEST_CASE("gru: shapes that do not fit", "[gru]") {
  const RecurrentCase good{.members = 2, .steps = 3, .batch = 2, .inputs = 3, .hidden = 4, .factor_rows = 2};
  const auto message = [&](std::size_t input, const Shape& shape) -> std::string {
    auto in = good.inputs_for(3, 1);
    in[input] = DoubleTensor(shape);
    const Tape tape;
    DoubleVariables variables;
    for (const auto& tensor : in) variables.push_back(tape.input(tensor));
    return message_of<ShapeError>([&] { (void)apply_gru(variables); });
  };
  CHECK(message(0, {2, 6, 3}) ==
        "gru: expected x [K T B I], got [2 6 3]; K is the axis of the members, 1 for a plain network");
  CHECK(message(0, {2, 3, 2, 5}) == "gru: weight_ih is [K=1 O=12 I=3]; expected [1 or 2, 12, 5]");
  CHECK(message(0, {2, 0, 2, 3}) == "gru: a tensor of shape [2 0 2 3] has no elements");
  CHECK(message(1, {2, 3, 4}) ==
        "gru: x is [K=2 T=3 B=2 I=3], hidden [2 3 4]; expected [K B H]; after a release, or with another B, begin with "
        "zeros: start(K, B), of a layer alone zero_states(K, B)");
  CHECK(message(2, {3, 12, 3}) == "gru: weight has 3 member rows, the input has K=2 members; expected 1 (shared) or 2");
  CHECK(message(3, {1, 15}) == "gru: bias_ih is [1 15]; expected [1 or 2, 12]");
  CHECK(message(5, {2, 4}) == "gru: rank-1 factor s of weight_ih is [2 4]; expected [1 or 2, 3]");
  CHECK(message(8, {1, 16}) == "gru: rank-1 factor r of weight_hh is [1 16]; expected [1 or 2, 12]");
  CHECK(message(0, good.x()).empty());
}
