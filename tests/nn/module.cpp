#include <lpw/nn/module.hpp>

#include <algorithm>

#include <lpw/nn/activation.hpp>
#include <lpw/nn/linear.hpp>
#include <lpw/nn/sequential.hpp>
#include <lpw/optim/sgd.hpp>
#include "catch.hpp"
#include "support/backward.hpp"
#include "support/compare.hpp"
#include "support/random.hpp"

using namespace lpw;
using namespace lpw::test;

namespace {

/// A user's module: x + bias, a struct with forward and visit.
template <class T, class D>
struct Shift {
  using value_type = T;
  using device_type = D;

  explicit Shift(std::int64_t features) : bias(full<Accumulate<T>, D>({1, features}, 1)) {}
  [[nodiscard]] Variable<T, D> forward(const Variable<T, D>& x) { return add_channels(x, bias.on(x)); }
  template <class F>
  void visit(F&& f) {
    f("bias", bias);
  }

  nn::Parameter<Accumulate<T>, D> bias;
};

/// An encoder and a decoder that share one weight.
struct Tied {
  using value_type = double;
  using device_type = Cpu;

  explicit Tied(nn::Initializer init)
      : encoder({.in_features = 4, .out_features = 4, .bias = false}, init),
        decoder(encoder),
        scale(zeros<double, Cpu>({1, 4})) {}
  [[nodiscard]] Variable<double, Cpu> forward(const Variable<double, Cpu>& x) {
    return decoder.forward(encoder.forward(x));
  }
  template <class F>
  void visit(F&& f) {
    f("encoder", encoder);
    f("decoder", decoder);
    f("scale", scale);
  }

  nn::Linear<double, Cpu> encoder, decoder;
  nn::Buffer<double, Cpu> scale;
};

struct NoForward {
  using value_type = float;
  using device_type = Cpu;
  template <class F>
  void visit(F&&) {}
};

static_assert(nn::Module<Shift<float, Cpu>> && nn::Module<Shift<bfloat16, Cpu>> && nn::Module<Tied>);
static_assert(nn::Visitable<NoForward> && !nn::Module<NoForward> && !nn::Visitable<int>);
static_assert(std::is_same_v<nn::WeightOf<Shift<bfloat16, Cpu>>, float>);

auto small_network() {
  nn::Initializer init(Philox{1});
  return nn::Sequential(
      nn::Linear<double, Cpu>({.in_features = 3, .out_features = 4}, init), Shift<double, Cpu>(4),
      nn::Relu<double, Cpu>(),
      nn::Sequential(nn::Linear<double, Cpu>({.in_features = 4, .out_features = 2, .bias = false}, init)));
}

template <class M>
std::vector<std::string> parameter_names(M& module) {
  std::vector<std::string> names;
  nn::for_each_parameter(module, [&](const std::string& name, auto&) { names.push_back(name); });
  return names;
}

}  // namespace

TEST_CASE("Sequential feeds each module's output to the next and names them by number", "[module]") {
  auto network = small_network();
  CHECK(parameter_names(network) == std::vector<std::string>{"0.weight", "0.bias", "1.bias", "3.0.weight"});
  const Tape tape;
  const auto x = tape.input(random_tensor<double>({2, 5, 3}, 1));
  auto& [first, shift, rectifier, last] = network.modules;
  const auto expected = last.forward(rectifier.forward(shift.forward(first.forward(x))));
  CHECK(values_of(network.forward(x).value()) == values_of(expected.value()));
}

TEST_CASE("for_each_module visits parents first", "[module]") {
  auto network = small_network();
  std::vector<std::string> names;
  nn::for_each_module(network, [&](const std::string& name, auto&) { names.push_back(name); });
  CHECK(names == std::vector<std::string>{"", "0", "1", "2", "3", "3.0"});
}

TEST_CASE("for_each_buffer names the buffers", "[module]") {
  Tied network(nn::Initializer(Philox{1}));
  std::vector<std::string> names;
  nn::for_each_buffer(network, [&](const std::string& name, auto&) { names.push_back(name); });
  CHECK(names == std::vector<std::string>{"scale"});
}

TEST_CASE("a user's module trains in a Sequential with Sgd", "[module]") {
  auto network = small_network();
  optim::Sgd optimizer(network, {.learning_rate = 0.5, .momentum = 0, .nesterov = false, .weight_decay = 0});
  auto& bias = std::get<1>(network.modules).bias;
  CHECK(bias.home() == nn::flatten(network));
  const auto x = random_tensor<double>({1, 5, 3}, 1);
  const auto before = values_of(bias.value());
  Tape tape;
  backward_of_sum(tape, network.forward(tape.input(x)));
  const auto gradient = values_of(bias.gradient());
  REQUIRE(std::any_of(gradient.begin(), gradient.end(), [](double g) { return g != 0; }));
  optimizer.step();
  for (std::size_t i = 0; i < before.size(); ++i) CHECK(bias.value().data()[i] == before[i] - 0.5 * gradient[i]);
  CHECK(values_of(bias.gradient()) == std::vector<double>(4, 0));
}

TEST_CASE("clone_module copies weights and buffers, and keeps tied weights tied", "[module]") {
  Tied network(nn::Initializer(Philox{1}));
  for (const bool flat : {false, true}) {
    INFO("flat " << flat);
    if (flat) (void)nn::flatten(network);
    auto copy = nn::clone_module(network);
    CHECK(values_of(copy.encoder.weight.value()) == values_of(network.encoder.weight.value()));
    CHECK(copy.encoder.weight.id() != network.encoder.weight.id());
    CHECK(copy.encoder.weight.id() == copy.decoder.weight.id());
    CHECK(copy.encoder.weight.home() == nullptr);
    const double before = network.encoder.weight.value().data()[0];
    copy.decoder.weight.value().data()[0] = before + 1;
    copy.decoder.weight.gradient().data()[0] = 3;
    copy.scale.value().data()[0] = 4;
    CHECK(copy.encoder.weight.value().data()[0] == before + 1);
    CHECK(network.encoder.weight.value().data()[0] == before);
    CHECK(network.encoder.weight.gradient().data()[0] == 0);
    CHECK(network.scale.value().data()[0] == 0);
  }
}

TEST_CASE("a plain copy of a module shares its weights", "[module]") {
  Tied network(nn::Initializer(Philox{1}));
  const Tied copy = network;
  network.encoder.weight.value().data()[0] = 42;
  CHECK(copy.encoder.weight.value().data()[0] == 42);
}

TEST_CASE("a tied weight's gradient is the sum over its uses", "[module]") {
  Tied network(nn::Initializer(Philox{1}));
  const auto x = random_tensor<double>({1, 3, 4}, 1);
  const auto& weight = network.encoder.weight;
  Tape tape;
  backward_of_sum(tape, network.forward(tape.input(x)));
  Tape other;
  const auto first = zeros<double, Cpu>(weight.value().shape()), second = zeros<double, Cpu>(weight.value().shape());
  const auto hidden = linear(other.input(x), other.leaf(weight.value(), first));
  backward_of_sum(other, linear(hidden, other.leaf(weight.value(), second)));
  for (std::int64_t i = 0; i < 16; ++i)  // sums of values of order 1
    CHECK(std::abs(weight.gradient().data()[i] - first.data()[i] - second.data()[i]) <= 20 * epsilon<double>());
}
