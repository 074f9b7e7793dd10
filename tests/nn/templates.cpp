// Gradients of layers whose weights are made of templates, through the layer, with rows of each member.
#include <lpw/late_phase/release.hpp>
#include <lpw/nn/batch_norm.hpp>
#include <lpw/nn/conv2d.hpp>
#include <lpw/nn/forms/share_templates.hpp>
#include <lpw/nn/linear.hpp>
#include <lpw/nn/lstm.hpp>

#include "support/layer_gradients.hpp"

using namespace lpw;
using namespace lpw::test;

namespace {

/// The layer that make() makes, released in each way that gives its templates or coefficients rows of each member, in
/// a pass of all members and in one of some.
template <class Make>
void check_layers(Make&& make, const Shape& x) {
  for (const char* late : {"templates", "*templates*", "all", "templates,additive", "additive"})
    for (const MemberRange range : {all_members, last_two}) {
      INFO("released: " << late << "; members from " << range.first);
      auto layer = make();
      release(layer, {.members = layer_members, .late = Selectors::parse(late)});
      REQUIRE(nn::members(layer) == layer_members);
      check_layer(layer, x, range);
    }
}

nn::Initializer templates_initializer() { return nn::Initializer(Philox{1}); }

using Conv = nn::Conv2d<double, Cpu>;
using Dense = nn::Linear<double, Cpu>;
using Recurrent = nn::Lstm<double, Cpu>;

/// Two convolutions of one bank, the first in one part and the second in two.
struct TwoConvolutions {
  using value_type = double;
  using device_type = Cpu;

  explicit TwoConvolutions(nn::Initializer init = templates_initializer())
      : first({.in_channels = 2, .out_channels = 4, .padding = 1}, init),
        second({.in_channels = 4, .out_channels = 4, .stride = 2, .padding = 1}, init) {
    nn::share_templates<double, Cpu>({&first.weight, &second.weight}, {.templates = 3}, init);
  }
  DoubleVariable forward(const DoubleVariable& x) { return second.forward(first.forward(x)); }
  template <class F>
  void visit(F&& f) {
    f("first", first);
    f("second", second);
  }

  Conv first, second;
};

/// A block of a Wide ResNet in little: the convolution, in two parts, reads a batch norm that is pending, and adds its
/// result to a residual.
struct Block {
  using value_type = double;
  using device_type = Cpu;

  explicit Block(nn::Initializer init = templates_initializer())
      : bn(4, {.relu = true}), conv({.in_channels = 4, .out_channels = 4, .padding = 1}, init) {
    nn::share_templates<double, Cpu>({&conv.weight}, {.templates = 3, .inputs = 2}, init);
  }
  DoubleVariable forward(const DoubleVariable& x) { return conv.forward(bn.forward(x), x); }
  template <class F>
  void visit(F&& f) {
    f("bn", bn);
    f("conv", conv);
  }

  nn::BatchNorm<double, Cpu> bn;
  Conv conv;
};

/// Two layers that share a weight.
struct TiedDense {
  using value_type = double;
  using device_type = Cpu;

  explicit TiedDense(nn::Initializer init) : first({.in_features = 4, .out_features = 4}, init), second(first) {
    second.bias.emplace(init.normal<double, Cpu>({1, 4}));
  }
  DoubleVariable forward(const DoubleVariable& x) { return second.forward(first.forward(x)); }
  template <class F>
  void visit(F&& f) {
    f("first", first);
    f("second", second);
  }

  Dense first, second;
};

}  // namespace

TEST_CASE("templates in Conv2d: gradients of coefficients, templates and images", "[templates]") {
  SECTION("kernels 3x3 of one bank, in one part and in two, with a stride") {
    check_layers([] { return TwoConvolutions(); }, {2, 4, 4, 2});
  }
  SECTION("behind a batch norm, onto a residual") {
    check_layers([] { return Block(); }, {2, 3, 3, 4});
  }
  SECTION("kernels 1x1") {
    const auto make = [] {
      auto init = templates_initializer();
      Conv layer({.in_channels = 4, .out_channels = 3, .kernel_size = 1}, init);
      nn::share_templates<double, Cpu>({&layer.weight}, {.templates = 3, .inputs = 2}, init);
      return layer;
    };
    check_layers(make, {2, 3, 3, 4});
  }
}

TEST_CASE("templates in Linear: gradients of coefficients, templates and features", "[templates]") {
  const auto make = [](std::int64_t parts) {
    auto init = templates_initializer();
    Dense layer({.in_features = 6, .out_features = 4}, init);
    nn::share_templates<double, Cpu>({&layer.weight}, {.templates = 3, .inputs = 6 / parts}, init);
    if (parts == 1) nn::share_coefficients(layer.weight, *layer.bias);
    return layer;
  };
  SECTION("weight and bias of the same coefficients") {
    check_layers([&] { return make(1); }, {5, 6});
  }
  SECTION("a weight in two parts, and a bias that is a parameter") {
    check_layers([&] { return make(2); }, {5, 6});
  }
  SECTION("one weight of two layers, named once: gradients of both uses") {
    const auto tied = [] {
      auto init = templates_initializer();
      TiedDense layers(init);
      nn::share_templates<double, Cpu>({&layers.first.weight}, {.templates = 3, .inputs = 2}, init);
      return layers;
    };
    check_layers(tied, {5, 4});
  }
}

TEST_CASE("templates in Lstm: gradients of coefficients, templates and inputs through three steps", "[templates]") {
  const auto make = [](std::int64_t inputs) {
    auto init = templates_initializer();
    Recurrent net({.in_features = inputs, .hidden_features = 2, .layers = 2}, init);
    nn::share_templates<double, Cpu>(
        {&net.layers[0].ih.weight, &net.layers[0].hh.weight, &net.layers[1].ih.weight, &net.layers[1].hh.weight},
        {.templates = 3}, init);
    return net;
  };
  SECTION("four matrices of a bank, in one part") {
    check_layers([&] { return make(2); }, {3, 2, 2});
  }
  SECTION("the first in one part, the others in two") {
    check_layers([&] { return make(1); }, {3, 2, 1});
  }
}

namespace {

/// Convolutions of one bank, in two parts each: the weight of one is 147 kB, and the images are small.
struct ManyConvolutions {
  using value_type = float;
  using device_type = Cpu;
  static constexpr std::int64_t count = 24, channels = 64, weight_bytes = channels * 9 * channels * 4;

  explicit ManyConvolutions(nn::Initializer init = templates_initializer()) {
    std::vector<nn::DenseWeight<float, Cpu>*> weights;
    for (std::int64_t i = 0; i < count; ++i)
      layers.emplace_back(nn::Conv2dShape{.in_channels = channels, .out_channels = channels, .padding = 1}, init);
    for (auto& layer : layers) weights.push_back(&layer.weight);
    nn::share_templates<float, Cpu>(weights, {.templates = 4, .inputs = channels / 2}, init);
  }
  Variable<float, Cpu> forward(Variable<float, Cpu> x) {
    for (auto& layer : layers) x = layer.forward(x);
    return x;
  }
  template <class F>
  void visit(F&& f) {
    for (std::size_t i = 0; i < layers.size(); ++i) f(to_text(i), layers[i]);
  }

  std::vector<nn::Conv2d<float, Cpu>> layers;
};

/// What the pool holds beside what there was before: at most in a pass of these members, and between its forward and
/// its backward.
struct Held {
  std::size_t most, between;
};
Held held_in_pass(ManyConvolutions& network, MemberRange range) {
  const auto x = full<float, Cpu>({range.count, 2, 4, 4, ManyConvolutions::channels}, 0.1f);
  const std::size_t before = cpu_pool().usage().used;
  cpu_pool().reset_peak();
  Tape tape({.members = range});
  auto y = network.forward(tape.input(x));
  const std::size_t between = cpu_pool().usage().used - before;
  backward_of_sum(tape, y);
  return {cpu_pool().usage().peak - before, between};
}

}  // namespace

TEST_CASE("templates in Conv2d: the members' weights of one layer live at a time, and between the passes none",
          "[templates]") {
  constexpr std::int64_t members = 4;
  constexpr std::size_t copies = members * ManyConvolutions::weight_bytes;
  ManyConvolutions network;
  release(network, {.members = members, .late = Group::templates});
  const Held together = held_in_pass(network, {0, members}), alone = held_in_pass(network, {0, 1});
  // All layers' would be 24 times the copies of one. Images are less than 1.5 times these, and a layer has its weight,
  // the same by parts, the gradients of both, and what a convolution transforms.
  CHECK(together.most < ManyConvolutions::count / 2 * copies);
  CHECK(together.between < 4 * copies);
  CHECK(alone.most < together.most / 2);  // chunks of members bound them
}
