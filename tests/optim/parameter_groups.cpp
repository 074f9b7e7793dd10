// Groups of parameters with rates of their own, schedules, and frozen ones; what weight decay pulls rank-1 factors to;
// and rates that are set in the course of training.
#include <memory>
#include <optional>
#include <vector>

#include <lpw/optim/make_optimizer.hpp>
#include <lpw/optim/sam.hpp>

#include "catch.hpp"
#include "support/compare.hpp"
#include "support/errors.hpp"
#include "support/networks.hpp"

using namespace lpw::test;
using lpw::OptionError;
using lpw::Selectors;
using lpw::optim::AdamOptions;
using lpw::optim::FactorDecay;
using lpw::optim::OptimizerOptions;
using lpw::optim::ParameterGroup;
using lpw::optim::Rates;
using lpw::optim::SgdOptions;
using lpw::optim::Time;

namespace {

/// A network with an optimizer, whose gradients are drawn.
struct Drawn {
  SmallNet<double> network;
  std::unique_ptr<lpw::optim::Optimizer<double, Cpu>> optimizer;

  explicit Drawn(const OptimizerOptions& options) : optimizer(make_optimizer(network, options)) {}

  void release(const char* late) {
    lpw::release(network, *optimizer, {.members = 3, .late = Selectors::parse(late), .sigma = 0.1});
  }
  void draw(std::uint32_t number) {
    auto& gradient = lpw::nn::flatten(network)->gradient;
    for (auto* store : {&gradient.base, &gradient.late})
      copy(normal_tensor<double>(store->shape(), Philox(5, lpw::Stream::test, number)), *store);
  }
  void step(std::uint32_t number, double factor = 1) {
    draw(number);
    optimizer->step(factor);
  }
  /// The values and states of the weights that a pattern names.
  [[nodiscard]] std::vector<double> of(const char* pattern, bool matching = true) {
    const auto& flat = *lpw::nn::flatten(network);
    std::vector<double> result;
    const auto add = [&](const lpw::nn::FlatPair<double, Cpu>& pair) {
      for (const auto& segment : flat.segments) {
        if (lpw::matches(segment.name, pattern) != matching) continue;
        const auto part =
            values_of(clone((segment.late_phase ? pair.late : pair.base).columns(segment.offset, {segment.size})));
        result.insert(result.end(), part.begin(), part.end());
      }
    };
    add(flat.value);
    for (const auto& state : optimizer->states()) add(state.pair);
    return result;
  }
};

const std::vector<OptimizerOptions> kinds{SgdOptions{.learning_rate = 0.05, .weight_decay = 1e-3, .clip = 2},
                                          AdamOptions{.learning_rate = 0.01, .weight_decay = 0.1, .decoupled = true}};

/// The options with something changed.
template <class Change>
OptimizerOptions with(OptimizerOptions options, Change change) {
  std::visit(change, options);
  return options;
}

}  // namespace

TEST_CASE("parameter groups: each steps with its rates, all others as without it", "[optim]") {
  const auto& kind = kinds[static_cast<std::size_t>(GENERATE(0, 1))];
  const char* late = GENERATE("head", "conv.weight", "rank1", "additive");
  CAPTURE(kind.index(), late);
  const Rates own{0.3, 0.05};
  Drawn without(kind);
  Drawn grouped(with(kind, [&](auto& o) {
    o.groups = {{.names = {"hidden.*"}, .learning_rate = own.learning_rate, .weight_decay = own.weight_decay}};
  }));
  Drawn alike(with(kind, [&](auto& o) { o.learning_rate = own.learning_rate, o.weight_decay = own.weight_decay; }));
  for (std::uint32_t i = 0; i < 16; ++i) {
    if (i == 8) {  // noise follows the weights' size: the same start for all
      for (Drawn* each : {&without, &grouped, &alike}) each->release(late);
      for (Drawn* each : {&without, &alike}) {
        copy(lpw::nn::flatten(grouped.network)->value.base, lpw::nn::flatten(each->network)->value.base);
        copy(lpw::nn::flatten(grouped.network)->value.late, lpw::nn::flatten(each->network)->value.late);
      }
    }
    for (Drawn* each : {&without, &grouped, &alike}) each->step(i, 1.0 / (1 + i));
    REQUIRE(grouped.of("hidden.*") == alike.of("hidden.*"));
    REQUIRE(grouped.of("hidden.*", false) == without.of("hidden.*", false));
    REQUIRE(grouped.of("hidden.*") != without.of("hidden.*"));
  }
}

TEST_CASE("parameter groups: frozen parameters and their states stay, and clipping does not see them", "[optim]") {
  const auto& kind = kinds[static_cast<std::size_t>(GENERATE(0, 1))];
  const bool sam = GENERATE(false, true);
  const auto frozen = [](auto& o) { o.groups = {{.names = {"conv.*", "*.bias"}, .frozen = true}}, o.clip = 0.5; };
  Drawn network(with(kind, frozen));
  Drawn zero(with(kind, [](auto& o) { o.clip = 0.5; }));  // whose gradients are zero there
  network.release("head"), zero.release("head");
  const auto is_frozen = [](const std::string& name) { return lpw::matches_any(name, {"conv.*", "*.bias"}); };
  const auto before = state_of(network.network);
  for (std::uint32_t i = 0; i < 6; ++i) {
    const auto pass = [&](Drawn& drawn, bool clears) {
      drawn.draw(i);
      for (auto& segment : lpw::nn::flatten(drawn.network)->segments) {
        auto& gradient = lpw::nn::flatten(drawn.network)->gradient;
        auto columns = (segment.late_phase ? gradient.late : gradient.base).columns(segment.offset, {segment.size});
        if (clears && is_frozen(segment.name)) fill(columns, 0.0);
      }
    };
    const auto step = [&](Drawn& drawn, bool clears) {
      lpw::optim::Sam around(*drawn.optimizer, {.rho = sam ? 0.1 : 0});
      around.step([&] { pass(drawn, clears); });
    };
    step(network, false), step(zero, true);
  }
  const auto found = state_of(network.network), other = state_of(zero.network);
  for (const auto& [name, rows] : found) {
    CAPTURE(name);
    if (is_frozen(name)) CHECK(rows == before.at(name));
    if (!is_frozen(name)) CHECK(rows == other.at(name));
    if (!is_frozen(name) && !name.starts_with("bn1.running") && !name.starts_with("bn2.running"))
      CHECK_FALSE(rows == before.at(name));
  }
  const auto& flat = *lpw::nn::flatten(network.network);
  for (const auto& state : network.optimizer->states())
    for (const auto& segment : flat.segments)
      if (is_frozen(segment.name))
        for (const double value : values_of(clone(
                 (segment.late_phase ? state.pair.late : state.pair.base).columns(segment.offset, {segment.size}))))
          CHECK(value == 0);
  auto rules = network.optimizer->rules();
  rules.groups[0].frozen = false;
  network.optimizer->set_rules(rules);
  network.step(7);
  CHECK_FALSE(state_of(network.network).at("conv.weight") == before.at("conv.weight"));
}

TEST_CASE("parameter groups: weight decay pulls rank-1 factors to 0, to 1 or nowhere", "[optim]") {
  const auto decay = GENERATE(FactorDecay::to_zero, FactorDecay::to_one, FactorDecay::none);
  const bool adam = GENERATE(false, true);
  CAPTURE(int(decay), adam);
  constexpr double rate = 0.05, strength = 0.3, momentum = 0.9;
  const OptimizerOptions options =
      adam ? OptimizerOptions(
                 AdamOptions{.learning_rate = rate, .weight_decay = strength, .decoupled = true, .factor_decay = decay})
           : OptimizerOptions(SgdOptions{.learning_rate = rate,
                                         .momentum = momentum,
                                         .nesterov = false,
                                         .weight_decay = strength,
                                         .factor_decay = decay});
  Drawn drawn(options), other(with(options, [](auto&o) { o.factor_decay = FactorDecay::to_zero; }));
  drawn.release("rank1"), other.release("rank1");
  const char* name = "hidden.rank_one_r";
  const auto factor = [&] { return values_of(clone(drawn.network.hidden.weight.rank_one()->output.value())); };
  auto expected = factor();
  std::vector<double> first(expected.size()), second(expected.size());
  for (std::uint32_t i = 0; i < 20; ++i) {
    drawn.draw(i);
    const auto g = values_of(clone(drawn.network.hidden.weight.rank_one()->output.gradient()));
    drawn.optimizer->step(), other.step(i);
    for (std::size_t j = 0; j < expected.size(); ++j) {
      const double target = decay == FactorDecay::to_one ? 1 : 0, pull = decay == FactorDecay::none ? 0 : strength;
      double& w = expected[j];
      if (adam) {
        w -= rate * pull * (w - target);
        first[j] = 0.9 * first[j] + 0.1 * g[j], second[j] = 0.999 * second[j] + 0.001 * g[j] * g[j];
        const double mean = first[j] / (1 - std::pow(0.9, i + 1)), square = second[j] / (1 - std::pow(0.999, i + 1));
        w -= rate * mean / (std::sqrt(square) + 1e-8);
      } else {
        first[j] = momentum * first[j] + g[j] + pull * (w - target);
        w -= rate * first[j];
      }
    }
  }
  CHECK(distance(factor(), expected) <= 1e-13);  // twenty steps of some ten roundings of values below 5
  CHECK(drawn.of("*.rank_one_*", false) == other.of("*.rank_one_*", false));
  CHECK((drawn.of(name) == other.of(name)) == (decay == FactorDecay::to_zero));
}

TEST_CASE("parameter groups: decay to 1 leaves factors to the bit where the rate is 0", "[optim]") {
  const auto& kind = kinds[static_cast<std::size_t>(GENERATE(0, 1))];
  Drawn drawn(with(kind, [](auto& o) { o.factor_decay = FactorDecay::to_one; }));
  drawn.release("rank1");
  auto& factor = drawn.network.hidden.weight.rank_one()->output.value();
  fill(factor, 1e-20);  // of which nothing is left beside 1
  drawn.step(1, 0);
  for (const double value : values_of(clone(factor))) CHECK(value == 1e-20);
}

TEST_CASE("parameter groups: schedules of their own, beside that of all", "[optim]") {
  const lpw::optim::Schedule linear(lpw::optim::LinearWarmup{.length = 4}),
      steps(lpw::optim::MultiStep{.milestones = {1, 2}, .gamma = 0.5});
  Drawn grouped(SgdOptions{.groups = {{.names = {"hidden.*"}, .schedule = steps}}}), base(SgdOptions{}),
      own(SgdOptions{});
  for (std::uint32_t i = 0; i < 6; ++i) {
    const Time at{.epoch = i / 2, .iteration = i % 2, .iterations = 2, .step = i};
    grouped.draw(i);
    grouped.optimizer->step(at, linear);
    base.step(i, factor(linear, at)), own.step(i, factor(steps, at));
    REQUIRE(grouped.of("hidden.*") == own.of("hidden.*"));
    REQUIRE(grouped.of("hidden.*", false) == base.of("hidden.*", false));
  }
  const auto before = state_of(grouped.network);
  CHECK(
      message_of<lpw::Error>([&] { grouped.optimizer->step(0.5); }) ==
      "Sgd: the parameter group 'hidden.*' has a schedule of its own, which needs the time; call step(time, schedule)");
  CHECK(state_of(grouped.network) == before);
  lpw::optim::Sam around(*grouped.optimizer, {.rho = 0});
  around.step([&] { grouped.draw(8); }, Time{.epoch = 1}, linear);
  base.step(8, factor(linear, Time{.epoch = 1})), own.step(8, factor(steps, Time{.epoch = 1}));
  CHECK(grouped.of("hidden.*") == own.of("hidden.*"));
  CHECK(grouped.of("hidden.*", false) == base.of("hidden.*", false));
  grouped.release("head"), base.release("head");
  grouped.draw(9), base.draw(9);
  grouped.optimizer->step({.epoch = 1}, lpw::optim::Constant{}, linear);
  base.optimizer->step(1, factor(linear, Time{.epoch = 1}));
  CHECK(grouped.of("last.*") == base.of("last.*"));
}

TEST_CASE("parameter groups: the first that names a parameter has it", "[optim]") {
  Drawn both(
      SgdOptions{.groups = {{.names = {"hidden.bias"}, .learning_rate = 0.5}, {.names = {"*"}, .frozen = true}}});
  const auto before = state_of(both.network);
  both.step(1);
  for (const auto& [name, rows] : state_of(both.network)) CHECK((rows == before.at(name)) == (name != "hidden.bias"));
}

TEST_CASE("parameter groups: a weight that layers share is in a group by any of its names", "[optim]") {
  const std::string layer = GENERATE("table", "decoder"), late = GENERATE("none", "rank1", "additive");
  CAPTURE(layer, late);
  TiedTable network(Tie::dense_weight, true);
  std::vector<std::string> frozen{layer + ".weight"};
  if (late == "rank1") frozen = {layer + ".rank_one_r", layer + ".rank_one_s"};
  if (late == "additive") frozen = {layer + ".weight.additive"};
  lpw::optim::Sgd optimizer(network, {.groups = {{.names = frozen, .frozen = true}}});
  if (late != "none") lpw::release(network, optimizer, {.members = 2, .late = Selectors::parse(late), .sigma = 0.1});
  const auto before = state_of(network);
  auto& flat = *lpw::nn::flatten(network);
  fill(flat.gradient.base, 1.0), fill(flat.gradient.late, 1.0);
  optimizer.step();
  const auto after = state_of(network);
  for (const std::string& name : frozen) CHECK(after.at(name) == before.at(name));
  for (const auto& [name, rows] : after)
    if (!name.starts_with("table") && !name.starts_with("decoder")) CHECK_FALSE(rows == before.at(name));
}

TEST_CASE("rates can be set in the course of training", "[optim]") {
  const auto& kind = kinds[static_cast<std::size_t>(GENERATE(0, 1))];
  Drawn set(kind), scaled(kind);
  for (std::uint32_t i = 0; i < 6; ++i) {
    if (i == 3)
      set.optimizer->set_rates({set.optimizer->rates().learning_rate * 0.25, set.optimizer->rates().weight_decay});
    set.step(i), scaled.step(i, i < 3 ? 1 : 0.25);
    if (kind.index() == 0 || i < 3) CHECK(state_of(set.network) == state_of(scaled.network));
  }
  auto rules = set.optimizer->rules();
  rules.late = Rates{0.5, 0};
  set.optimizer->set_rules(rules);
  CHECK(set.optimizer->late_rates() == Rates{0.5, 0});
  CHECK_THROWS_AS(set.optimizer->set_rates({-1, 0}), OptionError);
  CHECK(set.optimizer->late_rates() == Rates{0.5, 0});
}

TEST_CASE("parameter groups: names that are none, and rates that cannot be, are refused", "[optim]") {
  SmallNet<double> network;
  const auto message = [&](ParameterGroup group) {
    return message_of<OptionError>([&] { lpw::optim::Sgd(network, {.groups = {std::move(group)}}); });
  };
  CHECK(message({.names = {"hiden.*"}}) ==
        "Sgd: no parameter is called 'hiden.*', as a group says; close to it: 'hidden.weight', 'hidden.bias' and "
        "'hidden.weight.additive'");
  CHECK(message({.names = {}}) == "Sgd: a parameter group without names");
  CHECK(message({.names = {"*"}, .learning_rate = -1}) == "Sgd: learning rate -1 is negative");
  CHECK(message({.names = {"*"}, .weight_decay = std::nan("")}) == "Sgd: a learning rate or weight decay is nan");
  CHECK(message({.names = {"*.rank_one_r"}}) == "");  // which a release may attach
  CHECK(message({.names = {"hidden.weight.additive"}}) == "");
}
