// The state of a loop of one's own: it goes on bit for bit, forgets nothing in silence, and refuses what does not fit.
#include <lpw/io/state.hpp>

#include <cmath>
#include <memory>

#include <lpw/nn/activation.hpp>
#include <lpw/nn/sequential.hpp>
#include <lpw/optim/averages/make_average.hpp>
#include <lpw/optim/make_optimizer.hpp>

#include "catch.hpp"
#include "support/files.hpp"
#include "support/fuzz.hpp"
#include "support/networks.hpp"

using namespace lpw::test;
using lpw::FileError;
using lpw::Selectors;
using lpw::data::Place;
using lpw::io::carried;
using lpw::io::load_state;
using lpw::io::save_state;
using nlohmann::json;

namespace {

/// A small network with dropout before its head.
template <class T>
struct DroppingNet : SmallNet<T> {
  using SmallNet<T>::SmallNet;
  lpw::Variable<T, Cpu> forward(const lpw::Variable<T, Cpu>& x) {
    const auto features = global_average_pool(this->bn1.forward(this->conv.forward(x)));
    return this->last.forward(dropout(this->bn2.forward(relu(this->hidden.forward(features))), 0.3));
  }
};
using Net = DroppingNet<float>;

constexpr std::int64_t epochs = 3, iterations = 4, release_step = 5, stop = 7;  // stop: in the middle of epoch 2

/// A loop with all that can be forgotten.
struct Loop {
  Net network;
  std::unique_ptr<lpw::optim::Optimizer<float, Cpu>> optimizer;
  std::unique_ptr<lpw::optim::Average<float, Cpu>> average;
  Place place;
  lpw::Tensor<float, Cpu> memory = lpw::zeros<float, Cpu>({1});
  Selectors late;
  std::int64_t members;

  Loop(const lpw::optim::OptimizerOptions& how, const lpw::optim::AverageOptions& kept, Selectors selectors,
       std::int64_t count)
      : optimizer(make_optimizer(network, how)),
        average(make_average(network, kept)),
        late(std::move(selectors)),
        members(count) {}

  /// Trains up to a step.
  void train_to(std::int64_t last) {
    for (; place.epoch < epochs; place.end_epoch())
      while (place.iteration < iterations) {
        if (place.step == last) return;
        if (place.step == release_step) release();
        step();
      }
  }
  void release() {
    lpw::Followers followers(*optimizer, *average);
    lpw::release(network, followers, {.members = members, .late = late, .sigma = 0.1});
  }
  void step() {
    const Minibatches<float> batches(lpw::nn::members(network), 4, static_cast<std::uint32_t>(place.step));
    const auto losses = accumulate_gradient(network, batches, 0, place.random(3));
    memory.data()[0] = 0.5f * memory.data()[0] + losses[0];
    optimizer->step(1 / (1 + memory.data()[0]));
    average->update();
    place.advance();
  }
  void save(const std::filesystem::path& path) {
    save_state(path, network, *optimizer, *average, place, carried("memory", memory), json{{"best", 0.25}});
  }
  void load(const std::filesystem::path& path) {
    const auto own = load_state(path, network, *optimizer, *average, place, carried("memory", memory));
    CHECK(own == json{{"best", 0.25}});
  }
  /// All that it ends with.
  [[nodiscard]] std::map<std::string, Rows<float>> end() {
    auto state = state_of(network);
    const auto add = [&](const std::string& name, const lpw::Tensor<float, Cpu>& tensor) {
      if (tensor.size() > 0) state.emplace(name, rows_of(tensor));
    };
    for (const auto& [name, pair] : optimizer->states()) add(name + ".base", pair.base), add(name + ".late", pair.late);
    const auto mean = average->average();
    add("average.base", mean.base), add("average.late", mean.late), add("memory", memory);
    return state;
  }
};

const std::vector<lpw::optim::OptimizerOptions> optimizers{lpw::optim::SgdOptions{.learning_rate = 0.05},
                                                           lpw::optim::AdamOptions{.learning_rate = 0.01}};
const std::vector<lpw::optim::AverageOptions> averages{
    lpw::optim::SwaOptions(), lpw::optim::EmaOptions{.decay = 0.9, .late_decay = 0.5}, lpw::optim::LatestOptions{3}};

Loop small_loop(std::int64_t members = 3) {
  return Loop(optimizers[0], averages[0], Selectors::parse("head"), members);
}

/// A file of a small loop at a step.
void save_at(std::int64_t step, const std::filesystem::path& path, std::int64_t members = 3) {
  Loop loop = small_loop(members);
  loop.train_to(step);
  loop.save(path);
}

}  // namespace

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

TEST_CASE("loop state: what does not fit is refused by its name, and nothing is changed", "[state]") {
  const TemporaryFolder folder;
  const auto path = folder / "state.lpw";
  const auto refused = [&](auto& network, auto&&... parts) {
    const auto before = state_of(network);
    const auto message = message_of<FileError>([&] { load_state(path, network, parts...); });
    CHECK(state_of(network) == before);
    CHECK(message.starts_with(path.string() + ": "));
    CHECK(!contains(message, "\n"));
    return message.substr(std::min(message.size(), path.string().size() + 2));
  };
  Net network;
  lpw::optim::Sgd optimizer(network);
  lpw::release(network, optimizer, {.members = 2, .late = Selectors::parse("head")});
  save_state(path, network, optimizer);

  SmallNet<double> wide;
  CHECK(refused(wide) == "its weights are F32, the network's F64");
  Net plain;
  lpw::optim::Adam adam(plain);
  CHECK(refused(plain, adam) == "its optimizer is Sgd, not Adam");
  Net released;
  lpw::release(released, {.members = 3, .late = Selectors::parse("head")});
  CHECK(refused(released) == "holds 2 members, the network 3");
  Net norms;
  lpw::release(norms, {.members = 2, .late = Selectors::parse("batchnorm")});
  CHECK(refused(norms) == "'bn1.weight' is a base weight, the network's a late-phase one");
  lpw::nn::Initializer init(lpw::Philox(1));
  const auto linear = [&](std::int64_t outputs, bool bias) {
    return lpw::nn::Linear<float, Cpu>({.in_features = 2, .out_features = outputs, .bias = bias}, init);
  };
  auto layer = linear(3, true), longer = linear(4, true), without = linear(3, false);
  CHECK(refused(layer) == "holds the running statistic 'bn1.running_mean' [5], which the network has not");
  save_state(path, layer);
  CHECK(refused(longer) == "the parameter 'weight' is [3 2], the network's [4 2]");
  CHECK(refused(without) == "holds the parameter 'bias' [3], which the network has not");
  lpw::release(layer, {.members = 2, .late = Selectors::parse("weight")});
  CHECK(refused(layer) ==
        "was saved before a release, and the network has 2 members; load it into the network as it "
        "was made");
  save_state(path, without);
  CHECK(refused(longer) == "has no parameter 'bias' [4], which the network has");
  auto fixed = linear(3, true), factored = linear(3, true);
  fixed.weight.set_takes_factors(false);
  lpw::release(factored, {.members = 2, .late = Selectors::parse("rank1")});
  save_state(path, factored);
  CHECK(refused(fixed) == "holds the rank-1 factor 'rank_one_r', which a release does not give the network");
  lpw::optim::WeightAverage average(plain);
  lpw::optim::LatestAverage three(plain, {3}), four(plain, {4});
  save_state(path, plain, three);
  CHECK(refused(plain, average) == "its average is LatestAverage, not WeightAverage");
  CHECK(refused(plain, four) == "its LatestAverage keeps 3 networks, not 4");
  lpw::Tensor<float, Cpu> one({1});
  lpw::Tensor<std::int32_t, Cpu> other({1});
  lpw::fill(one, 1.f);
  save_state(path, plain, carried("h", one));
  CHECK(refused(plain, carried("h", other)) == "what is carried as 'h' is \"F32\", not I32");
}

TEST_CASE("loop state: an optimizer or average of another network is refused, and nothing is changed", "[state]") {
  const TemporaryFolder folder;
  const auto path = folder / "state.lpw";
  Loop whole = small_loop(), other = small_loop(), third = small_loop();
  whole.train_to(stop);
  save_state(path, whole.network, *whole.optimizer, *whole.average);
  const auto before = other.end(), of_third = third.end();
  const auto refused = [&](auto& optimizer, auto& average) {
    const auto message = message_of<lpw::Error>([&] { load_state(path, other.network, optimizer, average); });
    CHECK(other.end() == before);
    CHECK(third.end() == of_third);
    return message;
  };
  const std::string another =
      "load_state: a part was made for another network, or before this one was moved to other stores";
  CHECK(refused(*third.optimizer, *other.average) == another);
  CHECK(refused(*other.optimizer, *third.average) == another);
  lpw::nn::Initializer init(lpw::Philox(1));
  lpw::nn::Linear<float, Cpu> layer({.in_features = 2, .out_features = 3}, init);
  lpw::optim::Sgd of_layer(layer);  // of other shapes
  CHECK(refused(of_layer, *other.average) == another);
}

TEST_CASE("loop state: tensors of other shapes or types are refused before anything is changed", "[state]") {
  const TemporaryFolder folder;
  const auto path = folder / "state.lpw", good = folder / "good.lpw";
  {
    Loop loop = small_loop();
    loop.train_to(stop);
    lpw::optim::BestWeights<float, Cpu> best;
    best.offer("now", 0.5, loop.network);
    save_state(good, loop.network, *loop.optimizer, *loop.average, carried("memory", loop.memory), best);
  }
  const auto whole = lpw::io::load_checkpoint(good);
  Loop loop = small_loop();
  lpw::optim::BestWeights<float, Cpu> best;
  const auto before = loop.end();
  for (const auto& chosen : whole.tensors) {
    CAPTURE(chosen.name);
    lpw::io::Checkpoint changed{whole.meta, lpw::io::NamedTensors("changed")};
    for (const auto& tensor : whole.tensors) {
      if (tensor.name == chosen.name) {
        changed.tensors.add(tensor.name, lpw::full<double, Cpu>({3}, 1));
      } else {
        changed.tensors.add(tensor);
      }
    }
    lpw::io::save_checkpoint(path, changed);
    CHECK(contains(message_of<FileError>([&] {
                     load_state(path, loop.network, *loop.optimizer, *loop.average, carried("memory", loop.memory),
                                best);
                   }),
                   "tensor '" + chosen.name + "' is F64 [3], expected "));
    CHECK(loop.end() == before);
    CHECK(!best.candidate());
  }
}

namespace {

/// Two weights, of which visit() names the second as it is told.
struct NamedPair {
  using value_type = float;
  using device_type = Cpu;
  std::string second;
  lpw::nn::Parameter<float, Cpu> one{lpw::full<float, Cpu>({1, 3}, 1)}, other{lpw::full<float, Cpu>({1, 3}, 2)};
  template <class F>
  void visit(F&& f) {
    f("one", one);
    f(second, other);
  }
};

}  // namespace

TEST_CASE("loop state: two parameters of one name are refused by it", "[state]") {
  const TemporaryFolder folder;
  const auto path = folder / "state.lpw";
  NamedPair alike{"one"}, distinct{"two"};
  const std::string message =
      "state: two parameters of the network are called 'one'; visit() is to give each a name of its own";
  CHECK(message_of<lpw::Error>([&] { save_state(path, alike); }) == message);
  save_state(path, distinct);
  CHECK(message_of<lpw::Error>([&] { load_state(path, alike); }) == message);
  auto checkpoint = lpw::io::load_checkpoint(path);
  auto& parameters = checkpoint.meta["network"]["parameters"];
  parameters.push_back(parameters[1]);
  lpw::io::save_checkpoint(path, checkpoint);
  CHECK(contains(message_of<FileError>([&] { load_state(path, distinct); }), "damaged: names a parameter twice"));
}

TEST_CASE("loop state: a diverged loop leaves the file of before", "[state]") {
  const TemporaryFolder folder;
  const auto path = folder / "state.lpw";
  save_at(stop, path);
  const auto before = lpw::io::read_file(path);
  Loop loop = small_loop();
  loop.train_to(stop);
  auto& velocity = loop.optimizer->states()[0].pair.late;
  velocity.data()[1] = std::nanf("");
  CHECK(contains(message_of<lpw::NonFinite>([&] { loop.save(path); }), "'optimizer.velocity.late' holds an infinite"));
  velocity.data()[1] = 0;
  loop.network.conv.weight.value().data()[0] = INFINITY;
  CHECK(contains(message_of<lpw::NonFinite>([&] { loop.save(path); }), "'conv.weight' holds an infinite"));
  CHECK(lpw::io::read_file(path) == before);
}

TEST_CASE("loop state: JSON that would not come back is refused, and the file of before stays", "[state]") {
  const TemporaryFolder folder;
  const auto path = folder / "state.lpw";
  Net network;
  save_state(path, network, json{{"best", 0.5}});
  const auto before = lpw::io::read_file(path);
  for (const double odd : {HUGE_VAL, -HUGE_VAL, std::nan("")})
    CHECK(contains(message_of<lpw::NonFinite>([&] {
                     save_state(path, network, json{{"losses", {1.0, odd}}});
                   }),
                   " at '/losses/1', which a file cannot hold"));
  const auto nested = [](int depth) {
    json value = 1;
    for (int i = 0; i < depth; ++i) value = json::array({value});
    return value;
  };
  int deepest = 0;
  for (int depth = 50; depth < 80; ++depth) try {
      save_state(path, network, nested(depth));
      CHECK(load_state(path, network) == nested(depth));
      deepest = depth;
    } catch (const FileError& error) {
      CHECK(contains(error.what(), "cannot be written: its header nests more than 64 deep"));
      CHECK(load_state(path, network) == nested(deepest));
    }
  CHECK(deepest >= 60);
  CHECK(deepest < 79);
  save_state(path, network, json{{"best", 0.5}});
  CHECK(lpw::io::read_file(path) == before);
}

TEST_CASE("loop state: files that are none are refused in a line", "[state]") {
  const TemporaryFolder folder;
  const auto path = folder / "state.lpw", good = folder / "good.lpw";
  save_at(stop, good);
  const std::string whole = text_of(lpw::io::read_file(good));
  Loop loop = small_loop();
  const auto before = loop.end();
  const auto refused = [&] {
    const auto message = message_of<FileError>([&] { loop.load(path); });
    CHECK(message.starts_with(path.string() + ": "));
    CHECK(!contains(message, "\n"));
    return message;
  };
  const auto write = [&](const std::string& text) { lpw::io::write_file_atomically(path, bytes_of(text)); };
  CHECK(contains(refused(), "cannot open"));
  for (std::size_t length = 0; length < whole.size(); length += length < 64 ? 1 : 997) {
    write(whole.substr(0, length));
    CHECK(contains(refused(), "truncated"));
  }
  Fuzz fuzz(5);
  for (std::int64_t i = 0; i < fuzz_inputs(200); ++i) {
    const std::string damaged = fuzz.damaged(whole);
    if (damaged == whole) continue;
    write(damaged);
    (void)refused();
  }
  const auto checkpoint = [&](const json& meta) {
    lpw::io::save_checkpoint(path, {meta, lpw::io::NamedTensors("checkpoint")});
  };
  checkpoint({{"options", 1}, {"progress", 2}});
  CHECK(contains(refused(), "is a trainer's checkpoint, which its program resumes"));
  checkpoint({{"epoch", 3}});
  CHECK(contains(refused(), "is a checkpoint, but not of save_state"));
  checkpoint(7);
  CHECK(contains(refused(), "is a checkpoint, but not of save_state"));
  const auto header = lpw::io::load_checkpoint(good);
  const auto with = [&](auto change) {
    lpw::io::Checkpoint other = header;
    change(other.meta);
    lpw::io::save_checkpoint(path, other);
    return refused();
  };
  CHECK(contains(with([](json& meta) { meta["parts"] = 3; }), "damaged: its header is not one that save_state writes"));
  CHECK(contains(with([](json& meta) { meta["parts"]["place"]["epoch"] = -1; }), "damaged: 'epoch' is -1"));
  CHECK(contains(with([](json& meta) { meta["parts"]["optimizer"]["rates"]["base"]["learning_rate"] = -1; }),
                 "a rate of its optimizer is -1"));
  CHECK(contains(with([](json& meta) { meta["parts"]["optimizer"]["late_steps"] = 0.5; }), "'late_steps' is 0.5"));
  CHECK(loop.end() == before);
}

TEST_CASE("loop state: whatever a header says, it is refused or taken", "[state]") {
  const TemporaryFolder folder;
  const auto path = folder / "state.lpw", good = folder / "good.lpw";
  save_at(stop, good);
  const auto whole = lpw::io::load_checkpoint(good);
  const json flat = whole.meta.flatten();
  const std::vector<json> odd{nullptr, -1, 0, 3, 1e300, 4611686018427387904, "", "x", json::array(), json::object()};
  std::int64_t refused = 0;
  const auto untouched = small_loop().end();
  for (const auto& [place, value] : flat.items())
    for (const json& other : odd) {
      if (place.starts_with("/own") || other == value) continue;
      lpw::io::Checkpoint changed = whole;
      changed.meta[json::json_pointer(place)] = other;
      lpw::io::save_checkpoint(path, changed);
      Loop loop = small_loop();
      CAPTURE(place, other.dump());
      const auto message = message_of<lpw::Error>([&] { loop.load(path); });
      CHECK(!contains(message, "\n"));
      if (!message.empty()) CHECK(loop.end() == untouched);
      refused += !message.empty();
    }
  CHECK(refused > std::ssize(flat) * 5);
}
