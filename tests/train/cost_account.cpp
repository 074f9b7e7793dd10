// What a run has cost, in its summary and its rows.
#include <csignal>

#include "catch.hpp"
#include "train/served_run.hpp"

using namespace lpw;
using namespace lpw::test;
using namespace lpw::train;

TEST_CASE("the cost account counts samples, parameters, memory and time, over interruptions too") {
  const TemporaryFolder folder;
  ServedRun run(served_options);
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
  const auto& rows = run.trainer.progress().history;
  CHECK(rows[1].work.backward == 2 * 48);
  CHECK(rows[1].parameters_trained == 32 + 42);
  CHECK(rows[2].parameters_trained == 32 + 3 * 42);
  CHECK(rows[1].parameters_served == 32 + 42);
  CHECK(rows[2].parameters_served == 32 + 42);

  TrainOptions twice = served_options;
  twice.sam.rho = 0.05;
  twice.sam_start = 3;  // two passes a step in the last epoch
  ServedRun sharp(twice);
  REQUIRE(sharp.train(folder / "sam") == 0);
  CHECK(summary_in(folder / "sam")["samples_forward"] == 5 * 48);
  CHECK(summary_in(folder / "sam")["samples_backward"] == 5 * 48);

  TrainOptions fresh = served_options;
  fresh.average_plan = {.start = 2};
  fresh.average = optim::SwaOptions();
  TrainOptions exponential = fresh, elastic = served_options;
  exponential.average = optim::EmaOptions{.decay = 0.9};
  elastic.coupling = Elastic{}, elastic.coupling_every = 2;
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
  ServedRun first(served_options);
  first.interrupt(15);
  REQUIRE(first.train(folder / "run") == SIGINT);
  auto checkpoint = io::load_checkpoint(folder / "run/checkpoint.lpw");
  for (const char* later : {"work", "best_epoch"}) checkpoint.meta["progress"].erase(later);
  for (auto& row : checkpoint.meta["progress"]["history"]) row.erase("work");
  io::save_checkpoint(folder / "run/checkpoint.lpw", checkpoint);
  ServedRun rest(served_options);
  REQUIRE(rest.train(folder / "run", true) == 0);
  CHECK(summary_in(folder / "run")["samples_backward"] == 4 * 48 - 16 * 4);
}
