// Couplings of members while they train, against what the papers' formulas give when they are written out.
#include <lpw/late_phase/coupling.hpp>

#include <lpw/optim/adam.hpp>
#include <lpw/optim/weight_average.hpp>

#include "catch.hpp"
#include "support/coupling.hpp"
#include "support/networks.hpp"

using namespace lpw::test;

using lpw::Coupling;
using lpw::CouplingOptions;
using lpw::Elastic;
using lpw::PullToMean;
using lpw::Swap;
using lpw::optim::Sgd;

namespace {

constexpr std::int64_t coupled_members = 3, coupled_batch = 4;

// Twenty steps of a small network in double pass on differences of some roundings each; below 1e-13 was measured, and a
// wrong term shows as 1e-3 or more.
constexpr double coupled_tolerance = 1e-11;

Selectors all_weights() { return Selectors::parse("all"); }

/// A network of members that trains by SGD with momentum, each on its own minibatches.
struct Training {
  SmallNet<double> network;
  Sgd<double, Cpu> optimizer{network, {.learning_rate = 0.05, .weight_decay = 1e-3}};

  explicit Training(const Selectors& late = Group::batch_norm | Group::head, double sigma = 0.1) {
    lpw::release(network, optimizer, {.members = coupled_members, .late = late, .sigma = sigma});
  }
  void step(std::int64_t number) {
    (void)accumulate_gradient(network,
                              Minibatches<double>(coupled_members, coupled_batch, static_cast<std::uint32_t>(number)));
    optimizer.step();
  }
  [[nodiscard]] lpw::Tensor<double, Cpu>& late() { return lpw::nn::flatten(network)->value.late; }
  [[nodiscard]] lpw::Tensor<double, Cpu>& velocity() { return optimizer.velocity().late; }
};

/// Trains with a coupling; at steps from `first` on.
void train_coupled(Training& training, Coupling<double, Cpu>& coupling, std::int64_t first, std::int64_t last) {
  for (std::int64_t step = first; step <= last; ++step) {
    training.step(step);
    coupling.apply(step, training.optimizer);
  }
}

std::string message(const CouplingOptions& options) {
  return message_of<lpw::OptionError>([&] {
    Training training;
    (void)Coupling(training.network, options);
  });
}

}  // namespace

TEST_CASE("coupling: a full pull every step makes equal members one network trained on the mean gradient",
          "[late_phase]") {
  Training training(all_weights(), 0);
  Coupling coupling(training.network, {.rule = PullToMean{.alpha = 1}, .every = 1});
  SmallNet<double> plain;
  Sgd optimizer(plain, {.learning_rate = 0.05, .weight_decay = 1e-3});
  const auto flat = lpw::nn::flatten(plain);
  for (std::int64_t step = 1; step <= 20; ++step) {
    training.step(step);
    coupling.apply(step);
    const Minibatches<double> batches(coupled_members, coupled_batch, static_cast<std::uint32_t>(step));
    for (std::int64_t k = 0; k < coupled_members; ++k) {
      lpw::Tape tape;
      tape.backward(
          lpw::cross_entropy(plain.forward(tape.input(batches.images_of({k, 1}))), batches.labels_of({k, 1})));
    }
    for (std::int64_t i = 0; i < flat->gradient.base.size(); ++i) flat->gradient.base.data()[i] /= coupled_members;
    optimizer.step();
    for (std::int64_t k = 0; k < coupled_members; ++k)
      REQUIRE(relative_difference(training.late().rows(k, 1), flat->value.base) < coupled_tolerance);
    REQUIRE(same_bits(training.late().rows(1, 1), training.late().rows(0, 1)));
  }
}

TEST_CASE("coupling: strengths of 0, and steps at which it is not due, leave the bits of no coupling", "[late_phase]") {
  Training alone;
  for (std::int64_t step = 1; step <= 6; ++step) alone.step(step);
  const auto expected = state_of(alone.network);
  const auto check = [&](const CouplingOptions& options) {
    Training training;
    Coupling coupling(training.network, options);
    train_coupled(training, coupling, 1, 6);
    CHECK(state_of(training.network) == expected);
  };
  check({.rule = PullToMean{.alpha = 0}, .every = 1});
  check({.rule = Elastic{.rho = 0}, .every = 1});
  check({.rule = Swap{.share = 0, .states = true}, .every = 1});
  check({.rule = PullToMean{.alpha = 1}, .every = 7});
  Training training;
  Coupling coupling(training.network, {.rule = PullToMean{.alpha = 1}, .every = 2});
  train_coupled(training, coupling, 1, 6);
  CHECK(state_of(training.network) != expected);
}

TEST_CASE("coupling: twenty steps with a pull that grows are those of a loop over members and weights",
          "[late_phase]") {
  Training training, loop;
  Coupling coupling(training.network, {.rule = PullToMean{.alpha = 0.1, .growth = 1.7}, .every = 3});
  double alpha = 0.1;
  for (std::int64_t step = 1; step <= 20; ++step) {
    const double factor = step % 2 == 0 ? 0.5 : 1;  // a schedule's
    training.step(step);
    coupling.apply(step, factor);
    loop.step(step);
    if (step % 3 == 0) {
      write_out_pull(loop.late(), factor * std::min(alpha, 1.0));
      alpha *= 1.7;
    }
    REQUIRE(relative_difference(training.late(), loop.late()) < coupled_tolerance);
  }
  CHECK(alpha > 1);  // it grew to the whole
}

TEST_CASE("coupling: twenty elastic steps are those of a loop over members and weights", "[late_phase]") {
  const std::optional<double> rho = GENERATE(std::optional<double>(), std::optional<double>(0.2));
  Training training, loop;
  Coupling coupling(training.network, {.rule = Elastic{.rho = rho}, .every = 2});
  auto centre = lpw::mean_rows(loop.late());
  CHECK(same_bits(coupling.centre(), centre));
  for (std::int64_t step = 1; step <= 20; ++step) {
    training.step(step);
    coupling.apply(step);
    loop.step(step);
    if (step % 2 == 0) write_out_elastic(loop.late(), centre, rho.value_or(0.9 / coupled_members));
    REQUIRE(relative_difference(training.late(), loop.late()) < coupled_tolerance);
    REQUIRE(relative_difference(coupling.centre(), centre) < coupled_tolerance);
  }
  CHECK(relative_difference(centre, lpw::mean_rows(loop.late())) > 1e-4);  // the centre goes its own way
}

TEST_CASE("coupling: swaps are the permutations of Philox, with the optimizer's states or without", "[late_phase]") {
  const bool states = GENERATE(false, true);
  const Philox random(42);
  Training training, loop;
  Coupling coupling(training.network, {.rule = Swap{.share = 0.3, .states = states}, .every = 2, .random = random});
  for (std::int64_t step = 1; step <= 20; ++step) {
    training.step(step);
    coupling.apply(step, training.optimizer);
    loop.step(step);
    if (step % 2 == 0) {
      const auto numbers = random.stream(lpw::Stream::swap, static_cast<std::uint32_t>(step));
      copy(swapped(loop.late(), 0.3, numbers), loop.late());
      if (states) copy(swapped(loop.velocity(), 0.3, numbers), loop.velocity());
    }
    REQUIRE(same_bits(training.late(), loop.late()));
    REQUIRE(same_bits(training.velocity(), loop.velocity()));
  }
}

TEST_CASE("coupling: swap moves both moments of Adam with the weights", "[late_phase]") {
  SmallNet<double> network;
  lpw::optim::Adam optimizer(network);
  lpw::release(network, optimizer, {.members = coupled_members, .sigma = 0.1});
  train(network, optimizer, 3);
  Coupling coupling(network, {.rule = Swap{.share = 0.5, .states = true}, .every = 1, .random = Philox(9)});
  std::vector<lpw::Tensor<double, Cpu>> expected;
  const auto numbers = Philox(9).stream(lpw::Stream::swap, 4);
  for (const auto& state : optimizer.states()) expected.push_back(swapped(state.pair.late, 0.5, numbers));
  coupling.apply(4, optimizer);
  REQUIRE(optimizer.states().size() == 2);
  for (std::size_t i = 0; i < 2; ++i) CHECK(same_bits(optimizer.states()[i].pair.late, expected[i]));
}

TEST_CASE("coupling: a run that is taken up in the middle of a cycle leaves the same bits", "[late_phase]") {
  const auto options = GENERATE(CouplingOptions{.rule = Elastic{.rho = 0.25}, .every = 4},
                                CouplingOptions{.rule = PullToMean{.alpha = 0.01, .growth = 2}, .every = 4},
                                CouplingOptions{.rule = Swap{.share = 0.3, .states = true}, .every = 4});
  Training whole;
  Coupling coupling(whole.network, options);
  train_coupled(whole, coupling, 1, 20);

  Training begun;
  Coupling before(begun.network, options);
  train_coupled(begun, before, 1, 10);
  Training resumed;
  Coupling after(resumed.network, options);
  const auto from = lpw::nn::flatten(begun.network), to = lpw::nn::flatten(resumed.network);
  copy(from->value.base, to->value.base);
  copy(from->value.late, to->value.late);
  copy(from->buffers, to->buffers);
  copy(begun.optimizer.velocity().base, resumed.optimizer.velocity().base);
  copy(begun.optimizer.velocity().late, resumed.optimizer.velocity().late);
  if (std::holds_alternative<Elastic>(options.rule)) copy(before.centre(), after.centre());
  train_coupled(resumed, after, 11, 20);
  CHECK(state_of(resumed.network) == state_of(whole.network));
  CHECK(same_bits(resumed.velocity(), whole.velocity()));
}

TEST_CASE("coupling: the centre takes the place of the mean in a collapse, of the network or of a copy",
          "[late_phase]") {
  Training training;
  Coupling coupling(training.network, {.rule = Elastic{.rho = 0.1}, .every = 1});
  train_coupled(training, coupling, 1, 8);
  const auto before = state_of(training.network);
  auto served = lpw::nn::clone_module(training.network);
  coupling.place_centre(served);
  CHECK(state_of(training.network) == before);
  CHECK(message_of<lpw::Error>([&] { lpw::collapse(served); }).find("recompute_statistics") != std::string::npos);
  const std::vector<lpw::Tensor<double, Cpu>> batches{Minibatches<double>(coupled_members, 16, 99).images};
  lpw::optim::recompute_statistics(served, batches);
  lpw::collapse(served, lpw::Collapse::parameters);
  const auto flat = lpw::nn::flatten(training.network);
  const auto plain = lpw::nn::flatten(served);
  for (const auto& segment : flat->segments) {
    INFO(segment.name);
    const auto found = std::find_if(plain->segments.begin(), plain->segments.end(),
                                    [&](const auto& other) { return other.name == segment.name; });
    REQUIRE(found != plain->segments.end());
    const auto& store = segment.late_phase ? coupling.centre() : flat->value.base;
    CHECK(same_bits(plain->value.base.columns(found->offset, {found->size}),
                    store.columns(segment.offset, {segment.size})));
  }
  SmallNet<double> other;
  CHECK_THROWS_AS(coupling.place_centre(other), lpw::Error);
}

TEST_CASE("coupling: what cannot be is refused", "[late_phase]") {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  CHECK(message({.rule = PullToMean{.alpha = nan}}) == "coupling: alpha nan; expected 0 to 1");
  CHECK(message({.rule = PullToMean{.alpha = 1.5}}) == "coupling: alpha 1.5; expected 0 to 1");
  CHECK(message({.rule = PullToMean{.growth = 0.5}}) == "coupling: growth 0.5; expected at least 1");
  CHECK(message({.rule = PullToMean{.growth = nan}}) == "coupling: growth nan; expected at least 1");
  const std::string why = ", 1 / 3 members, beyond which the centre overshoots their mean";
  CHECK(message({.rule = Elastic{.rho = -0.1}}) == "coupling: rho -0.1; expected 0 to 0.333333" + why);
  CHECK(message({.rule = Elastic{.rho = 0.5}}) == "coupling: rho 0.5; expected 0 to 0.333333" + why);
  CHECK(message({.rule = Swap{.share = 1.01}}) == "coupling: share 1.01; expected 0 to 1");
  CHECK(message({.rule = Swap{.share = nan}}) == "coupling: share nan; expected 0 to 1");
  CHECK(message({.every = 0}) == "coupling: every 0 steps; expected at least 1");
  CHECK(message({}).empty());

  SmallNet<double> plain;
  CHECK(message_of<lpw::OptionError>([&] { (void)Coupling(plain); }) ==
        "coupling: the network has one member; expected at least 2, so release it first");
  Training training, another;
  Coupling swap(training.network, {.rule = Swap{.states = true}});
  CHECK_THROWS_AS(swap.apply(10), lpw::OptionError);
  CHECK_THROWS_AS(swap.apply(10, another.optimizer), lpw::Error);
  CHECK_THROWS_AS(swap.apply(0, training.optimizer), lpw::OptionError);
  CHECK_THROWS_AS(swap.centre(), lpw::Error);
  CHECK_THROWS_AS(swap.place_centre(training.network), lpw::Error);
  Coupling pull(training.network, {.rule = PullToMean{.alpha = 0.6}});
  CHECK_THROWS_AS(pull.apply(10, 2), lpw::OptionError);
  CHECK_THROWS_AS(pull.apply(10, nan), lpw::OptionError);
  lpw::collapse(training.network);
  CHECK_THROWS_AS(pull.apply(10), lpw::Error);
}

TEST_CASE("coupling: texts say which rule, and what is none is named") {
  using lpw::parse_coupling;
  CHECK_FALSE(parse_coupling("none"));
  const auto pull = std::get<PullToMean>(*parse_coupling("pull:0.25"));
  CHECK(pull.alpha == 0.25);
  CHECK(pull.growth == 1);
  CHECK(std::get<PullToMean>(*parse_coupling("pull:0.25:1.5")).growth == 1.5);
  CHECK_FALSE(std::get<Elastic>(*parse_coupling("elastic")).rho);
  CHECK(std::get<Elastic>(*parse_coupling("elastic:0.1")).rho == 0.1);
  CHECK(std::get<Swap>(*parse_coupling("swap:0.5")).share == 0.5);
  CHECK_FALSE(std::get<Swap>(*parse_coupling("swap:0.5")).states);
  CHECK(std::get<Swap>(*parse_coupling("swap:0.5:states")).states);
  for (const char* text :
       {"", "pull", "pull:", "pull:a", "pull:0.1:1:2", "pull:0.1:states", "elastic:", "elastic:states",
        "elastic:0.1:0.2", "swap", "swap:states", "swap:0.1:0.2", "swap:0.1:states:", "none:1"}) {
    CAPTURE(text);
    CHECK(message_of<lpw::OptionError>([&] {
            (void)parse_coupling(text);
          }).starts_with(lpw::to_text("coupling: \"", text, "\"; expected none, pull:ALPHA")));
  }
}

TEST_CASE("a pull of 0 stays 0 however far its growth goes, and any other becomes 1") {
  CHECK(lpw::detail::coupling_strength(PullToMean{.alpha = 0, .growth = 2}, 3, 5000, 1) == 0);
  CHECK(lpw::detail::coupling_strength(PullToMean{.alpha = 1e-9, .growth = 2}, 3, 5000, 1) == 1);
}
