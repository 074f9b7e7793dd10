// What optimizers share: clipping, states that a run can be continued from, and following a network.
#include <lpw/optim/optimizer.hpp>

#include <lpw/optim/adam.hpp>
#include <lpw/optim/make_optimizer.hpp>
#include <lpw/optim/sgd.hpp>

#include "two_weights.hpp"

using namespace lpw::test;

namespace {

using lpw::optim::Adam;
using lpw::optim::Sgd;

template <class T>
struct MakeSgd {
  template <class M>
  static Sgd<T, Cpu> make(M& network, double clip = 0) {
    return Sgd(network, {.learning_rate = 0.05, .clip = clip});
  }
};
template <class T>
struct MakeAdam {
  template <class M>
  static Adam<T, Cpu> make(M& network, double clip = 0) {
    return Adam(network, {.learning_rate = 0.01, .weight_decay = 1e-3, .clip = clip});
  }
};

}  // namespace

TEMPLATE_TEST_CASE("optimizers: a run goes on bit for bit from weights, states and step counts", "[optim]",
                   MakeSgd<float>, MakeAdam<float>) {
  const auto groups = GENERATE(Group::head | Group::batch_norm, Group::rank_one);
  const auto start = [&](auto& network) {
    auto optimizer = TestType::make(network);
    train(network, optimizer, 2);
    lpw::release(network, optimizer, {.members = 3, .late = groups});
    return optimizer;
  };
  auto network = SmallNet<float>();
  auto optimizer = start(network);
  train(network, optimizer, 3, 2);
  auto saved = lpw::nn::clone_module(network);
  std::vector<lpw::nn::FlatPair<float, Cpu>> states;
  for (const auto& [name, pair] : optimizer.states()) states.push_back({clone(pair.base), clone(pair.late)});
  const auto steps = optimizer.steps();
  train(network, optimizer, 2, 5);

  auto resumed = TestType::make(saved);
  REQUIRE(resumed.states().size() == states.size());
  for (std::size_t i = 0; i < states.size(); ++i) {
    CHECK(resumed.states()[i].name == optimizer.states()[i].name);
    copy(states[i].base, resumed.states()[i].pair.base);
    copy(states[i].late, resumed.states()[i].pair.late);
  }
  resumed.set_steps(steps);
  train(saved, resumed, 2, 5);
  CHECK(state_of(saved) == state_of(network));
}

TEST_CASE("optimizers: states have names", "[optim]") {
  TwoWeights<float> network;
  Sgd sgd(network);
  REQUIRE(sgd.states().size() == 1);
  CHECK(sgd.states()[0].name == "velocity");
  sgd.step();
  CHECK(sgd.steps() == lpw::optim::StepCounts{0, 0});
  Adam adam(network);
  REQUIRE(adam.states().size() == 2);
  CHECK(adam.states()[0].name == "mean");
  CHECK(adam.states()[1].name == "square");
}

TEMPLATE_TEST_CASE("optimizers: clipping is a shorter gradient", "[optim]", MakeSgd<double>, MakeAdam<double>) {
  const auto base_gradient = GENERATE(lpw::optim::BaseGradient::sum, lpw::optim::BaseGradient::mean);
  // Two networks step from the same gradients: one clips, the other's gradients are shortened before, by the norm over
  // all weights after gamma_theta.
  const auto run = [&](double clip, double shorten) {
    TwoWeights<double> network;
    auto options = TestType::make(network).options();
    options.base_gradient = base_gradient;
    options.clip = clip;
    auto optimizer = decltype(TestType::make(network))(network, options);
    lpw::release(network, optimizer, {.members = 3, .late = Group::head});
    const auto flat = lpw::nn::flatten(network);
    double square = 0;
    const double gamma = base_gradient == lpw::optim::BaseGradient::mean ? 1 / 3.0 : 1;
    for (const double g : add_gradient(flat->gradient.base, 1)) square += gamma * gamma * g * g;
    for (const double g : add_gradient(flat->gradient.late, 2)) square += g * g;
    for (auto* gradient : {&flat->gradient.base, &flat->gradient.late})
      for (std::int64_t i = 0; i < gradient->size(); ++i) gradient->data()[i] *= shorten;
    optimizer.step();
    return std::pair{std::sqrt(square), state_of(network)};
  };
  const double norm = run(0, 1).first;
  REQUIRE(norm > 1);
  CHECK(run(10 * norm, 1).second == run(0, 1).second);
  const auto clipped = run(0.5, 1).second, shortened = run(0, 0.5 / (norm + 1e-6)).second;
  for (const auto& [name, rows] : clipped)
    CHECK(relative_difference(rows.values, shortened.at(name).values) < 1e-13);  // roundings
  CHECK_FALSE(clipped.at("base") == run(0, 1).second.at("base"));
}

TEMPLATE_TEST_CASE("optimizers: a network that moved to other stores is refused", "[optim]", MakeSgd<float>,
                   MakeAdam<float>) {
  auto network = SmallNet<float>();
  auto optimizer = TestType::make(network);
  optimizer.step();
  const auto weights = state_of(network);
  auto of_a_part = TestType::make(network.hidden);  // takes the layer's weights out of the network's stores
  CHECK_THROWS_AS(optimizer.step(), lpw::Error);
  CHECK(state_of(network) == weights);
  of_a_part.step();
}

TEMPLATE_TEST_CASE("optimizers: weights that the network no longer has are not stepped", "[optim]", MakeSgd<float>,
                   MakeAdam<float>) {
  const auto refused = [](auto&& change) {
    auto network = SmallNet<float>();
    auto optimizer = TestType::make(network);
    optimizer.step();
    const auto steps = optimizer.steps();
    change(network);
    const std::string message = message_of<lpw::Error>([&] { optimizer.step(); });
    return contains(message, "make a new optimizer for it") && optimizer.steps() == steps;
  };
  CHECK(refused([](auto& network) { network = lpw::nn::clone_module(network); }));
  CHECK(refused([](auto& network) { network = SmallNet<float>(); }));
  CHECK(refused([](auto& network) { network.hidden = lpw::nn::clone_module(network.hidden); }));
  CHECK(refused([](auto& network) { lpw::release(network, {.members = 2}); }));
  CHECK(refused([](auto& network) { lpw::collapse(network); }));
  CHECK(refused([](auto& network) { auto last = std::move(network); }));
  CHECK_FALSE(refused([](auto&) {}));

  auto network = SmallNet<float>();
  auto optimizer = TestType::make(network);
  auto moved = std::move(network);  // its weights are where they were
  optimizer.step();
  const auto any = lpw::optim::make_optimizer(moved, lpw::optim::SgdOptions());
  any->advance();
  moved = lpw::nn::clone_module(moved);
  CHECK_THROWS_AS(any->advance(), lpw::Error);
  CHECK_THROWS_AS(any->apply(), lpw::Error);
}

TEST_CASE("optimizers: refused options leave the network's stores as they are", "[optim]") {
  TwoWeights<float> network;
  CHECK_THROWS_AS(Sgd(network, {.clip = std::nan("")}), lpw::OptionError);
  CHECK_FALSE(network.base.home());
}
