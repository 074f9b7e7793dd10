// What is chosen by held-out samples, what becomes of the members, what is served, and what it cost.
#include <lpw/train/trainer.hpp>

#include <csignal>
#include <functional>
#include <set>
#include <utility>

#include <lpw/io/file.hpp>
#include <lpw/nn/activation.hpp>
#include <lpw/train/image_classification.hpp>
#include <lpw/train/parts/event_log.hpp>
#include <lpw/train/parts/line_search.hpp>

#include "catch.hpp"
#include "events.hpp"
#include "support.hpp"
#include "toy.hpp"

using namespace lpw;
using namespace lpw::train;
using test::Events;
using test::events_in;

namespace {

/// The toy with dropout before its head.
struct DropoutToy : test::Toy<Cpu> {
  DropoutToy() : dropout(0.3) {}
  [[nodiscard]] Variable<float, Cpu> forward(const Variable<float, Cpu>& x) {
    return head.forward(dropout.forward(hidden.forward(global_average_pool(bn.forward(x)))));
  }
  nn::Dropout<float, Cpu> dropout;
};

/// 48 training images and 12 that are held out.
const data::Dataset& parted() {
  static const data::Dataset set = [] {
    data::Dataset whole = test::dataset();
    data::hold_out(whole, 12);
    return whole;
  }();
  return set;
}

/// Calls a hook before each pass.
struct ServedTask : ImageClassification<DropoutToy> {
  explicit ServedTask(const data::Dataset& set) : ImageClassification<DropoutToy>(set, {.batch = 4}) {}
  void accumulate_gradient(DropoutToy& network, Tape& tape, const Batch& batch,
                           StepOutputs<float, Cpu>& outputs) const {
    if (hook) hook(pass++, network);
    ImageClassification<DropoutToy>::accumulate_gradient(network, tape, batch, outputs);
  }
  /// The quality of a network is its accuracy, or where `by_loss` says so, its loss, which hardly ever stays the same.
  std::vector<HeldOutScore> held_out_scores(DropoutToy& network) const {
    auto scores = ImageClassification<DropoutToy>::held_out_scores(network);
    for (HeldOutScore& score : scores) score.quality = by_loss ? -score.loss : score.quality;
    return scores;
  }
  std::function<void(int, DropoutToy&)> hook;
  bool by_loss = false;
  mutable int pass = 0;
};

// 12 and then 4 iterations an epoch
const TrainOptions options{
    .epochs = 4, .members = 3, .release_epoch = 2, .sigma = 0.3, .optimizer = optim::SgdOptions{.learning_rate = 0.05}};

TrainOptions serving(const ServingOptions& o) {
  TrainOptions result = options;
  result.serving = o;
  return result;
}

struct ServedRun {
  explicit ServedRun(const TrainOptions& o, const data::Dataset& set = parted())
      : task(set), trainer(network, task, o, {{"model", "toy"}}) {}
  int train(const std::filesystem::path& path, bool resume = false) {
    const RunFolder folder(path, resume);
    if (folder.has_checkpoint()) trainer.load(folder.checkpoint());
    return trainer.run(folder, display.get());
  }
  /// Ends the run in a pass.
  void interrupt(int pass) {
    task.hook = [pass](int now, DropoutToy&) {
      if (now == pass) raise(SIGINT);
    };
  }
  DropoutToy network;
  ServedTask task;
  RecordedDisplay display;
  Trainer<DropoutToy, ServedTask> trainer;
};

nlohmann::json summary_in(const std::filesystem::path& run) {
  return nlohmann::json::parse(text_of(io::read_file(run / "summary.json")));
}
std::string model_in(const std::filesystem::path& run) { return text_of(io::read_file(run / "model.safetensors")); }
double quality(ServedRun& run) { return run.task.held_out_scores(run.network).front().quality; }

}  // namespace

TEST_CASE("held-out images are in no minibatch, and what is scored on them is right") {
  ServedRun run(options);
  CHECK(run.task.samples(1) == 48);
  CHECK(run.task.holds_out());
  REQUIRE(run.task.held_out_scores(run.network).size() == 1);
  const auto score = run.task.held_out_scores(run.network).front();
  data::Dataset as_test = parted();
  as_test.test = std::exchange(as_test.held_out, {});
  const ImageClassification<DropoutToy> other(as_test, {});
  const auto expected = other.evaluate(run.network);
  CHECK(score.metric == expected[0].second);
  CHECK(score.quality == score.metric);
  CHECK(score.loss == expected[1].second);
  CHECK(score.samples == 12);
  const Scores both = run.task.evaluate(run.network);  // the test set's, and beside them those
  REQUIRE(both.size() == 5);
  CHECK(both[3] == std::pair<std::string, double>("valid_accuracy", expected[0].second));
  CHECK(both[4] == std::pair<std::string, double>("valid_nll", expected[1].second));
  CHECK(run.task.epoch_score(run.network) == both[0].second);
  CHECK(expected.size() == 3);
  CHECK(run.task.scored_samples() == other.scored_samples() + parted().test.count);
}

TEST_CASE("what chooses by held-out samples is refused without them, by its field") {
  const auto refusal = [](const TrainOptions& o, const data::Dataset& set) {
    return message_of<OptionError>([&] { ServedRun never(o, set); });
  };
  for (const auto& [o, name] : {std::pair{ServingOptions{.best = true}, "`best`"},
                                std::pair{ServingOptions{.collapse = Averaging::greedy}, "`collapse` greedy"},
                                std::pair{ServingOptions{.collapse = Averaging::fitted}, "`collapse` fitted"}}) {
    CHECK(refusal(serving(o), test::dataset()) ==
          to_text(name, " chooses by samples that are not trained on, and there are none; say how many in `held_out`"));
    CHECK(refusal(serving(o), parted()).empty());
  }
  TrainOptions plain = serving({.collapse = Averaging::greedy});
  plain.members = 1;
  CHECK(contains(refusal(plain, parted()), "`collapse` greedy: no members are released"));
  plain.serving = {.served = Served::ensemble};
  CHECK(contains(refusal(plain, parted()), "`serve` ensemble: no members are released"));
  CHECK(contains(refusal(serving({.served = Served::snapshots}), parted()), "`serve` snapshots: none are taken"));
  CHECK(contains(refusal(serving({.served = Served::dropout}), parted()), "`serve` dropout: 0 samples"));
  CHECK(contains(refusal(serving({.convex = true}), parted()), "of `collapse` fitted alone"));
}

TEST_CASE("the best candidate is what is left, and a run that is interrupted finds the same one") {
  const TemporaryFolder undisturbed, plain;
  const TrainOptions o = serving({.best = true});
  // Before the last epoch's steps the head is lost: what comes then is no candidate.
  const auto lose = [](int pass, DropoutToy& network) {
    if (pass >= 28) fill(network.head.weight.value(), 0.f);
  };
  ServedRun last(options);
  last.task.hook = lose;
  REQUIRE(last.train(plain / "run") == 0);
  ServedRun run(o);
  run.task.hook = lose;
  REQUIRE(run.train(undisturbed / "run") == 0);
  CHECK(quality(run) > quality(last));
  const auto summary = summary_in(undisturbed / "run");
  CHECK(contains(summary["best"].get<std::string>(), "epoch "));
  CHECK(summary["best"] != "epoch 4");
  CHECK(summary["test_accuracy_collapsed"] == run.task.evaluate(run.network).front().second);
  for (int pass : {5, 12, 24, 30}) {
    CAPTURE(pass);
    const TemporaryFolder folder;
    ServedRun first(o);
    first.task.hook = [&](int now, DropoutToy& network) {
      lose(now, network);
      if (now == pass) raise(SIGINT);
    };
    REQUIRE(first.train(folder / "run") == SIGINT);
    ServedRun rest(o);
    rest.task.hook = [&](int now, DropoutToy& network) { lose(now + pass + 1, network); };
    REQUIRE(rest.train(folder / "run", true) == 0);
    CHECK(summary_in(folder / "run")["best"] == summary["best"]);
    CHECK(model_in(folder / "run") == model_in(undisturbed / "run"));
  }
}

namespace {

/// What the network after each epoch scores on held-out samples, collapsed.
struct RecordedQualities final : Part<DropoutToy, ServedTask> {
  explicit RecordedQualities(std::vector<double>& all) : qualities(all) {}
  void score_epoch(Run& run) override {
    auto plain = collapsed(run.network);
    qualities.push_back(run.task.held_out_scores(plain).front().quality);
  }
  std::vector<double>& qualities;
};

}  // namespace

TEST_CASE("the best of the candidates is the best by what each epoch's network scores") {
  const TemporaryFolder folder;
  std::set<std::string> found;
  for (const double rate : {0.02, 0.05, 0.2, 0.5}) {  // of which some learn no more after the first epochs
    std::vector<double> qualities;
    TrainOptions o = serving({.best = true});
    o.optimizer = optim::SgdOptions{.learning_rate = rate};
    ServedRun run(o);
    run.task.by_loss = true;
    run.trainer.add(std::make_unique<RecordedQualities>(qualities));
    const auto path = folder / to_text(rate);
    REQUIRE(run.train(path) == 0);
    REQUIRE(qualities.size() == 4);
    const auto best = std::max_element(qualities.begin(), qualities.end());  // the first of equals; the end is the last
    CHECK(summary_in(path)["best"] == to_text("epoch ", best - qualities.begin() + 1));
    CHECK(quality(run) == *best);
    found.insert(summary_in(path)["best"]);
  }
  CHECK(found.size() > 1);
}

TEST_CASE("members are collapsed by the kind that is asked for, and the network that is saved is scored") {
  const TemporaryFolder folder;
  std::map<std::string, std::string> models;
  for (const auto& [name, o] : {std::pair{"affine", ServingOptions{}},
                                std::pair{"parameters", ServingOptions{.collapse = Averaging::parameters}},
                                std::pair{"greedy", ServingOptions{.collapse = Averaging::greedy}},
                                std::pair{"fitted", ServingOptions{.collapse = Averaging::fitted}},
                                std::pair{"convex", ServingOptions{.collapse = Averaging::fitted, .convex = true}}}) {
    CAPTURE(name);
    ServedRun run(serving(o));
    REQUIRE(run.train(folder / name) == 0);
    const auto summary = summary_in(folder / name);
    DropoutToy saved;
    io::load_safetensors(folder / name / "model.safetensors", saved);
    CHECK(run.task.evaluate(saved).front().second == summary["test_accuracy_collapsed"]);
    models[name] = model_in(folder / name);
    if (std::string(name) == "parameters")
      CHECK(summary["test_nll_collapsed"] == summary["test_nll_collapsed_parameters"]);
    if (std::string(name) == "greedy") CHECK(contains(run.display.text(), "were chosen by held-out samples"));
    if (std::string(name) == "fitted") CHECK(contains(run.display.text(), "by which the held-out loss went from"));
    // A run that was interrupted makes the same choice.
    ServedRun first(serving(o));
    first.interrupt(27);
    REQUIRE(first.train(folder / (name + std::string("-again"))) == SIGINT);
    ServedRun rest(serving(o));
    REQUIRE(rest.train(folder / (name + std::string("-again")), true) == 0);
    CHECK(model_in(folder / (name + std::string("-again"))) == models[name]);
  }
  for (const auto& [name, model] : models)
    for (const auto& [other, its] : models)
      if (name < other && !(name == "convex" && other == "fitted")) CHECK(model != its);
}

TEST_CASE("dropout samples and the ensemble can be what is served, and stand in the summary") {
  const TemporaryFolder folder;
  ServedRun run(serving({.served = Served::dropout, .dropout_samples = 5}));
  REQUIRE(run.train(folder / "dropout") == 0);
  const auto summary = summary_in(folder / "dropout");
  CHECK(summary["served"] == "dropout_5");
  CHECK(summary["passes_served"] == 5);
  const auto scores = run.task.evaluate_dropout(run.network, 5, Philox(0, Stream::dropout_sample));
  CHECK(summary["test_nll_served"] == scores[1].second);
  CHECK(scores[1].second != run.task.evaluate(run.network)[1].second);
  CHECK(run.task.evaluate_dropout(run.network, 5, Philox(1, Stream::dropout_sample)) != scores);
  CHECK(contains(run.display.text(), "  5 dropout samples "));
  run.network.dropout.rate = 0;  // all samples are alike then, and their mean of five rounds by 1e-16
  CHECK(std::abs(run.task.evaluate_dropout(run.network, 5, Philox(0))[1].second -
                 run.task.evaluate(run.network)[1].second) <= 1e-14);

  ServedRun together(serving({.served = Served::ensemble}));
  REQUIRE(together.train(folder / "ensemble") == 0);
  const auto of_ensemble = summary_in(folder / "ensemble");
  CHECK(of_ensemble["served"] == "ensemble");
  CHECK(of_ensemble["passes_served"] == 3);
  CHECK(of_ensemble["test_accuracy_served"] == of_ensemble["test_accuracy_ensemble"]);
}

namespace {

/// Snapshots of cycles of eight of the 32 steps.
TrainOptions with_snapshots(const ServingOptions& o, std::int64_t count) {
  TrainOptions result = serving(o);
  result.schedule = optim::parse_schedule("iterations:cosine-cycles:8", 0.05, 4);
  result.snapshots = count;
  return result;
}

}  // namespace

TEST_CASE("snapshots can be what is served, with what they cost, and where there are none that is an error") {
  const TemporaryFolder folder;
  const TrainOptions o = with_snapshots({.served = Served::snapshots}, 3);
  ServedRun run(o);
  REQUIRE(run.train(folder / "run") == 0);
  const auto summary = summary_in(folder / "run");
  CHECK(summary["served"] == "snapshots");
  CHECK(summary["passes_served"] == 3);
  CHECK(summary["parameters_served"] == 3 * (32 + 42));
  CHECK(summary["milliseconds_per_sample_served"] > 0);
  CHECK(summary["test_nll_served"] == summary["test_nll_snapshots"]);
  for (const auto& row : summary["results"]) {
    CAPTURE(row["name"].get<std::string>());
    CHECK(row["milliseconds_per_sample"] > 0);
  }

  TrainOptions rare = o;
  rare.schedule = optim::parse_schedule("iterations:cosine-cycles:20", 0.05, 4);
  ServedRun first(rare);
  first.interrupt(25);
  REQUIRE(first.train(folder / "lost") == SIGINT);
  std::filesystem::remove_all(folder / "lost/snapshots");
  ServedRun rest(rare);
  CHECK(message_of<FileError>([&] { (void)rest.train(folder / "lost", true); }) ==
        to_text((folder / "lost/snapshots").string(),
                ": there are no snapshots of this run, whose ensemble is to be served; expected those of the ends of "
                "its schedule's cycles, beside the checkpoint; mend that and continue with `resume`"));
}

TEST_CASE("snapshots of a schedule in iterations whose first cycle ends after the run are refused") {
  const auto refusal = [](std::int64_t length, const TrainOptions& of) {
    TrainOptions o = of;
    o.snapshots = 2;
    o.schedule = optim::parse_schedule(to_text("iterations:cosine-cycles:", length), 0.05, 4);
    return message_of<OptionError>([&] { ServedRun never(o); });
  };
  CHECK(refusal(32, options).empty());
  CHECK(refusal(33, options) ==
        "`snapshots` 2: no cycle of `schedule` ends within the run's 32 iterations; take shorter ones");
  TrainOptions alone = options;
  alone.members = 1;
  CHECK(refusal(48, alone).empty());
  CHECK(contains(refusal(49, alone), "the run's 48 iterations"));
  TrainOptions early = options;
  early.release_epoch = 1, early.release_step = 10;  // ends the first epoch
  CHECK(refusal(10 + 3 * 4, early).empty());
  CHECK(contains(refusal(10 + 3 * 4 + 1, early), "the run's 22 iterations"));
}

TEST_CASE("snapshots and what each epoch scores are of the kind of collapse that is asked for") {
  const TemporaryFolder folder;
  std::vector<Scores> found;
  for (const Averaging kind : {Averaging::affine, Averaging::parameters}) {
    const auto path = folder / to_text(static_cast<int>(kind));
    ServedRun run(with_snapshots({.collapse = kind}, 1));
    REQUIRE(run.train(path) == 0);
    const Scores at_end = run.task.evaluate(run.network);
    DropoutToy snapshot;
    io::load_safetensors(path / "snapshots/snapshot-32.safetensors", snapshot);
    CHECK(run.task.evaluate(snapshot) == at_end);
    CHECK(run.trainer.progress().history.back().test_metric == at_end.front().second);
    found.push_back(at_end);
  }
  CHECK(found[0] != found[1]);
}

TEST_CASE("the cost account counts samples, parameters, memory and time, over interruptions too") {
  const TemporaryFolder folder;
  ServedRun run(options);
  REQUIRE(run.train(folder / "run") == 0);
  const auto summary = summary_in(folder / "run");
  CHECK(summary["samples_forward"] == 4 * 48);
  CHECK(summary["samples_backward"] == 4 * 48);
  CHECK(summary["peak_memory_mb"] > 1);
  // Shared: hidden, 3 x 8 + 8. Of each member: 2 x 3 of the batch norm, 8 x 4 + 4 of the head.
  CHECK(summary["parameters_trained"] == 32 + 3 * 42);
  CHECK(summary["parameters_served"] == 32 + 42);
  CHECK(summary["milliseconds_per_sample_served"] > 0);
  for (const auto& row : summary["results"])
    if (row["name"] != "before_release") CHECK(row["milliseconds_per_sample"] > 0);
  CHECK(contains(run.display.text(), "training: 192 samples forward, 192 backward, "));
  CHECK(contains(run.display.text(), "collapsed (served): 74 parameters, 1 pass, "));
  CHECK(run.trainer.progress().history[1].work.backward == 2 * 48);

  TrainOptions twice = options;
  twice.sam.rho = 0.05;
  twice.sam_start = 3;  // two passes a step in the last epoch
  ServedRun sharp(twice);
  REQUIRE(sharp.train(folder / "sam") == 0);
  CHECK(summary_in(folder / "sam")["samples_forward"] == 5 * 48);
  CHECK(summary_in(folder / "sam")["samples_backward"] == 5 * 48);

  TrainOptions fresh = options;
  fresh.average_plan = {.start = 2};
  fresh.average = optim::SwaOptions();
  TrainOptions exponential = fresh, elastic = options;
  exponential.average = optim::EmaOptions{.decay = 0.9};
  elastic.coupling = Elastic{};
  for (const auto& [name, o] : {std::pair{"swa", fresh}, {"ema", exponential}, {"elastic", elastic}}) {
    CAPTURE(name);
    ServedRun statistics(o);  // of other weights than the last, gathered in one more pass
    REQUIRE(statistics.train(folder / name) == 0);
    CHECK(summary_in(folder / name)["samples_forward"] == 5 * 48);
    CHECK(summary_in(folder / name)["samples_backward"] == 4 * 48);
  }

  ServedRun chosen(serving({.collapse = Averaging::greedy, .best = true}));
  REQUIRE(chosen.train(folder / "greedy") == 0);
  const std::int64_t forward = summary_in(folder / "greedy")["samples_forward"];
  // Scored on 12: four epochs, three members, three averages, the end; statistics of the averages, and of the chosen.
  CHECK(forward == 4 * 48 + 4 * 12 + 3 * 12 + 3 * (12 + 48) + 48 + 12);
  CHECK(summary_in(folder / "greedy")["samples_backward"] == 4 * 48);

  ServedRun first(serving({.collapse = Averaging::greedy, .best = true}));
  first.interrupt(13);
  REQUIRE(first.train(folder / "again") == SIGINT);
  ServedRun rest(serving({.collapse = Averaging::greedy, .best = true}));
  REQUIRE(rest.train(folder / "again", true) == 0);
  CHECK(summary_in(folder / "again")["samples_forward"] == forward);
}

TEST_CASE("a checkpoint of before the account begins it at nothing") {
  const TemporaryFolder folder;
  ServedRun first(options);
  first.interrupt(15);
  REQUIRE(first.train(folder / "run") == SIGINT);
  auto checkpoint = io::load_checkpoint(folder / "run/checkpoint.lpw");
  checkpoint.meta["progress"].erase("work");
  for (auto& row : checkpoint.meta["progress"]["history"]) row.erase("work");
  io::save_checkpoint(folder / "run/checkpoint.lpw", checkpoint);
  ServedRun rest(options);
  REQUIRE(rest.train(folder / "run", true) == 0);
  CHECK(summary_in(folder / "run")["samples_backward"] == 4 * 48 - 16 * 4);
}

TEST_CASE("a line search writes the losses between members, which its ends share with them") {
  const TemporaryFolder folder;
  const TrainOptions o = options;
  ServedRun run(o);
  std::filesystem::create_directories(folder / "run");
  run.trainer.add(std::make_unique<LineSearch<DropoutToy, ServedTask>>(folder / "run", 5));
  REQUIRE(run.train(folder / "run") == 0);
  std::istringstream lines(text_of(io::read_file(folder / "run/line_search.csv")));
  std::vector<std::vector<std::string>> rows;
  for (std::string line; std::getline(lines, line);) {
    std::vector<std::string> cells;
    for (const auto cell : split_text(line, ',')) cells.emplace_back(cell);
    rows.push_back(cells);
  }
  CHECK(summary_in(folder / "run")["samples_forward"] == 4 * 48);  // a diagnostic is no cost of the method
  REQUIRE(rows.size() == 11);
  CHECK(rows[0] == std::vector<std::string>{"line", "t", "train_loss", "held_out_loss", "held_out_accuracy"});
  CHECK(rows[3][1] == "0.5");
  for (std::size_t c = 2; c < 5; ++c) CHECK(rows[1][c] == rows[6][c]);  // both begin with the first member
  CHECK(rows[5] != rows[10]);
  const auto svg = text_of(io::read_file(folder / "run/line_search.svg"));
  CHECK(contains(svg, "member 1 to the mean, held-out"));
  CHECK(contains(svg, "</svg>"));
  CHECK(!contains(svg, "nan"));
  // The mean: the collapse by parameters, with statistics of all samples.
  ServedRun mean(serving({.collapse = Averaging::parameters}));
  REQUIRE(mean.train(folder / "mean") == 0);
  double samples = 0;
  mean.task.for_each_loss(mean.network, Samples::training, false,
                          [&](Tape&, const auto&, std::int64_t count) { samples += static_cast<double>(count); });
  CHECK(samples == 48);
  CHECK(std::abs(mean.task.held_out_scores(mean.network).front().loss - std::stod(rows[10][3])) <= 1e-5);
  const auto refusal = [&](const TrainOptions& of, const ServedTask& task, std::int64_t points) {
    return message_of<OptionError>([&] { LineSearch<DropoutToy, ServedTask>::require_possible(task, of, points); });
  };
  TrainOptions plain = options;
  plain.members = 1;
  CHECK(refusal(options, run.task, 5).empty());
  CHECK(refusal(options, run.task, 1) == "`line_search` 1: expected 0 or at least 2 points");
  CHECK(contains(refusal(plain, run.task, 5), "`line_search`: no members are released"));
  CHECK(contains(refusal(options, ServedTask(test::dataset()), 5), "`line_search` needs samples that are not trained"));
}

TEST_CASE("a line search is between the members of the last step, whatever takes their place") {
  const TemporaryFolder folder;
  const auto lines_of = [&](const char* name, const TrainOptions& o) {
    ServedRun run(o);
    std::filesystem::create_directories(folder / name);
    run.trainer.add(std::make_unique<LineSearch<DropoutToy, ServedTask>>(folder / name, 2));
    REQUIRE(run.train(folder / name) == 0);
    return text_of(io::read_file(folder / name / "line_search.csv"));
  };
  TrainOptions averaged = options, elastic = options, centre = options;
  averaged.average = optim::SwaOptions();
  CHECK(lines_of("averaged", averaged) == lines_of("plain", options));
  elastic.coupling = centre.coupling = Elastic{};
  elastic.elastic_served = ElasticServed::members;
  const std::string text = lines_of("centre", centre);
  CHECK(text == lines_of("elastic", elastic));
  const auto lines = split_text(text, '\n');
  REQUIRE(lines.size() >= 3);
  CHECK(lines[1].substr(lines[1].find(",0,") + 3) != lines[2].substr(lines[2].find(",1,") + 3));
}

namespace {

struct LoggedRun : ServedRun {
  LoggedRun(const TrainOptions& o, const std::filesystem::path& folder) : ServedRun(o) {
    std::filesystem::create_directories(folder);
    trainer.add(std::make_unique<EventLog<DropoutToy, ServedTask>>(folder));
  }
};

}  // namespace

TEST_CASE("events hold each step's loss and each epoch's row, and a run that goes on takes back what it repeats") {
  const TemporaryFolder folder;
  LoggedRun whole(options, folder / "whole");
  REQUIRE(whole.train(folder / "whole") == 0);
  const Events expected = events_in(folder / "whole");
  CHECK(expected.restarts.empty());
  REQUIRE(expected.scalars.at("step/loss").size() == 32);
  CHECK(expected.scalars.at("step/loss").begin()->first == 1);
  CHECK(expected.scalars.at("step/late_learning_rate").size() == 8);
  const auto& history = whole.trainer.progress().history;
  const auto& losses = expected.scalars.at("epoch/train_loss");
  REQUIRE(losses.size() == 4);
  for (const auto& [step, epoch] : {std::pair{12, 0}, {24, 1}, {28, 2}, {32, 3}}) {
    CHECK(losses.at(step) == static_cast<float>(history[to_size(epoch)].train_loss));
    CHECK(expected.scalars.at("epoch/test_accuracy").at(step) ==
          static_cast<float>(*history[to_size(epoch)].test_metric));
  }
  double mean = 0;
  for (std::int64_t step = 1; step <= 12; ++step)
    mean += static_cast<double>(expected.scalars.at("step/loss").at(step));
  CHECK(std::abs(mean / 12 - history[0].train_loss) <= 1e-6);  // twelve losses as floats

  for (int pass : {4, 11, 25}) {
    CAPTURE(pass);
    const auto run = folder / to_text("run-", pass);
    LoggedRun first(options, run);
    first.interrupt(pass);
    REQUIRE(first.train(run) == SIGINT);
    LoggedRun rest(options, run);
    REQUIRE(rest.train(run, true) == 0);
    const Events found = events_in(run);
    CHECK(found.restarts == std::vector<std::int64_t>{pass + 2});
    for (const char* tag : {"step/loss", "step/learning_rate", "step/late_learning_rate", "epoch/train_loss",
                            "epoch/train_accuracy", "epoch/test_accuracy", "epoch/samples_backward"})
      CHECK(found.scalars.at(tag) == expected.scalars.at(tag));
  }
}
