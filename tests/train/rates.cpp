// Learning rates by iteration in the trainer: what a run's steps have, and a run that goes on in the middle of a cycle.
#include <csignal>
#include <functional>
#include <memory>

#include <lpw/train/image_classification.hpp>
#include <lpw/train/trainer.hpp>

#include "catch.hpp"
#include "train/support.hpp"
#include "train/toy.hpp"

namespace {

using CycledToy = lpw::test::Toy<lpw::Cpu>;

/// Raises a signal with one of its passes.
struct InterruptedTask : lpw::train::ImageClassification<CycledToy> {
  explicit InterruptedTask(int at)
      : ImageClassification(lpw::test::dataset(), {.batch = 5, .augment = lpw::data::no_augmentation}), at_(at) {}
  void accumulate_gradient(CycledToy& network, lpw::Tape& tape, const Batch& batch,
                           lpw::train::StepOutputs<float, lpw::Cpu>& outputs) const {
    if (pass_++ == at_) raise(SIGINT);
    ImageClassification::accumulate_gradient(network, tape, batch, outputs);
  }

 private:
  int at_;
  mutable int pass_ = 0;
};

/// Where training stood before each step.
struct RecordedTimes final : lpw::train::Part<CycledToy, InterruptedTask> {
  explicit RecordedTimes(std::vector<lpw::optim::Time>& times) : times_(times) {}
  void after_step(Run& run) override { times_.push_back(run.before_last_step()); }

 private:
  std::vector<lpw::optim::Time>& times_;
};

/// Trains to the end, or to the signal, from the folder's checkpoint if it has one. 12 and then 4 iterations an epoch.
struct CycledRun {
  explicit CycledRun(const std::filesystem::path& path, const lpw::train::TrainOptions& options, int interrupt = -1) {
    CycledToy network;
    InterruptedTask task(interrupt);
    RecordedDisplay display;
    lpw::train::Trainer<CycledToy, InterruptedTask> trainer(network, task, options, {{"model", "toy"}});
    trainer.add(std::make_unique<RecordedTimes>(times));
    const lpw::train::RunFolder folder(path, true);
    if (folder.has_checkpoint()) trainer.load(folder.checkpoint());
    signal = trainer.run(folder, display.get());
    progress = trainer.progress();
  }
  int signal = 0;
  lpw::train::Progress progress;
  std::vector<lpw::optim::Time> times;
};

lpw::train::TrainOptions cycled_options() {
  return {.epochs = 4,
          .members = 3,
          .release_epoch = 2,
          .optimizer = lpw::optim::SgdOptions{.learning_rate = 0.05},
          .schedule = lpw::optim::parse_schedule("cosine-cycles:1:0.005", 0.05, 4),
          .late_schedule = lpw::optim::parse_schedule("warmup:1/triangular-cycles:0.75:0.05:0.01", 0.05, 4)};
}

std::string cycled_model(const TemporaryFolder& folder) {
  return text_of(lpw::io::read_file(folder / "run/model.safetensors"));
}

}  // namespace

TEST_CASE("a run with a rate for each iteration goes on bit for bit in the middle of a cycle") {
  const TemporaryFolder undisturbed;
  const CycledRun whole(undisturbed / "run", cycled_options());
  REQUIRE(whole.signal == 0);
  CHECK(whole.times.size() == 32);
  for (const int pass : {4, 11, 12, 25, 27, 29}) {
    const TemporaryFolder folder;
    const CycledRun first(folder / "run", cycled_options(), pass);
    REQUIRE(first.signal == SIGINT);
    REQUIRE(CycledRun(folder / "run", cycled_options()).signal == 0);
    CHECK(cycled_model(folder) == cycled_model(undisturbed));
  }
  auto by_epochs = cycled_options();
  by_epochs.schedule = by_epochs.late_schedule = lpw::optim::Constant{};
  const TemporaryFolder other;
  REQUIRE(CycledRun(other / "run", by_epochs).signal == 0);
  CHECK(cycled_model(other) != cycled_model(undisturbed));
}

TEST_CASE("a run's time counts epochs, their iterations and all steps, and a row has the rate of the last") {
  const TemporaryFolder folder;
  const CycledRun run(folder / "run", cycled_options());
  REQUIRE(run.times.size() == 32);
  for (std::int64_t step = 0; step < 32; ++step) {
    const auto& time = run.times[static_cast<std::size_t>(step)];
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
