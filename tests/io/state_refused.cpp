// The state of a loop of one's own: what does not fit is refused, and nothing is changed.
#include <lpw/io/state.hpp>

#include <cmath>

#include "own_loop.hpp"
#include "support/files.hpp"
#include "support/fuzz.hpp"

using lpw::FileError;

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
  const auto another = [](const std::string& caller, const std::string& part) {
    return caller + ": the part '" + part +
           "' was made for another network, or before this one was moved to other stores; make it anew for this one, "
           "or give it to the release or collapse that moves it";
  };
  CHECK(refused(*third.optimizer, *other.average) == another("load_state", "optimizer"));
  CHECK(refused(*other.optimizer, *third.average) == another("load_state", "average"));
  lpw::nn::Initializer init(lpw::Philox(1));
  lpw::nn::Linear<float, Cpu> layer({.in_features = 2, .out_features = 3}, init);
  lpw::optim::Sgd of_layer(layer);  // of other shapes
  CHECK(refused(of_layer, *other.average) == another("load_state", "optimizer"));

  lpw::collapse(whole.network, lpw::Collapse::parameters);  // without what was made for it
  lpw::optim::Sgd anew(whole.network);
  const auto unsaved = [&](auto&... parts) {
    return message_of<lpw::Error>([&] { save_state(path, whole.network, parts...); });
  };
  CHECK(unsaved(*whole.optimizer) == another("save_state", "optimizer"));
  CHECK(unsaved(anew, *whole.optimizer) == another("save_state", "optimizer 2"));
  CHECK(unsaved(anew, *whole.average) == another("save_state", "average"));
  CHECK(unsaved(anew).empty());
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
