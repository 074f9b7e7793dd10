// LayerNorm and GroupNorm as modules, and their gamma and beta as late-phase weights.
#include <lpw/nn/group_norm.hpp>

#include <lpw/late_phase/collapse.hpp>
#include <lpw/late_phase/release.hpp>
#include <lpw/nn/linear.hpp>
#include "support/errors.hpp"
#include "support/layer_gradients.hpp"

using namespace lpw;
using namespace lpw::test;

namespace {

/// A linear layer under a layer norm, over images that a group norm has normalised.
struct NormNet {
  using value_type = double;
  using device_type = Cpu;

  explicit NormNet(nn::Initializer init) : linear({.in_features = 6, .out_features = 5}, init) {}

  [[nodiscard]] Variable<double, Cpu> forward(const Variable<double, Cpu>& x) {
    return layers.forward(linear.forward(groups.forward(x)));
  }
  template <class F>
  void visit(F&& f) {
    f("groups", groups);
    f("linear", linear);
    f("layers", layers);
  }

  nn::GroupNorm<double, Cpu> groups{2, 6};
  nn::Linear<double, Cpu> linear;
  nn::LayerNorm<double, Cpu> layers{5};
};

NormNet make_norm_net() { return NormNet(nn::Initializer(Philox{1})); }

std::vector<std::string> late_norms(NormNet& net) {
  std::vector<std::string> names;
  nn::for_each_parameter(net, [&](const std::string& name, const auto& parameter) {
    if (parameter.late_phase()) names.push_back(name);
  });
  return names;
}

}  // namespace

TEST_CASE("LayerNorm and GroupNorm start as the normalisation alone, with PyTorch's names", "[group_norm]") {
  auto net = make_norm_net();
  std::map<std::string, Shape> shapes;
  nn::for_each_parameter(net, [&](const std::string& name, auto& parameter) { shapes[name] = parameter.shape(); });
  CHECK(shapes == std::map<std::string, Shape>{{"groups.weight", {6}},
                                               {"groups.bias", {6}},
                                               {"linear.weight", {5, 6}},
                                               {"linear.bias", {5}},
                                               {"layers.weight", {5}},
                                               {"layers.bias", {5}}});
  const Tape tape;
  const auto y = net.layers.forward(tape.input(random_tensor<double>({1, 3, 5}, 1))).value();
  for (std::int64_t row = 0; row < 3; ++row) {
    double sum = 0, square = 0;
    for (std::int64_t c = 0; c < 5; ++c) {
      sum += y.data()[5 * row + c];
      square += y.data()[5 * row + c] * y.data()[5 * row + c];
    }
    CHECK(std::abs(sum) <= 20 * epsilon<double>());
    CHECK(std::abs(square / 5 - 1) <= 1e-3);  // epsilon = 1e-5 over a variance of about 1/3, at least 1/100
  }
}

TEST_CASE("LayerNorm and GroupNorm: gradients with rows of each member, shared, with deviations, and of a range",
          "[group_norm]") {
  for (const char* late : {"layernorm", "groupnorm", "layernorm,groupnorm", "additive:groups.*", "linear.*"})
    for (const MemberRange range : {all_members, last_two}) {
      INFO(late << " from " << range.first);
      auto net = make_norm_net();
      release(net, {.members = layer_members, .late = Selectors::parse(late), .sigma = 0.1});
      check_layer(net, {2, 6}, range);
    }
}

TEST_CASE("layer norms and group norms are late-phase weights by their selectors, and by name", "[group_norm]") {
  const auto late = [](const char* selectors) {
    auto net = make_norm_net();
    release(net, {.members = 2, .late = Selectors::parse(selectors)});
    return late_norms(net);
  };
  const std::vector<std::string> layers{"layers.weight", "layers.bias"}, groups{"groups.weight", "groups.bias"};
  CHECK(late("layernorm") == layers);
  CHECK(late("groupnorm") == groups);
  CHECK(late("layers.*") == layers);
  CHECK(Selectors::parse("layernorm,groupnorm").text() == "layernorm,groupnorm");
  CHECK(Selectors::parse("layernorm") == Selectors(Group::layer_norm));
  nn::LayerNorm<double, Cpu> plain(3);
  CHECK(message_of<OptionError>([&] { release(plain, {.members = 2, .late = Group::group_norm}); }) ==
        "release: the network has no group norm to release");
}

TEST_CASE("layer norms and group norms: release keeps the function, collapse averages gamma and beta", "[group_norm]") {
  auto net = make_norm_net();
  const auto x = random_tensor<double>({1, 4, 6}, 1);
  const auto output = [&](MemberRange range) {
    return values_of(net.forward(Tape::evaluation(range).input(x)).value());
  };
  const auto before = output({});
  release(net, {.members = 3, .late = Selectors::parse("layernorm,groupnorm")});
  for (std::int64_t k = 0; k < 3; ++k) CHECK(output({k, 1}) == before);
  net.layers.weight.value().row(1)[2] = 4;  // 1, 4, 1
  collapse(net);
  CHECK(values_of(net.layers.weight.value()) == std::vector<double>{1, 1, 2, 1, 1});
}

TEST_CASE("LayerNorm and GroupNorm refuse what cannot be", "[group_norm]") {
  CHECK(message_of<OptionError>([] { nn::LayerNorm<float, Cpu>(0); }) == "LayerNorm: 0 channels; expected 1 or more");
  CHECK(message_of<OptionError>([] { nn::GroupNorm<float, Cpu>(3, 8); }) ==
        "GroupNorm: 3 groups of 8 channels; expected a number that divides them");
  CHECK(message_of<OptionError>([] { nn::LayerNorm<float, Cpu>(8, {.epsilon = -1}); }) ==
        "LayerNorm: epsilon -1; expected a number of 0 or more");
  CHECK(message_of<OptionError>([] { nn::GroupNorm<float, Cpu>(2, 8, {.epsilon = -1}); }) ==
        "GroupNorm: epsilon -1; expected a number of 0 or more");
}
