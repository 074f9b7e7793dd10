#include <lpw/train/language_modelling.hpp>

#include <csignal>
#include <functional>
#include <limits>
#include <map>

#include <lpw/cpu/softmax.hpp>
#include <lpw/late_phase/collapse.hpp>
#include <lpw/late_phase/release.hpp>
#include <lpw/metrics/evaluation.hpp>
#include <lpw/optim/sgd.hpp>
#include <lpw/train/trainer.hpp>

#include "catch.hpp"
#include "data/words.hpp"
#include "support.hpp"
#include "support/compare.hpp"

using namespace lpw;
using namespace lpw::train;
using Catch::Matchers::WithinAbs;

namespace {

template <class T>
using Network = nn::LanguageModel<T, Cpu>;

const data::TextParts& text() {
  static const data::TextParts parts{text_of_words(1000, 1), text_of_words(200, 2), text_of_words(150, 3)};
  return parts;
}

constexpr std::int64_t members = 3, batch = 2, window = 6;

// ---- the batched pass against Algorithm 1, one member after another

using Weights = std::map<std::string, std::vector<double>>;

/// Row k of all parameters; a shared one has one row.
Weights weights_of(Network<double>& network, std::int64_t k) {
  Weights result;
  nn::for_each_parameter(network, [&](const std::string& name, auto& parameter) {
    const double* row = parameter.value().row(parameter.value().dim(0) == 1 ? 0 : k);
    result[name] = {row, row + parameter.shape().size()};
  });
  return result;
}

/// Algorithm 1 with plain gradient descent on one network of one member, whose weights are put in and taken out by
/// name.
class Sequential {
 public:
  Sequential(Network<double>& released, double rate, Group groups)
      : network_(network_of_one_member(groups)), rate_(rate) {
    for (std::int64_t k = 0; k < members; ++k) {
      weights_.push_back(weights_of(released, k));
      states_.push_back(network_.start(1, batch));
    }
    nn::for_each_parameter(released,
                           [&](const std::string& name, auto& parameter) { late_[name] = parameter.late_phase(); });
  }

  /// One window of all members' streams. Returns their losses.
  std::vector<double> iterate(const data::Text& bytes, std::int64_t first) {
    std::vector<double> losses;
    std::vector<Weights> gradients;
    for (std::int64_t k = 0; k < members; ++k) {
      nn::for_each_parameter(network_, [&](const std::string& name, auto& parameter) {
        const auto& weight = weights_[static_cast<std::size_t>(k)].at(name);
        std::copy(weight.begin(), weight.end(), parameter.value().data());
        fill(parameter.gradient(), 0.0);
      });
      Tape tape;
      auto& states = states_[static_cast<std::size_t>(k)];
      const auto after = network_.forward(tape.input(part(bytes, k, first, {1, window, batch})), states);
      const auto loss =
          cross_entropy(after.logits, part(bytes, k, first + 1, {1, window, batch}).reshaped({1, window * batch}));
      losses.push_back(loss.value().data()[0]);
      tape.backward(loss);
      states = after.states;
      gradients.emplace_back();
      nn::for_each_parameter(network_, [&](const std::string& name, auto& parameter) {
        gradients.back()[name] = {parameter.gradient().data(), parameter.gradient().data() + parameter.shape().size()};
      });
    }
    for (std::size_t k = 0; k < gradients.size(); ++k)
      for (std::size_t from = 0; from < gradients.size(); ++from)
        for (auto& [name, weight] : weights_[k])
          if (!late_.at(name) || from == k)
            for (std::size_t i = 0; i < weight.size(); ++i) weight[i] -= rate_ * gradients[from].at(name)[i];
    return losses;
  }

  const Weights& weights(std::int64_t k) const { return weights_[static_cast<std::size_t>(k)]; }

 private:
  static Network<double> network_of_one_member(Group groups) {
    Network<double> network({.hidden = 5, .layers = 2, .embedding = 3}, Philox(1));
    release(network, {.members = 1, .late = groups});
    return network;
  }
  /// Bytes of member k's streams: their contiguous parts of the text.
  static Tensor<std::int32_t, Cpu> part(const data::Text& bytes, std::int64_t k, std::int64_t first,
                                        const Shape& shape) {
    Tensor<std::int32_t, Cpu> result(shape);
    const std::int64_t length = std::ssize(bytes) / (members * batch);
    for (std::int64_t t = 0; t < window; ++t)
      for (std::int64_t b = 0; b < batch; ++b)
        result.data()[t * batch + b] = bytes[static_cast<std::size_t>((k * batch + b) * length + first + t)];
    return result;
  }

  Network<double> network_;
  double rate_;
  std::vector<Weights> weights_;
  std::vector<typename Network<double>::States> states_;
  std::map<std::string, bool> late_;
};

// ---- runs of the trainer

/// Calls a hook before each pass, by which a test interferes with training.
struct HookedModelling : LanguageModelling<Network<float>> {
  HookedModelling()
      : LanguageModelling<Network<float>>(text(), {.batch = batch, .pre_batch = members * batch, .window = 20}) {}
  void accumulate_gradient(Network<float>& network, Tape& tape, const Batch& windows,
                           StepOutputs<float, Cpu>& outputs) {
    if (hook) hook(pass++);
    LanguageModelling<Network<float>>::accumulate_gradient(network, tape, windows, outputs);
  }
  std::function<void(int)> hook;
  int pass = 0;
};

const TrainOptions text_options{.epochs = 4,
                                .members = members,
                                .release_epoch = 2,
                                .late = Group::rank_one | Group::head,
                                .optimizer = optim::AdamOptions{.learning_rate = 0.01, .clip = 1},
                                .average = optim::SwaOptions(),
                                .average_plan = {.start = 3}};
constexpr int epoch_windows = 9;  // 1000 bytes / 6 streams: 166, of which 165 are predicted

struct TextRun {
  explicit TextRun(const TrainOptions& o = text_options) : trainer(network, task, o, {{"model", "toy"}}) {}
  int train(const std::filesystem::path& path, bool resume = false) {
    const RunFolder folder(path, resume);
    if (folder.has_checkpoint()) trainer.load(folder.checkpoint());
    return trainer.run(folder, display.get());
  }
  Network<float> network{{.hidden = 8, .layers = 2, .embedding = 4, .dropout = 0.1}, Philox(1)};
  HookedModelling task;
  RecordedDisplay display;
  Trainer<Network<float>, HookedModelling> trainer;
};

std::string file_after(const TemporaryFolder& folder, const char* name) {
  return text_of(io::read_file(folder / "run" / name));
}

}  // namespace

TEST_CASE(
    "members read as one batch what Algorithm 1 reads one after another, with states carried from window to window") {
  constexpr double rate = 0.3;
  const Group groups = GENERATE(Group::rank_one, Group::rank_one | Group::head, Group::head);
  for (const std::int64_t chunk : {0, 2}) {
    Network<double> network({.hidden = 5, .layers = 2, .embedding = 3}, Philox(1));
    release(network, {.members = members, .late = groups, .sigma = 0.3, .random = Philox(2)});
    Sequential sequential(network, rate, groups);
    optim::Sgd optimizer(network, {.learning_rate = rate, .momentum = 0, .nesterov = false, .weight_decay = 0});
    LanguageModelling<Network<double>> task(text(), {.batch = batch, .pre_batch = batch, .window = window});
    std::int64_t iteration = 0;
    for (const auto& windows : task.epoch(0, members, 0)) {
      if (iteration == 8) break;
      StepOutputs<double, Cpu> outputs(members);
      for (const MemberRange range : member_chunks(members, chunk)) {
        Tape tape({.members = range});
        task.accumulate_gradient(network, tape, windows, outputs);
      }
      optimizer.step();
      const auto losses = sequential.iterate(text().train, window * iteration++);
      for (std::int64_t k = 0; k < members; ++k) {
        INFO("iteration " << iteration << ", member " << k << ", chunk " << chunk);
        // The same products in another order: eps times sums of tens of terms, passed on by eight steps. A wrong term
        // shows as 1e-3.
        CHECK_THAT(outputs.losses.data()[k], WithinAbs(losses[static_cast<std::size_t>(k)], 1e-12));
        for (const auto& [name, weight] : weights_of(network, k))
          CHECK(test::largest_difference(weight, sequential.weights(k).at(name)).beyond(1e-12) == "");
      }
    }
    CHECK(iteration == 8);
  }
}

TEST_CASE("states go on from window to window, and start at zero with every epoch") {
  Network<double> network({.hidden = 5, .layers = 1, .embedding = 3}, Philox(1));
  LanguageModelling<Network<double>> task(text(), {.batch = batch, .pre_batch = batch, .window = 50});
  const auto losses = [&] {
    std::vector<double> result;
    for (const auto& windows : task.epoch(0, 1, 0)) {
      StepOutputs<double, Cpu> outputs(1);
      Tape tape({.members = {0, 1}});
      task.accumulate_gradient(network, tape, windows, outputs);
      result.push_back(outputs.losses.data()[0]);
    }
    return result;
  };
  const auto first = losses(), second = losses();
  CHECK(first.size() == 10);
  CHECK(first == second);
  StepOutputs<double, Cpu> outputs(1);
  Tape tape({.members = {0, 1}});
  auto range = task.epoch(0, 1, 0);  // from zero states, the third window
  auto windows = range.begin();
  ++windows, ++windows;
  task.accumulate_gradient(network, tape, *windows, outputs);
  CHECK(std::abs(outputs.losses.data()[0] - first[2]) > 1e-6);
}

TEST_CASE("a text is scored as a whole, by members, their ensemble, and in bits per character") {
  const data::TextParts parts{{}, text_of_words(20000, 4), text_of_words(700, 5)};
  Network<double> network({.hidden = 4, .layers = 1, .embedding = 2}, Philox(1));
  release(network, {.members = members, .late = Group::rank_one | Group::head, .sigma = 0.5, .random = Philox(2)});
  const LanguageModelling<Network<double>> task(parts, {});
  const MemberScores found = task.evaluate_members(network);
  REQUIRE(found.members.size() == 3);
  std::size_t score = 0;
  for (const auto* bytes : {&parts.valid, &parts.test}) {  // two streams side by side, and one
    std::vector<double> bits(members, 0.0);
    double ensemble = 0;
    const std::int64_t length = std::ssize(*bytes);
    Tensor<std::int32_t, Cpu> stream({1, length, 1});
    std::copy(bytes->begin(), bytes->end(), stream.data());
    std::vector<Tensor<double, Cpu>> probabilities;  // of all bytes in one window, one member at a time
    for (std::int64_t k = 0; k < members; ++k) {
      const auto states = nn::rows(network.start(members, 1), k, 1);
      const auto logits = network.forward(Tape::evaluation({k, 1}).input(stream), states).logits.value();
      probabilities.push_back(softmax_rows(logits.reshaped({length, 256})));
    }
    const auto labels = stream.reshaped({length}).rows(1, length - 1);
    metrics::Evaluator of_ensemble;
    Tensor<double, Cpu> mean = zeros<double, Cpu>({length - 1, 256});
    for (std::size_t k = 0; k < probabilities.size(); ++k) {
      metrics::Evaluator of_member;
      of_member.add(probabilities[k].rows(0, length - 1), labels);
      CHECK(found.members[k][2 + score].first == (score == 0 ? "valid_ece" : "test_ece"));
      CHECK_THAT(found.members[k][2 + score].second, WithinAbs(of_member.result().ece, 1e-11));  // as below
      for (std::int64_t i = 0; i < mean.size(); ++i) mean.data()[i] += probabilities[k].data()[i] / members;
    }
    of_ensemble.add(mean, labels);
    CHECK_THAT(found.ensemble[2 + score].second, WithinAbs(of_ensemble.result().ece, 1e-11));
    for (std::int64_t t = 0; t + 1 < length; ++t) {
      double sum = 0;
      for (std::size_t k = 0; k < probabilities.size(); ++k) {
        const double p = probabilities[k].row(t)[stream.data()[t + 1]];
        bits[k] -= std::log2(p);
        sum += p;
      }
      ensemble -= std::log2(sum / static_cast<double>(members));
    }
    // Eps times sums of 2e4 terms at the worst. What the second stream lacks of the past is gone: this network forgets
    // half of it a byte.
    const double count = static_cast<double>(length - 1);
    for (std::size_t k = 0; k < bits.size(); ++k)
      CHECK_THAT(found.members[k][score].second, WithinAbs(bits[k] / count, 1e-11));
    CHECK_THAT(found.ensemble[score].second, WithinAbs(ensemble / count, 1e-11));
    CHECK(found.ensemble[score].first == (score == 0 ? "valid_bpc" : "test_bpc"));
    ++score;
  }
  auto plain = collapsed(network);
  CHECK(task.epoch_scores(plain).front().second == task.evaluate(plain).front().second);
  CHECK(task.evaluate_members(plain).members.front() == task.evaluate(plain));
  CHECK(task.epoch_scores(network) == Scores{found.ensemble[0], found.ensemble[2]});
}

TEST_CASE("the ensemble of several networks of text predicts the mean of their probabilities") {
  const data::TextParts parts{{}, text_of_words(20000, 4), text_of_words(700, 5)};
  const LanguageModelling<Network<double>> task(parts, {});
  Network<double> network({.hidden = 4, .layers = 1, .embedding = 2}, Philox(1));
  release(network, {.members = members, .late = Selectors::parse("all"), .sigma = 0.5, .random = Philox(2)});
  std::vector<Network<double>> networks;  // each a member
  for (std::int64_t k = 0; k < members; ++k) {
    Network<double>& plain =
        networks.emplace_back(nn::LanguageModelOptions{.hidden = 4, .layers = 1, .embedding = 2}, Philox(1));
    const auto weights = weights_of(network, k);
    nn::for_each_parameter(plain, [&](const std::string& name, auto& parameter) {
      std::copy(weights.at(name).begin(), weights.at(name).end(), parameter.value().data());
    });
  }
  const Scores expected = task.evaluate_members(network).ensemble, found = task.evaluate_networks(networks);
  for (std::size_t score = 0; score < 4; ++score)  // sums of 2e4 terms, each product of which rounds in its own order
    CHECK_THAT(found[score].second, WithinAbs(expected[score].second, 1e-11));
  networks.erase(networks.begin() + 1, networks.end());
  CHECK(task.evaluate_networks(networks) == task.evaluate(networks.front()));
}

TEST_CASE("a run on text with an average of its last weights alone is the run without one, bit for bit") {
  TrainOptions o = text_options;
  o.average = std::nullopt;
  const TemporaryFolder plain;
  REQUIRE(TextRun(o).train(plain / "run") == 0);
  for (const optim::AverageOptions& average :
       {optim::AverageOptions(optim::EmaOptions{0}), optim::AverageOptions(optim::LatestOptions{1})}) {
    o.average = average;
    o.average_plan = {.period = optim::AveragePlan::Period::steps};
    const TemporaryFolder folder;
    REQUIRE(TextRun(o).train(folder / "run") == 0);
    CHECK(file_after(folder, "model.safetensors") == file_after(plain, "model.safetensors"));
  }
}

TEST_CASE("a run on text with an average over steps and with snapshots goes on bit for bit in mid-cycle") {
  TrainOptions o = text_options;
  o.schedule = o.late_schedule = optim::parse_schedule("iterations:cosine-cycles:7", 0.01, 4);
  o.average = optim::EmaOptions{0.9, 0.7};
  o.average_plan = {.start = 1, .every = 2, .period = optim::AveragePlan::Period::steps};
  o.snapshots = 3;
  const TemporaryFolder undisturbed;
  REQUIRE(TextRun(o).train(undisturbed / "run") == 0);
  for (const int pass : {12, 24}) {
    const TemporaryFolder folder;
    TextRun run(o);
    run.task.hook = [pass](int now) {
      if (now == pass) raise(SIGINT);
    };
    REQUIRE(run.train(folder / "run") == SIGINT);
    REQUIRE(TextRun(o).train(folder / "run", true) == 0);
    for (const char* file : {"model.safetensors", "snapshots/snapshots.json", "snapshots/snapshot-21.safetensors",
                             "snapshots/snapshot-28.safetensors", "snapshots/snapshot-35.safetensors"})
      CHECK(file_after(folder, file) == file_after(undisturbed, file));
  }
  const auto summary = nlohmann::json::parse(file_after(undisturbed, "summary.json"));
  CHECK(summary["results"].back()["passes"] == 3);
  CHECK(summary["valid_bpc_snapshots"].is_number());
}

TEST_CASE("a language model is trained, released, averaged and collapsed") {
  const TemporaryFolder folder;
  TextRun run;
  REQUIRE(run.train(folder / "run") == 0);
  CHECK(nn::members(run.network) == 1);
  CHECK(run.trainer.progress().step == 4 * epoch_windows);
  const auto& history = run.trainer.progress().history;
  REQUIRE(history.size() == 4);
  CHECK(history.front().train_metric < 8.1);  // bits of a byte that could be any
  CHECK(history.back().train_metric < history.front().train_metric - 1);
  CHECK_THAT(history.back().train_metric, WithinAbs(history.back().train_loss / std::log(2), 1e-12));
  CHECK(contains(run.display.text(), "averaging: the mean of 1 weights\n"));
  const auto summary = nlohmann::json::parse(file_after(folder, "summary.json"));
  CHECK(summary["valid_bpc_members"].size() == 3);
  CHECK(summary["test_bpc_collapsed"].get<double>() == run.task.evaluate(run.network)[1].second);
  CHECK(summary["test_ece_members"].size() == 3);
  CHECK(history.back().scores.size() == 1);
  CHECK(history.back().scores.front().first == "valid_ece");
  CHECK(file_after(folder, "metrics.csv")
            .starts_with("epoch,phase,learning_rate,late_learning_rate,train_loss,train_bpc,valid_bpc,epoch_"
                         "seconds,seconds,samples_forward,"));
}

TEST_CASE("a signal in mid-epoch ends a run that goes on bit for bit, states and all") {
  const TemporaryFolder undisturbed;
  REQUIRE(TextRun().train(undisturbed / "run") == 0);
  for (int pass : {0, 4, 8, 9, 17, 18, 22, 26, 30, 35}) {  // first and last windows of epochs among them
    const TemporaryFolder folder;
    TextRun run;
    run.task.hook = [pass](int now) {
      if (now == pass) raise(SIGINT);
    };
    REQUIRE(run.train(folder / "run") == SIGINT);
    CHECK(run.trainer.progress().step == pass + 1);
    TextRun rest;
    REQUIRE(rest.train(folder / "run", true) == 0);
    CHECK(file_after(folder, "model.safetensors") == file_after(undisturbed, "model.safetensors"));
  }
}

TEST_CASE("a checkpoint without the states of its windows is refused") {
  const TemporaryFolder folder;
  TextRun run;
  run.task.hook = [](int now) {
    if (now == 4) raise(SIGINT);
  };
  REQUIRE(run.train(folder / "run") == SIGINT);
  const auto checkpoint = io::load_checkpoint(folder / "run/checkpoint.lpw");
  io::Checkpoint other{checkpoint.meta, io::NamedTensors("checkpoint")};
  for (const auto& tensor : checkpoint.tensors)
    if (tensor.name != "cell.1") other.tensors.add(tensor);
  io::save_checkpoint(folder / "run/checkpoint.lpw", other);
  TextRun rest;
  CHECK(contains(message_of<FileError>([&] { (void)rest.train(folder / "run", true); }), "has no tensor 'cell.1'"));
}

TEST_CASE("release after a step ends its epoch, and members start from states of zeros") {
  const TemporaryFolder folder;
  TrainOptions o = text_options;
  o.release_step = epoch_windows + 3;
  TextRun run(o);
  REQUIRE(run.train(folder / "run") == 0);
  CHECK(run.trainer.progress().step == epoch_windows + 3 + 2 * epoch_windows);
  std::vector<std::string> phases;
  for (const auto& record : run.trainer.progress().history) phases.push_back(record.phase);
  CHECK(phases == std::vector<std::string>{"base", "base", "late", "late+swa"});

  const TemporaryFolder interrupted;  // with the step that release comes after
  TextRun first(o);
  first.task.hook = [](int now) {
    if (now == epoch_windows + 2) raise(SIGINT);
  };
  REQUIRE(first.train(interrupted / "run") == SIGINT);
  TextRun rest(o);
  REQUIRE(rest.train(interrupted / "run", true) == 0);
  CHECK(file_after(interrupted, "model.safetensors") == file_after(folder, "model.safetensors"));
}

TEST_CASE("before release one network reads the streams it is told to") {
  LanguageModelling<Network<float>> task(text(), {.batch = 2, .pre_batch = 5, .window = 20});
  CHECK(task.describe_iteration(1) == "1 x 5 streams x 20 = 100 characters an iteration, 10 iterations an epoch");
  CHECK(task.describe_iteration(3) == "3 x 2 streams x 20 = 120 characters an iteration, 9 iterations an epoch");
  const auto before = (*task.epoch(0, 1, 0).begin()).inputs.shape();
  CHECK(before == Shape{1, 20, 5});
  const auto after = (*task.epoch(0, 3, 0).begin()).inputs.shape();
  CHECK(after == Shape{3, 20, 2});
}

TEST_CASE("a text that is too short for its streams, or to be scored, is refused before training") {
  const auto refusal = [](const data::TextParts& parts, const LanguageModellingOptions& o) {
    const LanguageModelling<Network<float>> task(parts, o);
    return message_of<OptionError>([&] { task.check(members); });
  };
  CHECK(refusal(text(), {.batch = 2, .pre_batch = 2, .window = 165}).empty());
  CHECK(contains(
      refusal(text(), {.batch = 2, .pre_batch = 2, .window = 166}),
      "training text of 1000 bytes is too short for 3 x 2 streams of at least 167 bytes, a window and the one after"));
  CHECK(contains(refusal(text(), {.batch = 2, .pre_batch = 10, .window = 100}), "1 x 10 streams"));
  const std::int64_t huge = std::numeric_limits<std::int64_t>::max();
  CHECK(contains(refusal(text(), {.batch = huge, .pre_batch = 2, .window = 10}), "3 x 9223372036854775807 streams"));
  auto parts = text();
  parts.test.resize(1);
  CHECK(contains(refusal(parts, {.batch = 2, .pre_batch = 2, .window = 10}), "the test text of 1 bytes"));
  parts.valid.clear();
  CHECK(contains(refusal(parts, {.batch = 2, .pre_batch = 2, .window = 10}), "the validation text of 0 bytes"));
}

TEST_CASE("held-out text is the training text's end, of which a pass gives each window's loss and gradient") {
  Network<double> network({.hidden = 5, .layers = 2, .embedding = 3, .dropout = 0.4}, Philox(1));
  data::TextParts parts = text();
  const LanguageModellingOptions options{.batch = batch, .pre_batch = members * batch, .window = 20};
  CHECK_FALSE(LanguageModelling<Network<double>>(parts, options).holds_out());  // validation is for reports
  data::hold_out(parts, 200);
  CHECK(parts.train == data::Text(text().train.begin(), text().train.end() - 200));
  CHECK(parts.held_out == data::Text(text().train.end() - 200, text().train.end()));
  CHECK(parts.valid == text().valid);
  for (const std::int64_t size : {-1, 1, 799})
    CHECK(message_of<OptionError>([&] { data::hold_out(parts, size); }) ==
          to_text("`held_out` ", size, ": expected 0, or from 2 to 798, two bytes fewer than the training text"));
  LanguageModelling<Network<double>> task(parts, options);
  data::TextParts as_valid = parts;
  as_valid.valid = parts.held_out;
  const auto score = task.held_out_scores(network).front();
  CHECK(task.holds_out());
  CHECK(score.metric == LanguageModelling<Network<double>>(as_valid, options).epoch_scores(network).front().second);
  CHECK(score.metric != task.epoch_scores(network).front().second);
  CHECK(score.quality == -score.metric);
  CHECK(score.samples == 199);
  // One stream, whose state is carried from window to window: the same loss, summed in another order.
  double sum = 0, samples = 0;
  task.for_each_loss(network, Samples::held_out, false, [&](Tape&, const auto& loss, std::int64_t count) {
    sum += *loss.value().data() * static_cast<double>(count), samples += static_cast<double>(count);
  });
  CHECK(samples == static_cast<double>(score.samples));
  CHECK_THAT(sum / samples, WithinAbs(score.loss, 1e-12));
  std::int64_t windows = 0;
  task.for_each_loss(network, Samples::training, true, [&](Tape& tape, const auto& loss, std::int64_t) {
    tape.backward(loss);
    ++windows;
  });
  CHECK(windows == task.iterations(1));
  double moved = 0;
  for (std::int64_t i = 0; i < network.head.weight.gradient().size(); ++i)
    moved += std::abs(network.head.weight.gradient().data()[i]);
  CHECK(moved > 0);
}

TEST_CASE("dropout samples of a language model are the mean of their probabilities, each with states of its own") {
  Network<double> network({.hidden = 5, .layers = 1, .embedding = 3, .dropout = 0.4}, Philox(1));
  const LanguageModelling<Network<double>> task(text(), {.batch = batch, .pre_batch = members * batch, .window = 20});
  const auto scores = task.evaluate_dropout(network, 3, Philox(7));
  CHECK(scores == task.evaluate_dropout(network, 3, Philox(7)));
  CHECK(scores != task.evaluate_dropout(network, 3, Philox(8)));
  CHECK(scores != task.evaluate_dropout(network, 4, Philox(7)));
  CHECK(scores[1].second != task.evaluate(network)[1].second);
  // The test text in one window, as bits() reads it: three forward passes with masks of their own.
  const std::int64_t size = std::ssize(text().test) - 1;
  Tensor<std::int32_t, Cpu> inputs({1, size, 1}), targets({size});
  for (std::int64_t i = 0; i < size; ++i) {
    inputs.data()[i] = text().test[to_size(i)];
    targets.data()[i] = text().test[to_size(i + 1)];
  }
  std::vector<double> probabilities(to_size(size), 0.0);
  for (std::int64_t s = 0; s < 3; ++s) {
    const auto after = network.forward(dropout_tape(Philox(7), s).input(inputs), network.start(1, 1));
    const auto logits = after.logits.value();
    const auto each = softmax_rows(logits.reshaped({size, logits.dim(2)}));
    for (std::int64_t i = 0; i < size; ++i) probabilities[to_size(i)] += each.row(i)[targets.data()[i]] / 3;
  }
  double bits = 0;
  for (const double p : probabilities) bits -= std::log2(p) / static_cast<double>(size);
  CHECK_THAT(scores[1].second, WithinAbs(bits, 1e-12));
}
