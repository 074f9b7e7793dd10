// What is chosen by held-out samples, what becomes of the members, and what is served.
#include <csignal>
#include <map>
#include <set>
#include <utility>

#include "catch.hpp"
#include "train/served_run.hpp"

using namespace lpw;
using namespace lpw::test;
using namespace lpw::train;

TEST_CASE("held-out images are in no minibatch, and what is scored on them is right") {
  ServedRun run(served_options);
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
  CHECK(run.task.epoch_scores(run.network).front().second == both[0].second);
  CHECK(expected.size() == 3);
  CHECK(run.task.scored_samples() == other.scored_samples() + parted().test.count);
}

TEST_CASE("what chooses by held-out samples is refused without them, by its field") {
  const auto refusal = [](const TrainOptions& o, const data::Dataset& set) {
    return message_of<OptionError>([&] { ServedRun never(o, set); });
  };
  for (const auto& [o, name] : {std::pair{ServingOptions{.best = true}, "`best`"},
                                std::pair{ServingOptions{.collapse = Averaging::greedy}, "`collapse` greedy"},
                                std::pair{ServingOptions{.patience = 2}, "`patience`"},
                                std::pair{ServingOptions{.collapse = Averaging::fitted}, "`collapse` fitted"}}) {
    CHECK(refusal(serving(o), test::dataset()) ==
          to_text(name, " chooses by samples that are not trained on, and there are none; ",
                  o.chooses() ? "leave `collapse` at affine, or before training " : "", "say how many in `held_out`"));
    CHECK(refusal(serving(o), parted()).empty());
  }
  TrainOptions plain = serving({.collapse = Averaging::greedy});
  plain.members = 1;
  CHECK(contains(refusal(plain, parted()), "`collapse` greedy: fewer than two members are released"));
  plain.serving = {.served = Served::ensemble};
  CHECK(contains(refusal(plain, parted()), "`serve` ensemble: fewer than two members are released"));
  CHECK(contains(refusal(serving({.served = Served::snapshots}), parted()), "`serve` snapshots: none are taken"));
  CHECK(contains(refusal(serving({.served = Served::dropout}), parted()), "`serve` dropout: 0 samples"));
  CHECK(contains(refusal(serving({.convex = true}), parted()), "of `collapse` fitted alone"));
  CHECK(contains(refusal(serving({.best = true, .served = Served::ensemble}), parted()),
                 "`best` leaves one plain network, and `serve` ensemble is of several others; leave `best` out"));
}

TEST_CASE("the best candidate is what is left, and a run that is interrupted finds the same one") {
  const TemporaryFolder undisturbed, plain;
  const TrainOptions o = serving({.best = true});
  // Before the last epoch's steps the head is lost: what comes then is no candidate.
  const auto lose = [](int pass, DropoutToy& network) {
    if (pass >= 28) fill(network.head.weight.value(), 0.f);
  };
  ServedRun last(served_options);
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
  CHECK(summary["best_held_out_accuracy"] == quality(run));
  CHECK(summary["results"].back()["weights"] == summary["best"]);
  CHECK(contains(run.display.text(), to_text("collapse: the network of ", summary["best"].get<std::string>())));
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

TEST_CASE("training does not stop before there is what it ends with: an average, or a snapshot") {
  const TemporaryFolder folder;
  TrainOptions o = serving({.patience = 1});
  o.epochs = 8, o.members = 1;
  std::get<optim::SgdOptions>(o.optimizer).learning_rate = 0;
  const auto trained = [&](const char* name, const TrainOptions& options) {
    ServedRun run(options);
    fill(run.network.head.weight.value(), 0.f);  // no epoch is better than the first
    REQUIRE(run.train(folder / name) == 0);
    return summary_in(folder / name)["epochs"].get<std::int64_t>();
  };
  CHECK(trained("plain", o) == 2);
  TrainOptions averaged = o;
  averaged.average = optim::SwaOptions();
  averaged.average_plan = {.start = 3, .every = 2};
  CHECK(trained("average", averaged) == 5);
  TrainOptions snapshots = o;
  snapshots.snapshots = 2;
  for (const char* cycle : {"cosine-cycles:3:0", "iterations:cosine-cycles:40:0"}) {  // of 12 iterations an epoch
    snapshots.schedule = optim::parse_schedule(cycle, 0.05, 8);
    snapshots.serving = {.served = Served::snapshots, .patience = 1};
    CHECK(trained(cycle, snapshots) == (cycle[0] == 'c' ? 4 : 5));
    snapshots.serving.served = Served::collapsed;
    CHECK(trained((std::string(cycle) + "-collapsed").c_str(), snapshots) == 2);
  }
}

TEST_CASE("training stops after epochs without a better held-out score, wherever it was interrupted") {
  const TemporaryFolder folder;
  TrainOptions o = serving({.best = true, .patience = 2});
  o.epochs = 12;
  const auto lose = [](int pass, DropoutToy& network) {  // the head from the fifth epoch on: 12 + 12 + 4 + 4 passes
    if (pass >= 32) fill(network.head.weight.value(), 0.f);
  };
  ServedRun run(o);
  run.task.hook = lose;
  REQUIRE(run.train(folder / "run") == 0);
  const auto summary = summary_in(folder / "run");
  const auto best = summary["best_epoch"].get<std::int64_t>(), last = summary["epochs"].get<std::int64_t>();
  CHECK(best <= 4);
  CHECK(last == std::max<std::int64_t>(best, 2) + 2);  // the two epochs before release do not count
  CHECK(summary["best"] == to_text("epoch ", best));
  CHECK(
      contains(run.display.text(), to_text("stopped after epoch ", last, "/12: the held-out accuracy was best after")));
  const auto again = [&](int pass) {
    const auto path = folder / to_text(pass);
    ServedRun first(o);
    first.task.hook = [&](int now, DropoutToy& network) {
      lose(now, network);
      if (now == pass) raise(SIGINT);
    };
    REQUIRE(first.train(path) == SIGINT);
    ServedRun rest(o);
    rest.task.hook = [&](int now, DropoutToy& network) { lose(now + pass + 1, network); };
    REQUIRE(rest.train(path, true) == 0);
    CHECK(summary_in(path)["epochs"] == last);
    CHECK(model_in(path) == model_in(folder / "run"));
  };
  for (const int pass : {14, 30}) again(pass);
  ServedRun evaluated(o);  // what has stopped does not go on
  REQUIRE(evaluated.train(folder / "run", true) == 0);
  CHECK(evaluated.task.pass == 0);
  CHECK(summary_in(folder / "run")["epochs"] == last);
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
    const auto best = std::max_element(qualities.begin(), qualities.end());  // the first of equals
    CHECK(summary_in(path)["best"] ==
          (*best == qualities.back() ? "the end" : to_text("epoch ", best - qualities.begin() + 1)));
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
    if (std::string(name) == "greedy") {
      CHECK(contains(run.display.text(), "were chosen by held-out samples"));
      CHECK(summary["collapse_held_out_accuracy"] == quality(run));
      const auto chosen = summary["collapse_members"].get<std::vector<std::size_t>>();
      for (const std::size_t k : chosen)
        CHECK(summary["collapse_coefficients"][k - 1] == 1.0 / static_cast<double>(chosen.size()));
    }
    if (std::string(name) == "fitted") {
      CHECK(contains(run.display.text(), "by which the held-out loss went from"));
      CHECK(summary["collapse_coefficients"].size() == 3);
      CHECK(summary["collapse_held_out_loss"] <= summary["collapse_held_out_loss_of_mean"]);
    }
    CHECK(summary.contains("collapse_coefficients") == o.chooses());
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
  CHECK(refusal(32, served_options).empty());
  CHECK(refusal(33, served_options) ==
        "`snapshots` 2: no cycle of `schedule` ends within the run's 32 iterations; take shorter ones");
  TrainOptions alone = served_options;
  alone.members = 1;
  CHECK(refusal(48, alone).empty());
  CHECK(contains(refusal(49, alone), "the run's 48 iterations"));
  TrainOptions early = served_options;
  early.release_epoch = 1, early.release_step = 10;  // ends the first epoch
  CHECK(refusal(10 + 3 * 4, early).empty());
  CHECK(contains(refusal(10 + 3 * 4 + 1, early), "the run's 22 iterations"));
}

TEST_CASE("an epoch's row has all scores of the collapsed network, and of an ensemble that is served or asked for") {
  const auto last = [](ServedRun& run, const std::filesystem::path& path) {
    REQUIRE(run.train(path) == 0);
    return run.trainer.progress().history.back().scores;
  };
  const TemporaryFolder folder;
  ServedRun plain(serving({}));
  const Scores at_end = (last(plain, folder / "plain"), plain.task.evaluate(plain.network));
  CHECK(plain.trainer.progress().history.back().scores == Scores{at_end[1], at_end[2]});  // not those held out
  ServedRun served(serving({.served = Served::ensemble}));
  const Scores found = last(served, folder / "served");
  const auto summary = summary_in(folder / "served");
  REQUIRE(found.size() == 5);  // of the test set alone
  const std::vector<std::string> names{"test_nll", "test_ece", "test_accuracy_ensemble", "test_nll_ensemble",
                                       "test_ece_ensemble"};
  for (std::size_t i = 0; i < names.size(); ++i) {
    CHECK(found[i].first == names[i]);
    CHECK(found[i].second == summary.at(i < 2 ? names[i] + "_collapsed" : names[i]).get<double>());
  }
  CHECK(served.trainer.progress().history.front().scores.size() == 2);  // before release
  TrainOptions beside = serving({});
  beside.eval_ensemble = true;
  ServedRun scored(beside);
  CHECK(last(scored, folder / "scored") == found);  // and the collapsed network is served
  CHECK(summary_in(folder / "scored")["served"] == "collapsed");
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
