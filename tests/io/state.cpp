// The state of a loop of one's own: it goes on bit for bit, and forgets nothing in silence.
#include <lpw/io/state.hpp>

#include <cmath>

#include "own_loop.hpp"
#include "support/files.hpp"

using lpw::FileError;

TEST_CASE("loop state: a loop goes on in the middle of an epoch to the same bits", "[state]") {
  const auto& optimizer = optimizers[static_cast<std::size_t>(GENERATE(0, 1))];
  const auto& average = averages[static_cast<std::size_t>(GENERATE(0, 1, 2))];
  const std::string late = GENERATE(as<std::string>{}, "batchnorm,head", "rank1,last.*", "additive", "all",
                                    "conv.weight,additive:hidden.*,rank1");
  const std::int64_t members = GENERATE(1, 3), at = GENERATE(std::int64_t{2}, release_step, stop);
  CAPTURE(optimizer.index(), average.index(), late, members, at);
  const TemporaryFolder folder;
  Loop whole(optimizer, average, Selectors::parse(late), members);
  whole.train_to(at);
  whole.save(folder / "state.lpw");
  whole.train_to(epochs * iterations);

  Loop resumed(optimizer, average, Selectors::parse(late), members);
  resumed.step();  // whatever it has done before
  (void)accumulate_gradient(resumed.network, Minibatches<float>(1, 4, 77), 0, Philox(1));
  resumed.load(folder / "state.lpw");
  CHECK(resumed.place == Place{at / iterations, at % iterations, at});
  resumed.train_to(epochs * iterations);
  CHECK(resumed.end() == whole.end());
}

TEST_CASE("loop state: gradients that no step has taken come back", "[state]") {
  const TemporaryFolder folder;
  for (const std::int64_t at : {release_step - 2, release_step + 1}) {
    CAPTURE(at);
    const auto add = [](Loop& loop, std::uint32_t number) {
      const Minibatches<float> batches(lpw::nn::members(loop.network), 4, number);
      accumulate_gradient(loop.network, batches, 0, lpw::Philox(number));
    };
    Loop whole = small_loop(), cut = small_loop(), after = small_loop();
    for (Loop* loop : {&whole, &cut}) loop->train_to(at), add(*loop, 100);
    cut.save(folder / "state");
    add(after, 300);  // which is of other weights
    after.load(folder / "state");
    for (Loop* loop : {&whole, &after}) add(*loop, 200), loop->optimizer->step(1);
    CHECK(whole.end() == after.end());
  }
}

TEST_CASE("loop state: of templates, and of a network that was collapsed", "[state]") {
  const TemporaryFolder folder;
  const auto with_templates = [] {
    SmallNet<double> network;
    lpw::nn::Initializer init(lpw::Philox(4));
    share_templates<double, Cpu>({&network.hidden.weight}, {.templates = 3}, init);
    return network;
  };
  const auto resumes = [&](auto make, auto change) {
    auto network = make();
    lpw::optim::Adam optimizer(network);
    train(network, optimizer, 2);
    change(network, optimizer);
    train(network, optimizer, 1, 2);
    save_state(folder / "state.lpw", network, optimizer);
    train(network, optimizer, 2, 3);
    auto other = make();
    lpw::optim::Adam again(other);
    CHECK(load_state(folder / "state.lpw", other, again).is_null());
    train(other, again, 2, 3);
    CHECK(state_of(other) == state_of(network));
  };
  resumes(with_templates, [](auto&, auto&) {});
  for (const char* late : {"templates", "templates,head", "batchnorm"})
    resumes(with_templates, [&](auto& network, auto& optimizer) {
      lpw::release(network, optimizer, {.members = 2, .late = Selectors::parse(late), .sigma = 0.1});
    });
  for (const char* again : {"none", "rank1,batchnorm", "additive"})
    resumes(with_templates, [&](auto& network, auto& optimizer) {
      lpw::release(network, optimizer, {.members = 2, .late = Selectors::parse("templates"), .sigma = 0.1});
      lpw::collapse(network, optimizer);
      const Selectors late = Selectors::parse(again);
      if (!late.empty()) lpw::release(network, optimizer, {.members = 3, .late = late, .sigma = 0.1});
    });
  resumes([] { return SmallNet<double>(); },
          [](auto& network, auto& optimizer) {
            lpw::release(network, optimizer, {.members = 2, .late = Selectors::parse("rank1"), .sigma = 0.1});
            lpw::collapse(network, optimizer);
          });
}

TEST_CASE("loop state: what is forgotten is seen", "[state]") {
  const TemporaryFolder folder;
  const auto path = folder / "state.lpw";
  Loop whole = small_loop(), other = small_loop();
  whole.train_to(stop);

  SECTION("by load_state") {
    whole.save(path);
    CHECK(message_of<FileError>([&] { load_state(path, other.network, *other.optimizer, other.place); }) ==
          path.string() +
              ": holds the state 'average', which this call leaves out; give load_state what save_state was "
              "given");
  }
  SECTION("by save_state") {
    save_state(path, whole.network, *whole.optimizer);
    CHECK(message_of<FileError>([&] { other.load(path); }) ==
          path.string() +
              ": has no state 'average', which this call asks for; give save_state all that load_state is "
              "given");
  }
  SECTION("by both: the loop goes on to other bits") {
    const int forgotten = GENERATE(0, 1, 2, 3, 4);
    CAPTURE(forgotten);
    Loop early = small_loop();
    early.train_to(3);
    const auto both = [&](auto&& call) {
      const auto with = [&](Loop& loop) {
        const auto memory = carried("memory", loop.memory);
        if (forgotten == 0) call(loop.network, *loop.optimizer, *loop.average, memory, loop.place);
        if (forgotten == 1) call(loop.network, *loop.average, memory, loop.place);
        if (forgotten == 2) call(loop.network, *loop.optimizer, memory, loop.place);
        if (forgotten == 3) call(loop.network, *loop.optimizer, *loop.average, loop.place);
        if (forgotten == 4) call(loop.network, *loop.optimizer, *loop.average, memory);
      };
      return with;
    };
    both([&](auto&... parts) { save_state(path, parts...); })(early);
    both([&](auto&... parts) { load_state(path, parts...); })(other);
    early.step(), other.step();
    CHECK((other.end() == early.end()) == (forgotten == 0));
  }
  SECTION("by both, of an optimizer: it does not step what was released") {
    save_state(path, whole.network);
    load_state(path, other.network);
    CHECK(contains(message_of<lpw::Error>([&] { other.optimizer->step(); }), "released without this optimizer"));
  }
}

TEST_CASE("loop state: staleness of statistics, and several parts of a kind, come back", "[state]") {
  const TemporaryFolder folder;
  const auto path = folder / "state.lpw";
  Loop loop = small_loop();
  loop.train_to(2);
  lpw::optim::WeightAverage second(loop.network);
  second.update();
  loop.step();
  second.update();
  loop.average->apply(loop.network);
  save_state(path, loop.network, *loop.average, second);
  Loop other = small_loop();
  lpw::optim::WeightAverage another(other.network);
  load_state(path, other.network, *other.average, another);
  CHECK(lpw::nn::statistics_stale(other.network));
  CHECK(other.average->updates() == 3);
  CHECK(another.updates() == 2);
  CHECK(rows_of(another.average().base) == rows_of(second.average().base));
  save_state(path, other.network, carried("none", other.memory));
  other.memory = {};
  save_state(folder / "empty.lpw", other.network, carried("none", other.memory));
  load_state(path, loop.network, carried("none", loop.memory));
  CHECK(loop.memory.size() == 1);
  load_state(folder / "empty.lpw", loop.network, carried("none", loop.memory));
  CHECK(loop.memory.empty());
}

TEST_CASE("loop state: the best candidate comes back, of whatever form its network was", "[state]") {
  const TemporaryFolder folder;
  const auto path = folder / "state.lpw";
  const bool before_release = GENERATE(true, false);
  Loop loop = small_loop(), other = small_loop();
  lpw::optim::BestWeights<float, Cpu> best, resumed;
  loop.train_to(before_release ? 2 : stop);
  save_state(path, loop.network, best);
  load_state(path, other.network, resumed);
  CHECK(!resumed.candidate());
  Net plain = lpw::collapsed(loop.network);
  best.offer("now", 0.75, plain);
  loop.train_to(stop + 1);
  save_state(path, loop.network, best);
  Net fresh;
  load_state(path, fresh, resumed);
  CHECK(resumed.candidate() == best.candidate());
  Net put;
  resumed.apply(put);
  CHECK(state_of(put) == state_of(plain));
  CHECK(!resumed.offer("worse", 0.5, put));
}

TEST_CASE("loop state: an infinite score of the best candidate comes back", "[state]") {
  const TemporaryFolder folder;
  const double score = GENERATE(-HUGE_VAL, HUGE_VAL, 0.1 + 0.2);
  Net network;
  lpw::optim::BestWeights<float, Cpu> best, resumed;
  best.offer("first", score, network);
  save_state(folder / "state.lpw", network, best);
  load_state(folder / "state.lpw", network, resumed);
  CHECK(resumed.candidate() == best.candidate());
}

TEST_CASE("loop state: rates that were set, frozen groups and plateaus come back", "[state]") {
  const TemporaryFolder folder;
  const auto path = folder / "state.lpw";
  const lpw::optim::SgdOptions options{.groups = {{.names = {"conv.*"}}, {.names = {"last.*"}, .learning_rate = 0.3}}};
  const auto step = [](Net& network, auto& optimizer, lpw::optim::Plateau& plateau, std::uint32_t draw) {
    accumulate_gradient(network, Minibatches<float>(1, 4, draw), 0, lpw::Philox(draw));
    optimizer.step(plateau.observe(1));
  };
  Net network, other;
  lpw::optim::Sgd optimizer(network, options), again(other, options);
  lpw::optim::Plateau plateau({.patience = 1}), resumed({.patience = 1});
  for (std::uint32_t i = 0; i < 4; ++i) step(network, optimizer, plateau, i);
  auto rules = optimizer.rules();
  rules.base.learning_rate = 0.02, rules.late = lpw::optim::Rates{0.1, 0}, rules.groups[0].frozen = true;
  rules.factor_decay = lpw::optim::FactorDecay::to_one;
  optimizer.set_rules(rules);
  save_state(path, network, optimizer, plateau);
  load_state(path, other, again, resumed);
  CHECK(again.rates().learning_rate == 0.02);
  CHECK(again.late_rates() == lpw::optim::Rates{0.1, 0});
  CHECK(again.rules().groups[1].learning_rate == 0.3);
  CHECK(again.rules().factor_decay == lpw::optim::FactorDecay::to_one);
  for (std::uint32_t i = 4; i < 8; ++i) step(network, optimizer, plateau, i), step(other, again, resumed, i);
  CHECK(plateau.factor() < 0.1);
  CHECK(state_of(network) == state_of(other));

  lpw::optim::Sgd none(other), differs(other, {.groups = {{.names = {"conv.*"}}, {.names = {"last.bias"}}}});
  CHECK(contains(message_of<FileError>([&] { load_state(path, other, none, resumed); }),
                 ": its optimizer has 2 parameter groups, not 0"));
  CHECK(contains(message_of<FileError>([&] { load_state(path, other, differs, resumed); }),
                 ": parameter group 2 of its optimizer is of 'last.*', not of 'last.bias'"));
  rules.groups[1].schedule = lpw::optim::Schedule(lpw::optim::MultiStep{.milestones = {3}});
  again.set_rules(rules);
  CHECK(contains(message_of<FileError>([&] { load_state(path, other, again, resumed); }),
                 ": parameter group 2 of its optimizer has another schedule than 'last.*' here; set that of the"));
  save_state(path, other, again, resumed);
  load_state(path, other, again, resumed);
  rules.groups[1].schedule = lpw::optim::Schedule(lpw::optim::MultiStep{.milestones = {5}});
  again.set_rules(rules);
  CHECK(contains(message_of<FileError>([&] { load_state(path, other, again, resumed); }), "has another schedule"));
}
