// The modules with a recurrent matrix: layers, states, members, and their rank-1 factors from release to collapse.
#include <lpw/nn/gru.hpp>
#include <lpw/nn/lstm.hpp>

#include <lpw/autograd/linear.hpp>
#include <lpw/late_phase/collapse.hpp>
#include <lpw/late_phase/release.hpp>
#include "support/gradient_check.hpp"

using namespace lpw;
using namespace lpw::test;

namespace {

constexpr std::int64_t inputs = 3, hidden = 4;

/// What the tests ask of a kind of module, beside the module itself.
struct OfLstm {
  using Net = nn::Lstm<double, Cpu>;
  static constexpr std::int64_t gates = 4;

  [[nodiscard]] static LstmState<double, Cpu> random_state(const Shape& shape, std::uint32_t layer) {
    return {random_tensor<double>(shape, 70 + layer), random_tensor<double>(shape, 80 + layer)};
  }
  /// The operation, from a state that is data.
  [[nodiscard]] static DoubleVariable apply(const DoubleVariable& x, const LstmState<double, Cpu>& state,
                                            const LstmMatrix<double, Cpu>& ih, const LstmMatrix<double, Cpu>& hh) {
    const DoubleVariable h({state.hidden}, x.recording(), -1), c({state.cell}, x.recording(), -1);
    return lstm(x, h, c, ih, hh).y;
  }
};

struct OfGru {
  using Net = nn::Gru<double, Cpu>;
  static constexpr std::int64_t gates = 3;

  [[nodiscard]] static GruState<double, Cpu> random_state(const Shape& shape, std::uint32_t layer) {
    return {random_tensor<double>(shape, 70 + layer)};
  }
  [[nodiscard]] static DoubleVariable apply(const DoubleVariable& x, const GruState<double, Cpu>& state,
                                            const GruMatrix<double, Cpu>& ih, const GruMatrix<double, Cpu>& hh) {
    return gru(x, DoubleVariable({state.hidden}, x.recording(), -1), ih, hh).y;
  }
};

/// The weight, bias and factors of a matrix, from what is visited from `at` on: weight, r, s, bias.
[[nodiscard]] RecurrentMatrix<double, Cpu> matrix_at(const DoubleVariables& in, std::size_t at) {
  return {in[at], in[at + 3], RankOneFactors<double, Cpu>{in[at + 1], in[at + 2]}};
}

template <class Kind>
typename Kind::Net make_net(std::int64_t layers = 2, double dropout = 0) {
  nn::Initializer init(Philox{1});
  return typename Kind::Net({.in_features = inputs, .hidden_features = hidden, .layers = layers, .dropout = dropout},
                            init);
}

/// Other rank-1 factors for every member, in [0.5, 1.5).
template <class Net>
void randomize_factors(Net& net) {
  std::uint32_t key = 50;
  nn::for_each_parameter(net, [&](const std::string&, auto& parameter) {
    if (parameter.group() != Group::rank_one) return;
    auto values = random_tensor<double>(parameter.value().shape(), key++);
    for (std::int64_t i = 0; i < values.size(); ++i) values.data()[i] = 1 + values.data()[i] / 2;
    copy(values, parameter.value());
  });
}

template <class Kind>
typename Kind::Net::States random_states(std::int64_t members, std::int64_t batch, std::size_t layers = 2) {
  typename Kind::Net::States states;
  for (std::uint32_t layer = 0; layer < layers; ++layer)
    states.push_back(Kind::random_state({members, batch, hidden}, layer));
  return states;
}

/// Two layers of the operation, on parameters as they are visited behind x.
template <class Kind>
DoubleVariable two_layers(const DoubleVariables& in, const typename Kind::Net::States& states) {
  DoubleVariable x = in[0];
  for (std::size_t layer = 0; layer < 2; ++layer)
    x = Kind::apply(x, states[layer], matrix_at(in, 1 + 8 * layer), matrix_at(in, 5 + 8 * layer));
  return x;
}

template <class Net>
std::vector<double> output_of(Net& net, const DoubleTensor& x) {
  return values_of(net.forward(Tape::evaluation().input(x)).value());
}

template <class Net>
std::map<std::string, std::vector<double>> weights_of(Net& net) {
  std::map<std::string, std::vector<double>> result;
  nn::for_each_parameter(
      net, [&](const std::string& name, auto& parameter) { result[name] = values_of(parameter.value()); });
  return result;
}

}  // namespace

TEMPLATE_TEST_CASE("recurrent layers: PyTorch's names and shapes, weights uniform within 1 / sqrt(H)", "[lstm][gru]",
                   OfLstm, OfGru) {
  auto net = make_net<TestType>();
  std::map<std::string, Shape> shapes;
  nn::for_each_parameter(net, [&](const std::string& name, auto& parameter) {
    shapes[name] = parameter.shape();
    const double largest = largest_magnitude(parameter.value());
    CHECK(largest <= 0.5);
    CHECK(largest >= 0.25);  // all 12 and more numbers in the inner half: 2^-12
  });
  constexpr std::int64_t rows = 4 * TestType::gates;
  const std::map<std::string, Shape> expected{
      {"weight_ih_l0", {rows, 3}}, {"weight_hh_l0", {rows, 4}}, {"bias_ih_l0", {rows}}, {"bias_hh_l0", {rows}},
      {"weight_ih_l1", {rows, 4}}, {"weight_hh_l1", {rows, 4}}, {"bias_ih_l1", {rows}}, {"bias_hh_l1", {rows}}};
  CHECK(shapes == expected);
  nn::attach_rank_one(net);
  std::size_t count = 0;
  nn::for_each_parameter(net, [&](const std::string& name, auto& parameter) {
    if (parameter.group() != Group::rank_one) return;
    ++count;
    const bool output = name.starts_with("rank_one_r_");
    CHECK(parameter.shape() == Shape{output ? rows : expected.at("weight_" + name.substr(11))[1]});
  });
  CHECK(count == 8);
}

TEMPLATE_TEST_CASE("recurrent layers: gradients through five steps and two layers of members with rank-1 factors",
                   "[lstm][gru]", OfLstm, OfGru) {
  auto net = make_net<TestType>();
  release(net, {.members = 3, .late = Group::rank_one});
  randomize_factors(net);
  const auto states = random_states<TestType>(3, 2);
  // Parameters enter as inputs of the check: it sets their values, and reads their gradients on its own tape.
  std::vector<DoubleTensor> inputs_of_check{random_tensor<double>({3, 5, 2, inputs}, 9)};
  nn::for_each_parameter(
      net, [&](const std::string&, auto& parameter) { inputs_of_check.push_back(clone(parameter.value())); });
  REQUIRE(inputs_of_check.size() == 17);
  expect_gradient(
      "two layers", [&](const auto& in) { return two_layers<TestType>(in, states); }, inputs_of_check);

  // The module computes that function and leaves its gradients in the parameters.
  Tape tape, other;
  const auto y = net.forward(tape.input(inputs_of_check[0]), states).y;
  backward_of_sum(tape, weighted_sum(y));
  DoubleVariables leaves;
  std::vector<DoubleTensor> gradients;
  for (const auto& tensor : inputs_of_check) {
    gradients.push_back(zeros<double, Cpu>(tensor.shape()));
    leaves.push_back(other.leaf(tensor, gradients.back()));
  }
  backward_of_sum(other, weighted_sum(two_layers<TestType>(leaves, states)));
  std::size_t at = 1;
  nn::for_each_parameter(net, [&](const std::string& name, auto& parameter) {
    INFO(name);
    CHECK(values_of(parameter.gradient()) == values_of(gradients[at++]));
  });
}

TEMPLATE_TEST_CASE(
    "recurrent layers: members of one pass are the members run alone, with carried states, and their base gradients' "
    "sum",
    "[lstm][gru]", OfLstm, OfGru) {
  constexpr std::int64_t members = 3, batch = 2, steps = 4;
  auto net = make_net<TestType>();
  release(net, {.members = members, .late = Group::rank_one});
  randomize_factors(net);
  const auto window = [&](std::uint32_t key) { return random_tensor<double>({members, steps, batch, inputs}, key); };
  const auto run = [&](MemberRange range) {  // two windows; all members if range is empty
    const std::int64_t first = range.first, count = range.count ? range.count : members;
    auto states = net.zero_states(count, batch);
    std::vector<double> y;
    for (const std::uint32_t key : {1u, 2u}) {
      Tape tape({.members = range});
      auto result = net.forward(tape.input(window(key).rows(first, count)), states);
      const auto values = values_of(result.y.value());
      y.insert(y.end(), values.begin(), values.end());
      states = std::move(result.states);
      backward_of_sum(tape, result.y);
    }
    return y;
  };
  const auto gradients = [&] {
    std::map<std::string, std::vector<double>> result;
    nn::for_each_parameter(net, [&](const std::string& name, auto& parameter) {
      result[name] = values_of(parameter.gradient());
      fill(parameter.gradient(), 0.0);
    });
    return result;
  };
  const auto together = run({});
  const auto batched = gradients();
  const std::size_t half = together.size() / 2, part = half / members;
  for (std::int64_t k = 0; k < members; ++k) {
    const auto alone = run({k, 1});
    for (std::size_t w = 0; w < 2; ++w)
      for (std::size_t i = 0; i < part; ++i)
        REQUIRE(std::abs(alone[w * part + i] - together[w * half + std::size_t(k) * part + i]) <=
                100 * epsilon<double>());  // other cuts of sums
  }
  for (const auto& [name, values] : gradients()) {  // the three runs added up
    INFO(name);
    CHECK(largest_difference(values, batched.at(name)) <=
          1000 * epsilon<double>());  // sums of some hundred terms below 1
  }
}

TEMPLATE_TEST_CASE(
    "recurrent layers: release leaves their function as it is, bit for bit, and collapse of equal members gives the "
    "network back",
    "[lstm][gru]", OfLstm, OfGru) {
  auto net = make_net<TestType>();
  const auto before = weights_of(net);
  const auto x = random_tensor<double>({1, 6, 2, inputs}, 3);
  const auto y = output_of(net, x);
  release(net, {.members = 4, .late = Group::rank_one});
  CHECK(nn::members(net) == 4);
  for (std::int64_t k = 0; k < 4; ++k) {
    const auto member = values_of(net.forward(Tape::evaluation({k, 1}).input(x)).value());
    CHECK(member == y);
  }
  collapse(net);
  CHECK(nn::members(net) == 1);
  CHECK(weights_of(net) == before);
  CHECK(output_of(net, x) == y);
}

TEMPLATE_TEST_CASE("recurrent layers: collapse folds the averaged factors into every matrix", "[lstm][gru]", OfLstm,
                   OfGru) {
  auto net = make_net<TestType>();
  release(net, {.members = 3, .late = Group::rank_one});
  randomize_factors(net);
  const auto members = weights_of(net);
  collapse(net);
  const auto folded = weights_of(net);
  REQUIRE(folded.size() == 8);
  for (const std::string matrix : {"ih_l0", "hh_l0", "ih_l1", "hh_l1"}) {
    INFO(matrix);
    const auto mean = [&](const std::string& name) {
      const auto& rows = members.at(name);
      std::vector<double> result(rows.size() / 3);
      for (std::size_t i = 0; i < rows.size(); ++i) result[i % result.size()] += rows[i] / 3;
      return result;
    };
    const auto r = mean("rank_one_r_" + matrix), s = mean("rank_one_s_" + matrix);
    auto expected = members.at("weight_" + matrix);
    for (std::size_t i = 0; i < expected.size(); ++i) expected[i] *= r[i / s.size()] * s[i % s.size()];
    CHECK(largest_difference(folded.at("weight_" + matrix), expected) <=
          10 * epsilon<double>());  // some five roundings
    CHECK(folded.at("bias_" + matrix) == members.at("bias_" + matrix));
  }
}

TEMPLATE_TEST_CASE("recurrent layers: weights, biases and all can be late-phase weights too", "[lstm][gru]", OfLstm,
                   OfGru) {
  auto net = make_net<TestType>(1);
  nn::for_each_parameter(net, [](const std::string&, auto& parameter) { parameter.set_group(Group::head); });
  const auto x = random_tensor<double>({2, 3, 2, inputs}, 3);
  const auto alone = output_of(net, x);
  release(net, {.members = 2, .late = Group::head});
  CHECK(largest_difference(output_of(net, x), alone) <= 10 * epsilon<double>());
  CHECK_THROWS_WITH(
      [&] {
        auto other = make_net<TestType>(1);
        nn::for_each_parameter(other, [](const std::string&, auto& parameter) { parameter.set_group(Group::head); });
        release(other, {.members = 2, .late = Group::head | Group::rank_one});
      }(),
      "release: the network has no layer that takes rank-1 factors");
}

TEMPLATE_TEST_CASE("recurrent layers: dropout between layers, in training only", "[lstm][gru]", OfLstm, OfGru) {
  auto net = make_net<TestType>(2, 0.5), plain = make_net<TestType>(2, 0);
  const auto x = random_tensor<double>({1, 6, 2, inputs}, 3);
  CHECK(output_of(net, x) == output_of(plain, x));
  const Tape tape({.random = Philox(3, Stream::dropout)}), again({.random = Philox(3, Stream::dropout)});
  const auto dropped = values_of(net.forward(tape.input(x)).value());
  CHECK(dropped != output_of(plain, x));
  CHECK(dropped == values_of(net.forward(again.input(x)).value()));
  auto single = make_net<TestType>(1, 0.5), plain_single = make_net<TestType>(1, 0);
  CHECK(values_of(single.forward(Tape().input(x)).value()) == output_of(plain_single, x));  // there is nothing between
}

TEMPLATE_TEST_CASE("recurrent layers refuse what cannot be", "[lstm][gru]", OfLstm, OfGru) {
  using Net = typename TestType::Net;
  const std::string name = TestType::gates == 4 ? "Lstm" : "Gru";
  nn::Initializer init(Philox{1});
  CHECK_THROWS_WITH(Net({.in_features = 0, .hidden_features = 3}, init),
                    name + ": in_features 0, hidden_features 3 and layers 1 must be positive");
  CHECK_THROWS_WITH(Net({.in_features = 1, .hidden_features = 3, .dropout = 1}, init),
                    name + ": dropout 1 is outside [0, 1)");
  auto net = make_net<TestType>();
  const Tape tape;
  const auto x = tape.input(zeros<double, Cpu>({1, 2, 2, inputs}));
  CHECK_THROWS_WITH(net.forward(x, random_states<TestType>(1, 2, 1)), name + ": states of 1 layers for 2");
  CHECK_THROWS_AS(net.forward(x, random_states<TestType>(1, 3)), ShapeError);
  CHECK_THROWS_WITH(net.forward(tape.input(zeros<double, Cpu>({2, 2, inputs}))),
                    name + ": expected x [K T B I], got [2 2 3]; K is the axis of the members, 1 for a plain network");
}
