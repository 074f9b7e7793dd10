#include <cmath>
#include <sstream>

#include <lpw/optim/schedule.hpp>
#include <lpw/train/report.hpp>
#include <lpw/train/state.hpp>

#include "catch.hpp"
#include "support.hpp"
#include "support/foreign_locale.hpp"
#include "support/fuzz.hpp"

using lpw::FileError;
using namespace lpw::train;
using lpw::test::Fuzz, lpw::test::fuzz_inputs;

TEST_CASE("metrics are a CSV with a header and a line for each epoch") {
  CHECK(format_csv({}, {"accuracy", "test", "samples"}) ==
        "epoch,phase,learning_rate,late_learning_rate,train_loss,train_accuracy,test_accuracy,epoch_seconds,seconds,"
        "samples_forward,samples_backward,peak_memory_mb,parameters_trained,parameters_served,coefficient_learning_"
        "rate\n");
  const EpochRecord first{1, "base", 0.1, 0.05, 2.302585093, 0.125, 0.1, 12.3456},
      second{2, "late+swa", 1e-5, 0, 1e-12, 1, 0.5, 0, {12000, 6000, 123.44}, 90, 30, 3e-3};
  const EpochRecord unscored{3, "late", 0.1, 0, 0.5, 1, std::nullopt, 1};
  CHECK(format_csv({first, second, unscored}, {"bpc", "valid", "characters"}) ==
        "epoch,phase,learning_rate,late_learning_rate,train_loss,train_bpc,valid_bpc,epoch_seconds,seconds,"
        "samples_forward,samples_backward,peak_memory_mb,parameters_trained,parameters_served,"
        "coefficient_learning_rate\n"
        "1,base,0.1,0.05,2.30258509,0.125,0.1,12.346,12.346,0,0,0.0,,,\n"
        "2,late+swa,1e-05,0,1e-12,1,0.5,0.000,12.346,12000,6000,123.4,90,30,0.003\n"
        "3,late,0.1,0,0.5,1,,1.000,13.346,0,0,0.0,,,\n");
}

TEST_CASE("metrics have further scores, by their names, from the first epoch on that has them") {
  std::vector<EpochRecord> history(4);
  history[1].scores = {{"test_nll", 0.25}, {"test_ece", 0.5}};
  history[3].scores = {{"test_nll", 1.0 / 3}, {"test_nll_ensemble", 0.125}};
  const std::string csv = format_csv(history, {"accuracy", "test", "samples"});
  CHECK(contains(csv, ",coefficient_learning_rate,test_nll,test_ece,test_nll_ensemble\n"));
  std::vector<std::string> ends;
  for (std::istringstream lines(csv); std::getline(lines, ends.emplace_back());) {
    const std::string line = ends.back();
    ends.back() = line.substr(line.find(",0.0,,,") == line.npos ? line.size() : line.find(",0.0,,,") + 7);
  }
  CHECK(ends == std::vector<std::string>{"", ",,,", ",0.25,0.5,", ",,,", ",0.333333333,,0.125", ""});
}

TEST_CASE("numbers are written and read alike in every locale") {
  const auto text = [] {
    const Words words{"accuracy", "test", "samples"};
    const EpochRecord record{1234, "base", 0.1, 1e-5, 2.5, 0.125, 0.1, 12345.6789};
    const Scores nll{{"test_nll", 1234.5678}};
    Results scores;
    for (const char* name : {"member_1", "member_2", "ensemble", "collapsed_parameters", "collapsed"})
      scores.push_back({name, nll});
    Pace pace;
    pace.start_epoch();
    pace.trained(1234567, 1);
    const Progress progress{.epoch = 1233, .iteration = 1000, .sums = {1234.5, 1000, 2000}};
    return lpw::to_text(
        format_csv({record}, words), format_table(scores), to_json(scores).dump(), nlohmann::json(progress).dump(),
        epoch_line(record, 2000, words, pace, "0:10"), progress_line(progress, 2000, 1500, words, 0.5, pace, "0:10"),
        message_of<lpw::OptionError>([] { (void)lpw::optim::parse_schedule("steps:1.5,x:0.5", 0.1, 1000); }),
        message_of<lpw::Error>([] {
          lpw::fail("found ", 1234567, " and ", 0.5, " in ", lpw::Shape{1234, 5678});
        }),
        lpw::optim::factor(lpw::optim::parse_schedule("steps:1.5,2.5:0.25", 0.1, 10), 2));
  };
  const std::string plain = text();
  CHECK(contains(plain, "1234,base,0.1,1e-05,2.5,0.125,0.1,12345.679,12345.679,0,0,0.0,,,\n"));
  const lpw::test::ForeignLocale locale;
  CHECK(std::locale().name() != "C");
  CHECK(text() == plain);
}

TEST_CASE("no time, rate, loss or score in a checkpoint is taken beyond what a run can have") {
  Progress progress{.epoch_seconds = 0.5, .seconds = 1e9, .sums = {-1e3, 10, 20}};
  progress.before_release = {{"test_accuracy", 0.5}, {"test_nll", 3e38}};
  progress.history = {{1, "base", 0.1, 0, 0.5, 1, std::nullopt, 1}, {2, "late", 1e12, 0.1, 0.5, 1, 0.5, 1e9}};
  CHECK(measures_are_possible(progress));
  const auto taken = [&](auto change) {
    Progress changed = progress;
    change(changed);
    return measures_are_possible(changed);
  };
  for (const double value : {1e308, -1e308, std::nan("")}) {
    CAPTURE(value);
    for (double EpochRecord::*of :
         {&EpochRecord::seconds, &EpochRecord::learning_rate, &EpochRecord::train_loss, &EpochRecord::train_metric})
      CHECK_FALSE(taken([&](Progress& p) { p.history[1].*of = value; }));
    for (double Progress::*of : {&Progress::seconds, &Progress::epoch_seconds})
      CHECK_FALSE(taken([&](Progress& p) { p.*of = value; }));
    CHECK_FALSE(taken([&](Progress& p) { p.history[1].test_metric = value; }));
    CHECK_FALSE(taken([&](Progress& p) { p.history[1].late_learning_rate = value; }));
    CHECK_FALSE(taken([&](Progress& p) { p.history[1].coefficient_learning_rate = value; }));
    CHECK_FALSE(taken([&](Progress& p) { p.history[1].scores = {{"test_nll", value}}; }));
    CHECK_FALSE(taken([&](Progress& p) { p.sums.loss = value; }));
    CHECK_FALSE(taken([&](Progress& p) { p.best_epoch.quality = value; }));
    CHECK_FALSE(taken([&](Progress& p) { p.work.peak_memory = value; }));
    CHECK_FALSE(taken([&](Progress& p) { p.history[0].work.peak_memory = value; }));
    CHECK_FALSE(taken([&](Progress& p) { p.before_release[1].second = value; }));
  }
  CHECK_FALSE(taken([](Progress& p) { p.history[0].seconds = -1; }));
  CHECK_FALSE(taken([](Progress& p) { p.before_release.resize(100'000); }));
  CHECK_FALSE(taken([](Progress& p) { p.history[0].scores.resize(100'000); }));
  CHECK_FALSE(taken([](Progress& p) { p.history[0].scores = {{"test,nll", 0.5}}; }));
  CHECK(taken([](Progress& p) { p.history[0].scores = {{"test_nll_ensemble", 0.5}}; }));
}

TEST_CASE("progress comes back from JSON text bit for bit") {
  Progress progress{.epoch = 3, .iteration = 7, .step = 40, .released = true};
  progress.sums = {1.0 / 3, 11, 25}, progress.seconds = 1e9 / 7, progress.base_steps = 40, progress.late_steps = 9;
  progress.missed_steps = {{"fc.weight", 7}};
  progress.before_release = {{"accuracy", 0.1 + 0.2}};
  progress.best_epoch = {.epoch = 2, .quality = 1.0 / 3};
  progress.history = {{1, "base", 0.1, 0.1, 2.0 / 3, 0.5, 0.25, 1.5},
                      {2, "base", 0.1, 0.1, 0.5, 0.5, std::nullopt, 1.5, {}, 90, 30}};
  progress.history[0].scores = {{"test_nll", 0.1 + 0.2}};
  const auto back = nlohmann::json::parse(nlohmann::json(progress).dump()).get<Progress>();
  CHECK(nlohmann::json(back) == nlohmann::json(progress));
  CHECK(back.sums.loss == progress.sums.loss);
  CHECK(back.missed_steps == progress.missed_steps);
  CHECK((back.best_epoch.epoch == 2 && back.best_epoch.quality == 1.0 / 3));
  CHECK(back.history.front().train_loss == 2.0 / 3);
  CHECK(back.history[0].test_metric == 0.25);
  CHECK(back.history[1].test_metric == std::nullopt);
  CHECK(back.history[0].scores == progress.history[0].scores);
  CHECK(back.history[1].scores.empty());
}

TEST_CASE("fuzz: the progress of a checkpoint") {
  constexpr std::string_view tokens[] = {"null", "true", "{}", "[]", "\"epoch\":", "\"test_nll\":", "[[1,2]]", "1.5"};
  Progress whole{.epoch = 3, .iteration = 7, .step = 70, .sums = {1.5, 10, 20}};
  whole.history = {{1, "base", 0.1, 1e-5, 2.5, 0.125, 0.1, 12.5}, {2, "late", 0.1, 1e-5, 1.5, 0.5, std::nullopt, 3}};
  whole.history[1].scores = {{"test_nll", 0.25}};
  whole.missed_steps = {{"fc.weight", 7}};
  const std::string text = nlohmann::json(whole).dump();
  Fuzz random(3);
  int taken = 0, refused = 0;
  for (std::int64_t left = fuzz_inputs(2000); left > 0; --left) {
    const auto json = nlohmann::json::parse(random.damaged(text, tokens), nullptr, false);
    try {
      if (!counts_are_whole(json)) continue;
      const auto progress = json.get<Progress>();
      if (!measures_are_possible(progress)) continue;
      ++taken;
      CHECK(std::isfinite(progress.seconds));
      CHECK(!format_csv(progress.history, {"accuracy", "test", "samples"}).empty());
    } catch (const nlohmann::json::exception&) {  // which is what a resumed run makes a FileError of
      ++refused;
    }
  }
  CHECK(taken > 0);
  CHECK(refused > 0);
}

TEST_CASE("a checkpoint of other options is refused by the names of all that differ") {
  const nlohmann::json saved{{"epochs", 4}, {"lr", 0.1}, {"model", "wrn-10-1"}, {"gone", 1}};
  CHECK_NOTHROW(require_same_options(saved, saved, "c.lpw"));
  nlohmann::json present = saved;
  present["lr"] = 0.2, present["model"] = "wrn-16-1", present["new"] = true;
  present.erase("gone");
  CHECK(message_of<FileError>([&] { require_same_options(saved, present, "c.lpw"); }) ==
        "c.lpw: belongs to a run with other options: gone was 1, now not set; lr was 0.1, now 0.2; model was "
        "\"wrn-10-1\", now "
        "\"wrn-16-1\"; new was not set, now true; resume with those, or start another run, with another `path`");
  // What can be had of the checkpoint as it is.
  present = saved;
  present["serve"] = "ensemble";
  CHECK(message_of<FileError>([&] { require_same_options(saved, present, "c.lpw"); }) ==
        "c.lpw: belongs to a run with other options: serve was not set, now \"ensemble\"; to choose that anew, "
        "evaluate the checkpoint, with `eval`; to train on, resume with those");
}

TEST_CASE("a checkpoint of before options that came later goes on with what it was trained with") {
  const nlohmann::json saved{{"images", "a"}};
  nlohmann::json present{{"images", "a"}, {"classes", "[]"}, {"resize", 256}};
  CHECK_NOTHROW(require_same_options(saved, present, "c.lpw"));
  present["resize"] = 18;
  CHECK(contains(message_of<FileError>([&] { require_same_options(saved, present, "c.lpw"); }),
                 "other options: resize was 256, now 18; "));
}

TEST_CASE("a run may go on for more epochs, not for fewer") {
  const nlohmann::json saved{{"epochs", 4}, {"lr", 0.1}};
  nlohmann::json present = saved;
  present["epochs"] = 5;
  CHECK_NOTHROW(require_same_options(saved, present, "c.lpw"));
  present["lr"] = 0.2;
  CHECK(contains(message_of<FileError>([&] { require_same_options(saved, present, "c.lpw"); }),
                 "options: lr was 0.1, now 0.2; resume"));
  present = saved;
  for (const nlohmann::json& epochs : {nlohmann::json(3), nlohmann::json("5"), nlohmann::json()}) {
    present["epochs"] = epochs;
    CHECK(contains(message_of<FileError>([&] { require_same_options(saved, present, "c.lpw"); }),
                   "epochs was 4, now " + epochs.dump()));
  }
}
