// A network's layers: their weights, whose they are, outputs and multiply-adds.
#include <lpw/autograd/arithmetic.hpp>
#include <lpw/autograd/matmul.hpp>
#include <lpw/nn/conv1d.hpp>
#include <lpw/nn/conv_transpose1d.hpp>
#include <lpw/nn/conv_transpose2d.hpp>
#include <lpw/nn/summary.hpp>

#include <lpw/nn/lstm.hpp>

#include "catch.hpp"
#include "support/errors.hpp"
#include "support/networks.hpp"

using namespace lpw::test;
using lpw::nn::LayerSummary;
using lpw::nn::summary;

namespace {

const LayerSummary& layer(const lpw::nn::Summary& all, const std::string& name) {
  const auto found =
      std::find_if(all.layers.begin(), all.layers.end(), [&](const LayerSummary& some) { return some.name == name; });
  REQUIRE(found != all.layers.end());
  return *found;
}

/// A product of activations with a parameter, on either side.
struct Product {
  using value_type = float;
  using device_type = Cpu;
  bool left;
  lpw::nn::Parameter<float, Cpu> weight;

  lpw::Variable<float, Cpu> forward(const lpw::Variable<float, Cpu>& x) {
    return left ? matmul(weight.on(x), x) : matmul(x, weight.on(x));
  }
  template <class F>
  void visit(F&& f) {
    f("weight", weight);
  }
};

/// A layer of which visit names one weight of two.
struct Forgetful {
  using value_type = float;
  using device_type = Cpu;
  lpw::nn::Parameter<float, Cpu> named{lpw::zeros<float, Cpu>({1, 4, 5})}, forgotten{lpw::zeros<float, Cpu>({1, 3, 4})};

  lpw::Variable<float, Cpu> forward(const lpw::Variable<float, Cpu>& x) {
    return matmul(forgotten.on(x), matmul(named.on(x), x));
  }
  template <class F>
  void visit(F&& f) {
    f("named", named);
  }
};

}  // namespace

TEST_CASE("summary: a parameter that no visit names is refused", "[nn]") {
  Forgetful layer;
  const auto message = message_of<lpw::Error>([&] { (void)summary(layer, lpw::zeros<float, Cpu>({1, 5, 2})); });
  CHECK(contains(message, "summary: forward reads a parameter [1 3 4] that no visit() names"));
}

TEST_CASE("summary: of a network of two inputs", "[nn]") {
  Product product{true, lpw::nn::Parameter<float, Cpu>(lpw::zeros<float, Cpu>({1, 4, 5}))};
  const auto all = summary(product, [&](const lpw::Tape& tape) {
    const auto x = tape.input(lpw::zeros<float, Cpu>({1, 5, 3})), more = tape.input(lpw::zeros<float, Cpu>({1, 4, 3}));
    return lpw::add(product.forward(x), more);
  });
  CHECK(all.total(&LayerSummary::multiply_adds) == 60);
  CHECK(all.traced);
}

TEST_CASE("summary: products with a parameter, on either side", "[nn]") {
  const auto count = [](bool left, const Shape& weight, const Shape& x) {
    Product product{left, lpw::nn::Parameter<float, Cpu>(lpw::zeros<float, Cpu>(weight))};
    return summary(product, lpw::zeros<float, Cpu>(x)).total(&LayerSummary::multiply_adds);
  };
  CHECK(count(true, {1, 4, 5}, {1, 5, 3}) == 60);
  CHECK(count(false, {1, 2, 5, 7}, {1, 2, 3, 5}) == 210);
}

TEST_CASE("summary: products of activations, of one member's samples, in a line of their own", "[nn]") {
  Product product{true, lpw::nn::Parameter<float, Cpu>(lpw::zeros<float, Cpu>({1, 2, 4, 5}))};
  const std::int64_t members = GENERATE(1, 3);
  const auto all = summary(product, [&](const lpw::Tape& tape) {
    const auto y = product.forward(tape.input(lpw::zeros<float, Cpu>({members, 2, 5, 3})));  // [K 2 4 3]
    return matmul(matmul(y, y, {.transpose_b = true}), y);
  });
  CHECK(all.layers.size() == 2);
  CHECK(layer(all, "(network)").multiply_adds == 2 * 60);
  CHECK(layer(all, "(activations)").multiply_adds == 2 * 4 * 3 * 4 + 2 * 4 * 4 * 3);
  CHECK(all.total(&LayerSummary::multiply_adds) == 120 + 192);
  CHECK(contains(all.text(), "\n(activations)  matmul "));
}

TEST_CASE("summary: layers, their weights, outputs and multiply-adds of one sample", "[nn]") {
  SmallNet<float> network;
  const auto all = summary(network, Shape{8, 8, 3});
  CHECK(all.layers.size() == 5);
  const auto& conv = layer(all, "conv");
  CHECK(conv.type == "Conv2d");
  CHECK(conv.shapes == std::vector<Shape>{{5, 3, 3, 3}});
  CHECK(conv.base == 135);
  CHECK(conv.output == Shape{1, 4, 4, 5});
  CHECK(conv.multiply_adds == 4 * 4 * 5 * 27);
  const auto& norm = layer(all, "bn1");
  CHECK(norm.type == "BatchNorm");
  CHECK(norm.statistics == 10);
  CHECK(norm.multiply_adds == 0);
  const auto& last = layer(all, "last");
  CHECK(last.shapes == std::vector<Shape>{{3, 6}, {3}});
  CHECK(last.multiply_adds == 18);
  CHECK(all.parameters() == 214);
  CHECK(all.total(&LayerSummary::multiply_adds) == 2160 + 30 + 18);
  const auto plain = summary(network);
  CHECK(!layer(plain, "conv").output);
  CHECK(plain.text() ==
        "layer   type       weights    base  late-phase\n"
        "conv    Conv2d     [5 3 3 3]   135           0\n"
        "bn1     BatchNorm  [5] [5]      10           0\n"
        "hidden  Linear     [6 5] [6]    36           0\n"
        "bn2     BatchNorm  [6] [6]      12           0\n"
        "last    Linear     [3 6] [3]    21           0\n"
        "all                            214           0\n"
        "214 parameters, 22 running statistics\n");
  CHECK(contains(all.text(), "\nconv    Conv2d     [5 3 3 3]   135           0  [1 4 4 5]           2160\n"));
}

TEST_CASE("summary: of members, their own weights for each, and one member's multiply-adds", "[nn]") {
  const std::string late = GENERATE("batchnorm,head", "rank1", "additive");
  SmallNet<float> network;
  lpw::release(network, {.members = 3, .late = lpw::Selectors::parse(late)});
  const auto before = state_of(network);
  const auto all = summary(network, Shape{8, 8, 3});
  const std::int64_t base = late == "batchnorm,head" ? 171 : 214, own = late == "batchnorm,head" ? 43
                                                                        : late == "rank1"        ? 28
                                                                                                 : 214;
  CHECK(all.total(&LayerSummary::base) == base);
  CHECK(all.total(&LayerSummary::late) == own);
  CHECK(all.parameters() == base + 3 * own);
  CHECK(all.total(&LayerSummary::multiply_adds) == 2208);
  CHECK(layer(all, "conv").output == Shape{1, 4, 4, 5});
  CHECK(contains(all.text(), lpw::to_text(base + 3 * own, " parameters of 3 members, 66 running statistics\n")));
  CHECK(state_of(network) == before);
}

TEST_CASE("summary: tied weights count once, look-ups multiply nothing, and windows count whole", "[nn]") {
  TiedLayers tied({.in_features = 4, .out_features = 4});
  const auto both = summary(tied, Shape{4});
  CHECK(both.parameters() == 20);
  CHECK(layer(both, "second").shapes.empty());
  CHECK(both.total(&LayerSummary::multiply_adds) == 32);

  lpw::nn::Initializer init(lpw::Philox(1));
  lpw::nn::Lstm<float, Cpu> lstm({.in_features = 5, .hidden_features = 7, .layers = 2}, init);
  const auto window = summary(lstm, lpw::zeros<float, Cpu>({1, 4, 2, 5}));
  CHECK(window.layers.at(0).name == "(network)");
  CHECK(window.layers.at(0).type == "Lstm");
  CHECK(window.layers.at(0).multiply_adds == 4 * 2 * 28 * (5 + 7 + 7 + 7));
  CHECK(window.layers.at(0).output == Shape{4, 2, 7});

  // Each pixel of a transposed convolution's input meets the whole kernel, whatever its stride makes of it.
  lpw::nn::ConvTranspose2d<float, Cpu> up({.in_channels = 3, .out_channels = 2, .kernel_size = 4, .stride = 2}, init);
  const auto larger = summary(up, Shape{5, 5, 3});
  CHECK(larger.layers.at(0).output == Shape{1, 12, 12, 2});
  CHECK(larger.total(&LayerSummary::multiply_adds) == 25 * 4 * 4 * 3 * 2);

  // Convolutions of sequences are computed as those of images of height 1.
  for (const bool bias : {true, false}) {
    lpw::nn::Conv1d<float, Cpu> conv(
        {.in_channels = 3, .out_channels = 4, .kernel_size = 3, .padding = 1, .bias = bias}, init);
    lpw::nn::ConvTranspose1d<float, Cpu> longer({.in_channels = 3, .out_channels = 4, .kernel_size = 3, .bias = bias},
                                                init);
    CHECK(summary(conv, Shape{7, 3}).layers.at(0).output == Shape{1, 7, 4});
    CHECK(summary(longer, Shape{5, 3}).layers.at(0).output == Shape{1, 7, 4});
  }

  SymbolNet<float> symbols(true);
  const auto images = summary(symbols, Shape{8, 8, 1});
  CHECK(layer(images, "embedding").multiply_adds == 0);
  CHECK(layer(images, "embedding").output == Shape{1, 8, 8, 6});
}
