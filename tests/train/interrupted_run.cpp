// Runs that a signal ends, wherever it comes, and that go on bit for bit.
#include <csignal>
#include <set>

#include "catch.hpp"
#include "train/hooked_run.hpp"

using namespace lpw;
using namespace lpw::test;
using namespace lpw::train;

TEST_CASE("a signal at any step ends a run that goes on bit for bit") {
  const TemporaryFolder undisturbed;
  REQUIRE(HookedRun().train(undisturbed / "run") == 0);
  for (int pass : {0, 5, 11, 12, 23, 24, 27, 28, 31}) {  // first and last iterations of epochs among them
    const TemporaryFolder folder;
    HookedRun run;
    run.task.hook = [pass](int now, Toy<Cpu>&) {
      if (now == pass) raise(SIGINT);
    };
    REQUIRE(run.train(folder / "run") == SIGINT);
    CHECK(run.trainer.progress().step == pass + 1);
    HookedRun rest;
    REQUIRE(rest.train(folder / "run", true) == 0);
    CHECK(rest.trainer.progress().step == 32);
    CHECK(rest.trainer.progress().seconds > run.trainer.progress().seconds);
    CHECK(model_after(folder) == model_after(undisturbed));
  }
}

TEST_CASE("a signal ends an evaluation at once, and what was trained before is not trained again") {
  const TemporaryFolder undisturbed;
  REQUIRE(HookedRun().train(undisturbed / "run") == 0);
  // Of epoch 1, of epoch 2, before release, of epochs 3 and 4, then of the members, of both collapsed networks.
  const int steps_until[] = {12, 24, 24, 28, 32, 32, 32, 32};
  for (int evaluation = 0; evaluation < std::ssize(steps_until); ++evaluation) {
    INFO("evaluation " << evaluation);
    const int steps = steps_until[evaluation];
    const TemporaryFolder folder;
    HookedRun run;
    run.task.at_evaluation = [&](int now) {
      if (now == evaluation) raise(SIGTERM);
    };
    REQUIRE(run.train(folder / "run") == SIGTERM);
    CHECK(run.task.evaluation == evaluation + 1);
    CHECK(run.trainer.progress().step == steps);
    CHECK_FALSE(std::filesystem::exists(folder / "run/summary.json"));
    HookedRun rest;
    rest.task.hook = [](int, Toy<Cpu>&) {};  // counts
    REQUIRE(rest.train(folder / "run", true) == 0);
    CHECK(rest.task.pass == 32 - steps);
    CHECK(rest.trainer.progress().seconds > run.trainer.progress().seconds);
    CHECK(rest.trainer.progress().history.size() == 4);
    CHECK(model_after(folder) == model_after(undisturbed));
  }
}

TEST_CASE("a signal before anything was trained leaves a run that can be resumed") {
  const TemporaryFolder undisturbed, folder;
  TrainOptions o = hooked_options;
  o.release_epoch = 0;
  REQUIRE(HookedRun(o).train(undisturbed / "run") == 0);
  HookedRun run(o);
  run.task.at_evaluation = [](int) { raise(SIGTERM); };
  REQUIRE(run.train(folder / "run") == SIGTERM);
  REQUIRE(HookedRun(o).train(folder / "run", true) == 0);
  CHECK(model_after(folder) == model_after(undisturbed));
}

TEST_CASE("a signal with the step before release ends a run that goes on bit for bit") {
  TrainOptions o = hooked_options;
  for (const std::int64_t step : {17, 24}) {  // within an epoch, and at its end
    o.release_step = step;
    const TemporaryFolder undisturbed, interrupted;
    REQUIRE(HookedRun(o).train(undisturbed / "run") == 0);
    HookedRun run(o);
    run.task.hook = [step](int now, Toy<Cpu>&) {
      if (now == step - 1) raise(SIGINT);
    };
    REQUIRE(run.train(interrupted / "run") == SIGINT);
    HookedRun rest(o);
    REQUIRE(rest.train(interrupted / "run", true) == 0);
    CHECK(rest.trainer.progress().history.size() == 4);
    CHECK(model_after(interrupted) == model_after(undisturbed));
  }
}

TEST_CASE("a run with Adam and clipped gradients goes on bit for bit, its step counts included") {
  TrainOptions o = hooked_options;
  o.optimizer = optim::AdamOptions{.learning_rate = 0.01, .clip = 0.5};
  const TemporaryFolder undisturbed;
  REQUIRE(HookedRun(o).train(undisturbed / "run") == 0);
  for (int pass : {7, 26}) {
    const TemporaryFolder interrupted;
    HookedRun run(o);
    run.task.hook = [pass](int now, Toy<Cpu>&) {
      if (now == pass) raise(SIGINT);
    };
    REQUIRE(run.train(interrupted / "run") == SIGINT);
    REQUIRE(HookedRun(o).train(interrupted / "run", true) == 0);
    CHECK(model_after(interrupted) == model_after(undisturbed));
  }
}

TEST_CASE("a run with additive weights goes on bit for bit, and its members in chunks are the same bits") {
  TrainOptions o = hooked_options;
  o.sigma = 0.1;
  const auto model_of = [](const TrainOptions& run_options) {
    const TemporaryFolder folder;
    REQUIRE(HookedRun(run_options).train(folder / "run") == 0);
    return model_after(folder);
  };
  for (const char* late : {"additive", "batchnorm,additive:hidden.*"}) {
    CAPTURE(late);
    o.late = Selectors::parse(late);
    o.member_chunk = 2;
    const std::string undisturbed = model_of(o);
    for (int pass : {20, 24, 29, 37}) {  // before release, its first step, within an iteration, while averaging
      const TemporaryFolder folder;
      HookedRun run(o);
      run.task.hook = [pass](int now, Toy<Cpu>&) {
        if (now == pass) raise(SIGINT);
      };
      REQUIRE(run.train(folder / "run") == SIGINT);
      HookedRun rest(o);
      REQUIRE(rest.train(folder / "run", true) == 0);
      CHECK(model_after(folder) == undisturbed);
    }
  }
  o.late = Selectors::parse("additive");
  std::set<std::string> models;
  for (const std::int64_t chunk : {0, 1, 2, 3}) {
    o.member_chunk = chunk;
    models.insert(model_of(o));
  }
  CHECK(models.size() == 1);
}
