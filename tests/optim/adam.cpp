// Adam by its whole trajectory against the recursion of Kingma and Ba's algorithm 1, and of AdamW's algorithm 2, in
// double.
#include <lpw/optim/adam.hpp>

#include <map>
#include <optional>

#include "two_weights.hpp"

using namespace lpw::test;

namespace {

using lpw::optim::AdamOptions;
using lpw::optim::StepCounts;

struct AdamSettings {
  double learning_rate, weight_decay;
  bool decoupled;
};

struct AdamReference {
  static constexpr double beta1 = 0.8, beta2 = 0.99, epsilon = 1e-6;
  Vector weight, mean = Vector(weight.size(), 0.0), square = mean;
  int count = 0;

  void step(const Vector& gradient, const AdamSettings& s) {
    ++count;
    for (std::size_t i = 0; i < weight.size(); ++i) {
      if (s.decoupled) weight[i] -= s.learning_rate * s.weight_decay * weight[i];
      const double g = s.decoupled ? gradient[i] : gradient[i] + s.weight_decay * weight[i];
      mean[i] = beta1 * mean[i] + (1 - beta1) * g;
      square[i] = beta2 * square[i] + (1 - beta2) * g * g;
      const double m = mean[i] / (1 - std::pow(beta1, count)), v = square[i] / (1 - std::pow(beta2, count));
      weight[i] -= s.learning_rate * m / (std::sqrt(v) + epsilon);
    }
  }
};

AdamOptions options() {
  return {.learning_rate = 0.01,
          .beta1 = AdamReference::beta1,
          .beta2 = AdamReference::beta2,
          .epsilon = AdamReference::epsilon};
}

Vector scaled(Vector values, double factor) {
  for (double& value : values) value *= factor;
  return values;
}

}  // namespace

TEMPLATE_TEST_CASE("adam: twenty steps are the algorithm's, base and late-phase weights each with their options",
                   "[optim]", float, double) {
  // Twenty roundings in each of twenty steps; early on the step is a ratio of like numbers.
  const double tolerance = 400 * double(std::numeric_limits<TestType>::epsilon());
  const double decay = GENERATE(0.0, 5e-2);
  const bool decoupled = GENERATE(false, true);
  const bool separate = GENERATE(false, true);
  const bool mean = GENERATE(false, true);

  AdamOptions chosen = options();
  chosen.weight_decay = decay;
  if (separate) chosen.late = {.learning_rate = 0.03, .weight_decay = 0.2};
  chosen.decoupled = decoupled;
  if (mean) chosen.base_gradient = lpw::optim::BaseGradient::mean;
  TwoWeights<TestType> network;
  lpw::optim::Adam optimizer(network, chosen);
  lpw::release(network, optimizer, {.members = 4, .late = Group::head, .sigma = 0.5});
  const auto flat = lpw::nn::flatten(network);
  AdamReference base{values(flat->value.base)}, late{values(flat->value.late)};
  for (std::uint32_t step = 0; step < 20; ++step) {
    const double base_factor = step < 10 ? 1.0 : 0.1, late_factor = 1.0 / (1 + step);
    const auto base_gradient = add_gradient(flat->gradient.base, 2 * step),
               late_gradient = add_gradient(flat->gradient.late, 2 * step + 1);
    optimizer.step(base_factor, late_factor);
    base.step(scaled(base_gradient, mean ? 0.25 : 1), {0.01 * base_factor, decay, decoupled});
    late.step(late_gradient, {(separate ? 0.03 : 0.01) * late_factor, separate ? 0.2 : decay, decoupled});
    REQUIRE(relative_difference(values(flat->value.base), base.weight) < tolerance);
    REQUIRE(relative_difference(values(flat->value.late), late.weight) < tolerance);
    REQUIRE(values(flat->gradient.base) == Vector(7, 0.0));
    REQUIRE(values(flat->gradient.late) == Vector(12, 0.0));
  }
  CHECK(optimizer.steps() == StepCounts{20, 20});
}

TEST_CASE("adam: released weights take their moments and their count along", "[optim]") {
  TwoWeights<double> network;
  lpw::optim::Adam optimizer(network, options());
  const auto before = lpw::nn::flatten(network);
  AdamReference whole{values(before->value.base)};
  for (std::uint32_t step = 0; step < 3; ++step) {
    whole.step(add_gradient(before->gradient.base, step), {0.01, 0, false});
    optimizer.step();
  }
  lpw::release(network, optimizer, {.members = 2, .late = Group::head});
  CHECK(optimizer.steps() == StepCounts{3, 3});
  const auto flat = lpw::nn::flatten(network);
  const auto part = [](const Vector& v, std::size_t first, std::size_t last) {
    return Vector(v.begin() + first, v.begin() + last);
  };
  const auto twice = [&](const Vector& v) {
    Vector row = part(v, 7, 10), rows = row;
    rows.insert(rows.end(), row.begin(), row.end());
    return rows;
  };
  // Two members sum to gradients of twice the size.
  AdamReference base{part(whole.weight, 0, 7), scaled(part(whole.mean, 0, 7), 2), scaled(part(whole.square, 0, 7), 4),
                     3};
  AdamReference late{twice(whole.weight), twice(whole.mean), twice(whole.square), 3};
  for (std::uint32_t step = 10; step < 13; ++step) {
    base.step(add_gradient(flat->gradient.base, step), {0.01, 0, false});
    late.step(add_gradient(flat->gradient.late, 100 + step), {0.01, 0, false});
    optimizer.step();
  }
  CHECK(relative_difference(values(flat->value.base), base.weight) < 1e-13);  // some hundred roundings
  CHECK(relative_difference(values(flat->value.late), late.weight) < 1e-13);
}

TEST_CASE("adam: late-phase weights of which some are new start from zero moments and the first step", "[optim]") {
  const auto groups = GENERATE(Group::rank_one, Group::rank_one | Group::batch_norm);
  auto network = SmallNet<double>();
  lpw::optim::Adam optimizer(network, options());
  train(network, optimizer, 4);
  lpw::release(network, optimizer, {.members = 3, .late = groups});
  CHECK(optimizer.steps() == StepCounts{4, 0});
  for (const auto& state : optimizer.states()) {
    CHECK(values(state.pair.late) == Vector(state.pair.late.size(), 0.0));
    CHECK(values(state.pair.base) != Vector(state.pair.base.size(), 0.0));
  }
  const auto flat = lpw::nn::flatten(network);
  AdamReference late{values(flat->value.late)};
  for (std::uint32_t step = 0; step < 3; ++step) {
    late.step(add_gradient(flat->gradient.late, step), {0.01, 0, false});
    optimizer.step();
  }
  CHECK(relative_difference(values(flat->value.late), late.weight) < 1e-13);
  CHECK(optimizer.steps() == StepCounts{7, 3});
}

TEST_CASE("adam: weights that were frozen count the steps that they have seen", "[optim]") {
  const std::int64_t first = GENERATE(0, 3);  // steps before they are frozen
  const bool released = GENERATE(false, true), dropped = GENERATE(false, true);
  CAPTURE(first, released, dropped);
  AdamOptions chosen = options();
  chosen.groups = {{.names = {"late"}, .frozen = first == 0}};
  TwoWeights<double> network;
  lpw::optim::Adam optimizer(network, chosen);
  const auto segment = [&]() -> const lpw::nn::Segment& { return lpw::nn::flatten(network)->segments.at(1); };
  REQUIRE(segment().name == "late");
  const auto freeze = [&](bool frozen) {
    auto rules = optimizer.rules();
    if (dropped && !frozen) rules.groups.clear();
    if (!rules.groups.empty()) rules.groups[0].frozen = frozen;
    optimizer.set_rules(rules);
  };
  const auto weights = [&] {
    const auto flat = lpw::nn::flatten(network);
    return values(clone(
        (segment().late_phase ? flat->value.late : flat->value.base).columns(segment().offset, {segment().size})));
  };
  std::optional<AdamReference> two;
  two.emplace(AdamReference{weights()});
  const auto step = [&](std::uint32_t number, bool moves) {
    const auto flat = lpw::nn::flatten(network);
    (void)add_gradient(flat->gradient.base, 2 * number), (void)add_gradient(flat->gradient.late, 2 * number + 1);
    if (moves)
      two->step(values(clone((segment().late_phase ? flat->gradient.late : flat->gradient.base)
                                 .columns(segment().offset, {segment().size}))),
                {0.01, 0, false});
    optimizer.step();
  };
  for (std::uint32_t i = 0; i < first; ++i) step(i, true);
  freeze(true);
  for (std::uint32_t i = 10; i < 14; ++i) step(i, false);
  CHECK(optimizer.missed_steps() == std::map<std::string, std::int64_t>{{"late", 4}});
  if (released) {
    lpw::release(network, optimizer, {.members = 2, .late = Group::head});
    const auto twice = [](Vector& values) {
      const Vector row = values;
      values.insert(values.end(), row.begin(), row.end());
    };
    twice(two->weight), twice(two->mean), twice(two->square);
    step(20, false);
  }
  freeze(false);
  for (std::uint32_t i = 30; i < 40; ++i) step(i, true);
  CHECK(optimizer.missed_steps().at("late") == (released ? 5 : 4));
  CHECK(optimizer.steps() == StepCounts{first + (released ? 15 : 14), first + (released ? 15 : 14)});
  CHECK(relative_difference(weights(), two->weight) < 1e-13);  // some hundred roundings
}

TEST_CASE("adam: impossible options are refused", "[optim]") {
  TwoWeights<float> network;
  const auto message = [&](const AdamOptions& o) {
    return message_of<lpw::OptionError>([&] { lpw::optim::Adam(network, o); });
  };
  CHECK(message({.learning_rate = -0.1}) == "Adam: learning rate -0.1 is negative");
  CHECK(message({.beta1 = 1}) == "Adam: betas 1 and 0.999; expected both in [0, 1)");
  CHECK(message({.beta2 = -0.5}) == "Adam: betas 0.9 and -0.5; expected both in [0, 1)");
  CHECK(message({.epsilon = 0}) == "Adam: epsilon 0; expected above 0");
  CHECK(message({.weight_decay = -1}) == "Adam: weight decay -1 is negative");
  CHECK(message({.late = lpw::optim::Rates{std::nan(""), 0}}) == "Adam: a learning rate or weight decay is nan");
  CHECK(message({.clip = -1}) == "Adam: clip -1; expected a norm above 0, or 0 for none");
  CHECK(message({}).empty());
}
