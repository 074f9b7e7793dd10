// What TensorBoard is to read of a run.
#include <lpw/train/parts/event_log.hpp>

#include <csignal>

#include "catch.hpp"
#include "events.hpp"
#include "train/served_run.hpp"

using namespace lpw;
using namespace lpw::test;
using namespace lpw::train;

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
  LoggedRun whole(served_options, folder / "whole");
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
    CHECK(expected.scalars.at("epoch/test_nll").at(step) ==
          static_cast<float>(history[to_size(epoch)].scores.front().second));
  }
  double mean = 0;
  for (std::int64_t step = 1; step <= 12; ++step)
    mean += static_cast<double>(expected.scalars.at("step/loss").at(step));
  CHECK(std::abs(mean / 12 - history[0].train_loss) <= 1e-6);  // twelve losses as floats

  for (int pass : {4, 11, 25}) {
    CAPTURE(pass);
    const auto run = folder / to_text("run-", pass);
    LoggedRun first(served_options, run);
    first.interrupt(pass);
    REQUIRE(first.train(run) == SIGINT);
    LoggedRun rest(served_options, run);
    REQUIRE(rest.train(run, true) == 0);
    const Events found = events_in(run);
    CHECK(found.restarts == std::vector<std::int64_t>{pass + 2});
    for (const char* tag : {"step/loss", "step/learning_rate", "step/late_learning_rate", "epoch/train_loss",
                            "epoch/train_accuracy", "epoch/test_accuracy", "epoch/samples_backward"})
      CHECK(found.scalars.at(tag) == expected.scalars.at(tag));
  }
}

TEST_CASE("events hold the late-phase rate of one released member too") {
  const TemporaryFolder folder;
  TrainOptions options = served_options;
  options.members = 1, options.release_one = true, options.epochs = 3;
  LoggedRun run(options, folder / "run");
  REQUIRE(run.train(folder / "run") == 0);
  const Events found = events_in(folder / "run");
  CHECK(found.scalars.at("step/learning_rate").size() == 36);
  const auto& late = found.scalars.at("step/late_learning_rate");
  CHECK((late.size() == 12 && late.begin()->first == 25));
  CHECK_FALSE(found.scalars.contains("step/coefficient_learning_rate"));
}
