// Layers with a dense weight: their shapes, and rank-1 factors on them.
#include <lpw/nn/forms/rank_one.hpp>

#include <lpw/late_phase/release.hpp>
#include <lpw/nn/conv2d.hpp>
#include <lpw/nn/embedding.hpp>
#include <lpw/nn/flat_weights.hpp>
#include <lpw/nn/linear.hpp>
#include <lpw/nn/module.hpp>
#include <lpw/nn/sequential.hpp>
#include "catch.hpp"
#include "support/compare.hpp"
#include "support/layer_gradients.hpp"
#include "support/random.hpp"

using namespace lpw;
using namespace lpw::test;

namespace {

nn::Initializer initializer() { return nn::Initializer(Philox{1}); }

/// Gives a parameter random rows, one per member.
void randomize(nn::Parameter<double, Cpu>& parameter, std::int64_t members, std::uint32_t key) {
  const Shape shape = parameter.shape().prepend(members);
  parameter.bind(random_tensor<double>(shape, key), zeros<double, Cpu>(shape), nullptr);
}

/// Weights [K, O, ..., C] of the members, each W o (r_k s_k^T).
Tensor<double, Cpu> member_weights(const Tensor<double, Cpu>& weight, const Tensor<double, Cpu>& r,
                                   const Tensor<double, Cpu>& s) {
  Tensor<double, Cpu> result(weight.shape().with(0, r.dim(0)));
  const std::int64_t inputs = s.dim(1), per_output = weight.shape().size_from(2);
  for (std::int64_t k = 0; k < r.dim(0); ++k)
    for (std::int64_t i = 0; i < weight.size(); ++i)
      result.row(k)[i] = weight.data()[i] * r.row(k)[i / per_output] * s.row(k)[i % inputs];
  return result;
}

/// Of values below 10 from sums of up to 40 products of three factors: their rounding.
constexpr double rank_one_tolerance = 400 * epsilon<double>();

/// The layer with factors per member computes what member_weights do, and folding single-row factors changes nothing.
template <class Layer, class X, class Plain>
void check_factors(Layer& layer, const Tensor<X, Cpu>& x, Plain&& plain) {
  const Tape tape = Tape::evaluation();
  const auto before = values_of(layer.forward(tape.input(x)).value());
  nn::attach_rank_one(layer);
  CHECK(values_of(layer.forward(tape.input(x)).value()) == before);  // factors of one
  CHECK(layer.weight.rank_one()->output.group() == Group::rank_one);

  randomize(layer.weight.rank_one()->output, x.dim(0), 5);
  randomize(layer.weight.rank_one()->input, x.dim(0), 6);
  const auto weights = member_weights(layer.weight.value(), layer.weight.rank_one()->output.value(),
                                      layer.weight.rank_one()->input.value());
  CHECK(largest_difference(layer.forward(tape.input(x)).value(), plain(tape.input(x), tape.input(weights)).value()) <=
        rank_one_tolerance);

  randomize(layer.weight.rank_one()->output, 1, 7);
  randomize(layer.weight.rank_one()->input, 1, 8);
  const auto factored = layer.forward(tape.input(x)).value();
  layer.weight.fold();
  CHECK(layer.weight.rank_one() == nullptr);
  CHECK(largest_difference(layer.forward(tape.input(x)).value(), factored) <= rank_one_tolerance);
  CHECK_NOTHROW(layer.weight.fold());
}

template <class M>
std::string names_of(M& module) {
  std::string names;
  nn::for_each_parameter(module, [&](const std::string& name, auto&) { names += name + ' '; });
  return names;
}

}  // namespace

TEST_CASE("Conv2d: rank-1 factors", "[rank_one]") {
  auto init = initializer();
  nn::Conv2d<double, Cpu> layer({.in_channels = 4, .out_channels = 3, .stride = 2, .padding = 1}, init);
  check_factors(layer, random_tensor<double>({2, 3, 5, 5, 4}, 1),
                [](const auto& x, const auto& weight) { return conv2d(x, weight, {.stride = 2, .padding = 1}); });
}

TEST_CASE("Linear: rank-1 factors", "[rank_one]") {
  auto init = initializer();
  nn::Linear<double, Cpu> layer({.in_features = 5, .out_features = 3}, init);
  randomize(*layer.bias, 1, 9);
  const auto bias = clone(layer.bias->value());
  check_factors(layer, random_tensor<double>({2, 4, 5}, 1), [&](const auto& x, const auto& weight) {
    const Variable<double, Cpu> shift({bias}, x.recording(), -1);
    return linear(x, weight, shift);
  });
}

TEST_CASE("Embedding: rank-1 factors where its shape says so", "[rank_one]") {
  auto init = initializer();
  nn::Embedding<double, Cpu> layer({.vocabulary = 7, .features = 5, .factors = true}, init);
  check_factors(layer, random_indices({2, 4, 3}, 7),
                [](const auto& x, const auto& weight) { return embedding<double>(x, weight); });
  nn::attach_rank_one(layer);
  CHECK(names_of(layer) == "weight rank_one_r rank_one_s ");
  CHECK(layer.weight.rank_one()->output.shape() == Shape{7});
  CHECK(layer.weight.rank_one()->input.shape() == Shape{5});
  CHECK(nn::clone_module(layer).weight.takes_factors());

  nn::Embedding<double, Cpu> shared({.vocabulary = 7, .features = 5}, init);
  nn::attach_rank_one(shared);
  CHECK(names_of(shared) == "weight ");
  CHECK_FALSE(nn::clone_module(shared).weight.takes_factors());
}

TEST_CASE("rank-1 factors in Linear: gradients of both, of the weight, and of a weight that two layers share",
          "[rank_one]") {
  const auto check = [](auto make) {
    for (const MemberRange range : {all_members, last_two}) {
      INFO("members from " << range.first);
      auto layer = make();
      release(layer, {.members = layer_members, .late = Group::rank_one});
      REQUIRE(nn::members(layer) == layer_members);
      check_layer(layer, {5, 4}, range);
    }
  };
  auto init = initializer();
  SECTION("one layer") {
    check([&] { return nn::Linear<double, Cpu>({.in_features = 4, .out_features = 3}, init); });
  }
  SECTION("two of one weight") {
    check([&] {
      const nn::Linear<double, Cpu> layer({.in_features = 4, .out_features = 4}, init);
      return nn::Sequential(layer, layer);
    });
  }
}

TEST_CASE("Conv2d and Linear: parameters", "[rank_one]") {
  auto init = initializer();
  nn::Conv2d<float, Cpu> conv({.in_channels = 4, .out_channels = 3, .kernel_size = 5}, init);
  CHECK(conv.weight.shape() == Shape{3, 5, 5, 4});
  CHECK(names_of(conv) == "weight ");
  nn::attach_rank_one(conv);
  CHECK(names_of(conv) == "weight rank_one_r rank_one_s ");
  CHECK(conv.weight.rank_one()->output.shape() == Shape{3});
  CHECK(conv.weight.rank_one()->input.shape() == Shape{4});

  nn::Linear<float, Cpu> linear({.in_features = 4, .out_features = 3, .head = true}, init);
  CHECK(linear.weight.shape() == Shape{3, 4});
  CHECK(linear.weight.group() == Group::head);
  CHECK(linear.bias->group() == Group::head);
  CHECK(values_of(linear.bias->value()) == std::vector<double>(3, 0));
  CHECK(names_of(linear) == "weight bias ");
  nn::Linear<float, Cpu> without({.in_features = 4, .out_features = 3, .bias = false}, init);
  CHECK(names_of(without) == "weight ");
  CHECK(without.weight.group() == Group::none);
}

TEST_CASE("Conv2d and Linear refuse impossible shapes", "[rank_one]") {
  auto init = initializer();
  CHECK_THROWS_AS((nn::Conv2d<float, Cpu>({.in_channels = 0, .out_channels = 3}, init)), OptionError);
  CHECK_THROWS_AS((nn::Conv2d<float, Cpu>({.in_channels = 3, .out_channels = 3, .stride = 0}, init)), OptionError);
  CHECK_THROWS_AS((nn::Conv2d<float, Cpu>({.in_channels = 3, .out_channels = 3, .padding = -1}, init)), OptionError);
  CHECK_THROWS_WITH((nn::Linear<float, Cpu>({.in_features = 0, .out_features = 3}, init)),
                    "Linear: in_features 0 and out_features 3 must be positive");
}
