// Members that are collapsed and released again in the course of a run, and how rank-1 factors and momentum start:
// what the trainer makes of these options, also when a run is interrupted and goes on.
#include <csignal>
#include <map>
#include <set>

#include <lpw/train/image_classification.hpp>
#include <lpw/train/trainer.hpp>

#include "catch.hpp"
#include "support.hpp"
#include "toy.hpp"

using namespace lpw;
using namespace lpw::train;

namespace {

using ReleasedToy = test::Toy<Cpu>;
using Task = ImageClassification<ReleasedToy>;
const nlohmann::json again_description{{"model", "toy"}};

/// Sends a signal after a step.
class Interrupter final : public Part<ReleasedToy, Task> {
 public:
  explicit Interrupter(std::int64_t step) : step_(step) {}
  void after_step(Run& run) override {
    if (run.progress.step == step_) raise(SIGTERM);
  }

 private:
  std::int64_t step_;
};

/// Notes how far the optimizer's counts are from the run's under the key of each step.
class CountsByKey final : public Part<ReleasedToy, Task> {
 public:
  using Counts = std::pair<std::int64_t, std::int64_t>;
  explicit CountsByKey(std::map<std::string, std::set<Counts>>& counts) : counts_(counts) {}
  void after_step(Run& run) override {
    const auto steps = run.optimizer->steps();
    counts_[TrainingStep<ReleasedToy, Task>::key_of(run)].emplace(steps.base - run.progress.step,
                                                                  steps.late - run.progress.step);
  }

 private:
  std::map<std::string, std::set<Counts>>& counts_;
};

struct Outcome {
  int signal;
  std::string model, shown;
};

/// Trains until the end, or until a signal comes after `step`, from a checkpoint if there is one, with one more part.
Outcome outcome_of(const TrainOptions& options, const TemporaryFolder& folder, std::int64_t step = -1,
                   std::unique_ptr<Part<ReleasedToy, Task>> part = {}) {
  ReleasedToy network;
  Task task(test::dataset(), {.batch = 5, .augment = data::no_augmentation});
  RecordedDisplay display;
  Trainer<ReleasedToy, Task> trainer(network, task, options, again_description);
  trainer.add(std::make_unique<Interrupter>(step));
  if (part) trainer.add(std::move(part));
  const RunFolder run(folder / "run", true);
  if (run.has_checkpoint()) trainer.load(run.checkpoint());
  const int signal = trainer.run(run, display.get());
  return {signal, signal == 0 ? text_of(io::read_file(folder / "run/model.safetensors")) : "", display.text()};
}

std::string model_of(const TrainOptions& options) {
  const TemporaryFolder folder;
  return outcome_of(options, folder).model;
}

// 12 iterations in the first epoch and 4 in each later one; members are released after epochs 1, 3 and 5.
const TrainOptions again{.epochs = 6,
                         .members = 3,
                         .release_epoch = 1,
                         .sigma = 0.1,
                         .release_every = 2,
                         .average = optim::SwaOptions(),
                         .average_plan = {.start = 2}};

}  // namespace

TEST_CASE("members are collapsed and released again, and such a run goes on bit for bit wherever it is interrupted") {
  auto options = again;
  SECTION("batch norm and head, with SGD") {}
  SECTION("random signs, with Adam") {
    options.late = Group::rank_one | Group::batch_norm;
    options.rank_one_start.kind = RankOneStart::Kind::signs;
    options.optimizer = optim::AdamOptions{.learning_rate = 0.01};
    options.average = optim::EmaOptions{0.9, 0.7};
    options.average_plan = {.period = optim::AveragePlan::Period::steps};
  }
  SECTION("deviations, and an average") {
    options.late = Selectors::parse("batchnorm,additive");
    options.optimizer = optim::AdamOptions{.learning_rate = 0.01};
  }
  SECTION("without momentum, from normal factors, in chunks of members") {
    options.late = Group::rank_one;
    options.rank_one_start = {RankOneStart::Kind::normal, 0.2};
    options.release_momentum = ReleaseMomentum::zero;
    options.member_chunk = 2;
    options.average = optim::LatestOptions{3};
    options.average_plan = {.every = 2, .period = optim::AveragePlan::Period::steps};
  }
  const TemporaryFolder folder;
  const auto undisturbed = outcome_of(options, folder);
  REQUIRE(undisturbed.signal == 0);
  CHECK(contains(undisturbed.shown, "release after 1 epochs"));
  CHECK(contains(undisturbed.shown, "release again after 3 epochs: the members were averaged into one"));
  CHECK(contains(undisturbed.shown, "release again after 5 epochs"));
  for (const std::int64_t step : {12, 13, 19, 20, 21, 28, 29}) {  // with and after the last steps before releases
    CAPTURE(step);
    const TemporaryFolder other;
    REQUIRE(outcome_of(options, other, step).signal == SIGTERM);
    CHECK(outcome_of(options, other).model == undisturbed.model);
  }
}

TEST_CASE("a step that was recorded for other counts of the optimizer is not replayed, wherever the weights lie") {
  auto options = again;
  options.epochs = 24;
  options.release_every = 1;
  options.optimizer = optim::AdamOptions{.learning_rate = 0.01};
  options.late = GENERATE(Group::batch_norm | Group::rank_one, Group::rank_one, Group::batch_norm | Group::head);
  options.release_momentum = GENERATE(ReleaseMomentum::carry, ReleaseMomentum::zero);
  const TemporaryFolder folder;
  std::map<std::string, std::set<CountsByKey::Counts>> counts;
  REQUIRE(outcome_of(options, folder, -1, std::make_unique<CountsByKey>(counts)).signal == 0);
  CHECK(counts.size() > 1);
  for (const auto& [key, found] : counts) CHECK(found.size() == 1);
}

TEST_CASE("each choice of how members are released trains another network") {
  auto once = again, without = again, rank_one = again;
  once.release_every = 0;
  without.release_momentum = ReleaseMomentum::zero;
  rank_one.late = Group::rank_one;
  auto signs = rank_one, normal = rank_one;
  signs.rank_one_start.kind = RankOneStart::Kind::signs;
  normal.rank_one_start.kind = RankOneStart::Kind::normal;
  std::set<std::string> models;
  for (const auto& options : {again, once, without, rank_one, signs, normal}) models.insert(model_of(options));
  CHECK(models.size() == 6);
}
