// Learning rates by iteration in the trainer: what a run's steps have, and a run that goes on in the middle of a cycle.
#include <cmath>
#include <memory>
#include <numbers>
#include <vector>

#include "catch.hpp"
#include "train/toy_run.hpp"

namespace {

using lpw::test::file_of_run;
using lpw::test::ToyRun;

/// Where training stood before each step.
struct RecordedTimes final : lpw::test::ToyPart {
  explicit RecordedTimes(std::vector<lpw::optim::Time>& times) : times_(times) {}
  void after_step(Run& run) override { times_.push_back(run.before_last_step()); }

 private:
  std::vector<lpw::optim::Time>& times_;
};

lpw::train::TrainOptions cycled_options() {
  return {.epochs = 4,
          .members = 3,
          .release_epoch = 2,
          .optimizer = lpw::optim::SgdOptions{.learning_rate = 0.05},
          .schedule = lpw::optim::parse_schedule("cosine-cycles:1:0.005", 0.05, 4),
          .late_schedule = lpw::optim::parse_schedule("warmup:1/triangular-cycles:0.75:0.05:0.01", 0.05, 4)};
}

}  // namespace

TEST_CASE("a run with a rate for each iteration goes on bit for bit in the middle of a cycle") {
  const TemporaryFolder undisturbed;
  REQUIRE(ToyRun(undisturbed / "run", cycled_options()).signal == 0);
  for (const int pass : {4, 11, 12, 25, 27, 29}) {
    const TemporaryFolder folder;
    const ToyRun first(folder / "run", cycled_options(), pass);
    REQUIRE(first.signal == SIGINT);
    REQUIRE(ToyRun(folder / "run", cycled_options()).signal == 0);
    CHECK(file_of_run(folder / "run", "model.safetensors") == file_of_run(undisturbed / "run", "model.safetensors"));
  }
  auto by_epochs = cycled_options();
  by_epochs.schedule = by_epochs.late_schedule = lpw::optim::Constant{};
  const TemporaryFolder other;
  REQUIRE(ToyRun(other / "run", by_epochs).signal == 0);
  CHECK(file_of_run(other / "run", "model.safetensors") != file_of_run(undisturbed / "run", "model.safetensors"));
}

TEST_CASE("a run's time counts epochs, their iterations and all steps, and a row has the rate of the last") {
  const TemporaryFolder folder;
  std::vector<lpw::optim::Time> times;
  const ToyRun run(folder / "run", cycled_options(), -1, std::make_unique<RecordedTimes>(times));
  REQUIRE(times.size() == 32);
  for (std::int64_t step = 0; step < 32; ++step) {
    const auto& time = times[static_cast<std::size_t>(step)];
    const bool late = step >= 24;
    CHECK(time.step == step);
    CHECK(time.iterations == (late ? 4 : 12));
    CHECK(time.epoch == (late ? 2 + (step - 24) / 4 : step / 12));
    CHECK(time.iteration == (late ? step % 4 : step % 12));
  }
  for (const auto& row : run.progress.history) {
    const double phase = row.epoch <= 2 ? 11.0 / 12 : 3.0 / 4;
    const double expected = 0.005 + 0.045 * 0.5 * (1 + std::cos(std::numbers::pi * phase));
    CHECK(std::abs(row.learning_rate - expected) <= 1e-15);  // a rate below 0.05 of a few roundings
  }
}
