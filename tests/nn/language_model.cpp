#include <lpw/models/language_model.hpp>

#include <map>
#include <string>

#include <lpw/autograd/cross_entropy.hpp>
#include <lpw/late_phase/collapse.hpp>
#include <lpw/late_phase/release.hpp>

#include "catch.hpp"
#include "support/compare.hpp"
#include "support/random.hpp"

using namespace lpw;
using namespace lpw::test;

namespace {

using TestModel = nn::LanguageModel<double, Cpu>;
constexpr nn::LanguageModelOptions options{.hidden = 5, .layers = 2, .embedding = 3, .vocabulary = 7};
constexpr Group rank_one_and_head = Group::rank_one | Group::head;

Tensor<std::int32_t, Cpu> symbols(const Shape& shape, std::uint32_t step = 0) {
  return test::random_indices(shape, 7, Philox(9, Stream::test, step));
}

Tensor<double, Cpu> logits_of(TestModel& network, const Tensor<std::int32_t, Cpu>& input) {
  return network.forward(Tape::evaluation().input(input), network.start(input.dim(0), input.dim(2))).logits.value();
}

TestModel released(std::int64_t members, Group groups = rank_one_and_head) {
  TestModel network(options, Philox(1));
  release(network, {.members = members, .late = groups, .sigma = 0.2, .random = Philox(2)});
  return network;
}

/// Steps [first, first + count) of a window [K, T, B].
Tensor<std::int32_t, Cpu> part(const Tensor<std::int32_t, Cpu>& window, std::int64_t first, std::int64_t count) {
  Tensor<std::int32_t, Cpu> result({window.dim(0), count, window.dim(2)});
  for (std::int64_t k = 0; k < window.dim(0); ++k)
    std::copy_n(window.row(k) + first * window.dim(2), count * window.dim(2), result.row(k));
  return result;
}

}  // namespace

TEST_CASE("a language model's parameters have PyTorch's names and shapes") {
  TestModel network(options, Philox(1));
  std::map<std::string, Shape> shapes;
  nn::for_each_parameter(network,
                         [&](const std::string& name, auto& parameter) { shapes.emplace(name, parameter.shape()); });
  CHECK(shapes == std::map<std::string, Shape>{{"embedding.weight", {7, 3}},
                                               {"lstm.weight_ih_l0", {20, 3}},
                                               {"lstm.weight_hh_l0", {20, 5}},
                                               {"lstm.bias_ih_l0", {20}},
                                               {"lstm.bias_hh_l0", {20}},
                                               {"lstm.weight_ih_l1", {20, 5}},
                                               {"lstm.weight_hh_l1", {20, 5}},
                                               {"lstm.bias_ih_l1", {20}},
                                               {"lstm.bias_hh_l1", {20}},
                                               {"head.weight", {7, 5}},
                                               {"head.bias", {7}}});
}

TEST_CASE("windows that carry their states on compute what one long window does") {
  TestModel network = released(3);
  const auto whole = symbols({3, 9, 2});
  const auto expected = logits_of(network, whole);
  auto states = network.start(3, 2);
  for (const auto& [first, count] : {std::pair(0, 4), std::pair(4, 1), std::pair(5, 4)}) {
    auto after = network.forward(Tape::evaluation().input(part(whole, first, count)), states);
    states = after.states;
    const auto found = after.logits.value();
    for (std::int64_t k = 0; k < 3; ++k)
      for (std::int64_t i = 0; i < 2 * 7 * count; ++i)  // products of other sizes may sum in another order
        CHECK(std::abs(found.row(k)[i] - expected.row(k)[2 * 7 * first + i]) < 1e-14);
  }
}

TEST_CASE("every member computes with states and weights of its own") {
  TestModel network = released(3);
  const auto input = symbols({3, 6, 2});
  const auto expected = logits_of(network, input);
  for (std::int64_t k = 0; k < 3; ++k) {
    const auto alone =
        network.forward(Tape::evaluation({k, 1}).input(input.rows(k, 1)), nn::rows(network.start(3, 2), k, 1))
            .logits.value();
    CHECK(test::largest_difference(alone, expected.rows(k, 1)) < 1e-14);  // eps times sums of five products
    CHECK(test::largest_difference(alone, expected.rows((k + 1) % 3, 1)) > 1e-3);
  }
}

TEST_CASE("a collapsed language model computes what equal members did, its factors folded away") {
  TestModel network =
      released(3, GENERATE(Group::rank_one, rank_one_and_head, Group::head));  // alone, factors are on the head too
  nn::for_each_parameter(network, [](const std::string&, auto& parameter) {    // all members become the first
    for (std::int64_t k = 1; k < parameter.value().dim(0); ++k) {
      auto row = parameter.value().rows(k, 1);
      copy(parameter.value().rows(0, 1), row);
    }
  });
  const auto input = symbols({1, 6, 2});
  const auto expected = network.forward(Tape::evaluation({0, 1}).input(input), network.start(1, 2)).logits.value();
  collapse(network);
  std::size_t parameters = 0;
  nn::for_each_parameter(network,
                         [&](const std::string&, auto& parameter) { parameters += parameter.value().dim(0) == 1; });
  CHECK(parameters == 11);
  CHECK(test::largest_difference(logits_of(network, input), expected) < 1e-14);
}

TEST_CASE("gradients of all weights of a released language model, against differences") {
  TestModel network = released(2, GENERATE(Group::rank_one, rank_one_and_head, Group::head));
  const auto input = symbols({2, 5, 2}), labels = symbols({2, 10}, 1);
  auto states = network.start(2, 2);
  for (auto& state : states)
    state = {test::random_tensor<double>({2, 2, 5}, 3), test::random_tensor<double>({2, 2, 5}, 4)};
  const auto loss_sum = [&] {
    const auto loss = cross_entropy(network.forward(Tape::evaluation().input(input), states).logits, labels).value();
    return loss.data()[0] + loss.data()[1];
  };
  Tape tape;
  tape.backward(cross_entropy(network.forward(tape.input(input), states).logits, labels));
  std::vector<double> gradients;
  nn::for_each_parameter(network, [&](const std::string& name, auto& parameter) {
    INFO(name);
    for (std::int64_t k = 0; k < parameter.value().dim(0); ++k)
      for (std::int64_t i = 0; i < parameter.shape().size(); ++i) {
        double& weight = parameter.value().row(k)[i];
        const double before = weight, step = 1e-4;
        weight = before + step;
        const double above = loss_sum();
        weight = before - step;
        const double below = loss_sum();
        weight = before;
        // The third derivative times step^2 / 6, with losses around 2; and their rounding over step.
        CHECK(std::abs(parameter.gradient().row(k)[i] - (above - below) / (2 * step)) < 1e-8);
        gradients.push_back(parameter.gradient().row(k)[i]);
      }
  });
  CHECK(test::largest_magnitude(gradients) > 0.1);
}

TEST_CASE("dropout acts on the embedding's and on every layer's output, in training alone") {
  const auto input = symbols({1, 6, 4});
  auto o = options;
  o.dropout = 0.5;
  TestModel dropping(o, Philox(1)), plain(options, Philox(1));
  CHECK(test::largest_difference(logits_of(dropping, input), logits_of(plain, input)) == 0);
  const Tape tape({.record = false, .random = Philox(3, Stream::dropout)});
  const auto variable = tape.input(input);
  CHECK(test::largest_difference(dropping.forward(variable, dropping.start(1, 4)).logits.value(),
                                 logits_of(plain, input)) > 1e-3);
  CHECK(variable.recording()->random_operations == 3);
}

TEST_CASE("impossible language models are refused") {
  auto o = options;
  o.dropout = 1;
  CHECK_THROWS_AS(TestModel(o, Philox(1)), OptionError);
  for (std::int64_t nn::LanguageModelOptions::*size :
       {&nn::LanguageModelOptions::hidden, &nn::LanguageModelOptions::layers, &nn::LanguageModelOptions::embedding,
        &nn::LanguageModelOptions::vocabulary}) {
    o = options;
    o.*size = 0;
    CHECK_THROWS_AS(TestModel(o, Philox(1)), OptionError);
  }
}
