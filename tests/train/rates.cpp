// Learning rates by iteration in the trainer: what a run's steps have, and a run that goes on in the middle of a cycle.
#include <algorithm>
#include <cmath>
#include <memory>
#include <numbers>
#include <vector>

#include <lpw/models/wide_resnet.hpp>

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

namespace {

/// Which of a network's weights each step moved.
struct Moved {
  std::vector<bool> base, late;
};

template <class Network>
class RecordedMoves final : public lpw::train::Part<Network, lpw::train::ImageClassification<Network>> {
 public:
  using Run = typename lpw::train::Part<Network, lpw::train::ImageClassification<Network>>::Run;
  explicit RecordedMoves(Moved& moved) : moved_(moved) {}
  void before_epoch(Run& run, lpw::train::Display&) override { keep(run); }
  void after_step(Run& run) override {
    const auto& now = run.weights().value;
    moved_.base.push_back(text_of(now.base) != base_);
    moved_.late.push_back(text_of(now.late) != late_);
    keep(run);
  }

 private:
  static std::string text_of(const lpw::Tensor<float, lpw::Cpu>& weights) {
    return {reinterpret_cast<const char*>(weights.data()), static_cast<std::size_t>(weights.size()) * sizeof(float)};
  }
  void keep(Run& run) { base_ = text_of(run.weights().value.base), late_ = text_of(run.weights().value.late); }

  Moved& moved_;
  std::string base_, late_;
};

using Hypernetwork = lpw::nn::WideResNet<float, lpw::Cpu>;
Hypernetwork hypernetwork() {
  return Hypernetwork({.depth = 10, .widen = 1, .classes = 4, .templates = true}, lpw::Philox(1));
}

/// Two epochs of six iterations, of three where two members are released. The rate of base weights becomes 0 after two
/// steps, that of late-phase weights after four.
template <class Network>
Moved moved_by_schedules(Network& network, const lpw::Selectors& late, std::int64_t release_epoch,
                         const std::optional<lpw::optim::Schedule>& coefficients = {}) {
  const lpw::train::TrainOptions options{.epochs = 2,
                                         .members = 2,
                                         .release_epoch = release_epoch,
                                         .late = late,
                                         .optimizer = lpw::optim::SgdOptions{.learning_rate = 0.05},
                                         .schedule = lpw::optim::parse_schedule("iterations:steps:2:0", 0.05, 2),
                                         .late_schedule = lpw::optim::parse_schedule("iterations:steps:4:0", 0.05, 2),
                                         .coefficient_schedule = coefficients};
  lpw::train::ImageClassification<Network> task(lpw::test::dataset(), {.batch = 10});
  lpw::train::Trainer trainer(network, task, options, {{"model", "toy"}});
  Moved moved;
  trainer.add(std::make_unique<RecordedMoves<Network>>(moved));
  const TemporaryFolder folder;
  RecordedDisplay display;
  REQUIRE(trainer.run(lpw::train::RunFolder(folder / "run", false), display.get()) == 0);
  return moved;
}

std::vector<bool> first_of(std::size_t steps, std::size_t all) {
  std::vector<bool> moved(all, false);
  std::fill_n(moved.begin(), steps, true);
  return moved;
}

}  // namespace

TEST_CASE("base weights, members' weights and coefficients of templates each follow the schedule of their group") {
  lpw::test::Toy<lpw::Cpu> toy;
  const Moved members = moved_by_schedules(toy, lpw::Group::batch_norm | lpw::Group::head, 0);
  CHECK(members.base == first_of(2, 6));
  CHECK(members.late == first_of(4, 6));
  // Coefficients have the schedule of late-phase weights before the release already.
  Hypernetwork hyper = hypernetwork();
  const Moved coefficients = moved_by_schedules(hyper, lpw::Group::templates, 1);
  CHECK(coefficients.base == first_of(2, 9));
  CHECK(coefficients.late == first_of(4, 9));
  // Or one of their own.
  hyper = hypernetwork();
  const Moved own =
      moved_by_schedules(hyper, lpw::Group::templates, 1, lpw::optim::parse_schedule("iterations:steps:7:0", 0.05, 2));
  CHECK(own.base == first_of(2, 9));
  CHECK(own.late == first_of(7, 9));
  CHECK(message_of<lpw::OptionError>([&] {
          (void)moved_by_schedules(toy, lpw::Group::head, 0, lpw::optim::Schedule(lpw::optim::Constant{}));
        }) ==
        "`coefficient_schedule` and the optimizer's `coefficients`: no weights of the network are made of templates; "
        "leave them out");
}

namespace {

/// Comes with a step.
struct Interrupting final : lpw::train::Part<Hypernetwork, lpw::train::ImageClassification<Hypernetwork>> {
  explicit Interrupting(std::int64_t step) : step_(step) {}
  void after_step(Run& run) override {
    if (run.progress.step == step_) raise(SIGINT);
  }

 private:
  std::int64_t step_;
};

/// The model that is left of a run with rates and a schedule of coefficients' own, interrupted with a step of it.
std::string model_of_groups(std::int64_t interrupted, double rate,
                            std::vector<lpw::train::EpochRecord>* history = nullptr) {
  const lpw::train::TrainOptions options{
      .epochs = 2,
      .members = 2,
      .release_epoch = 1,
      .late = lpw::Group::templates,
      .optimizer = lpw::optim::SgdOptions{.learning_rate = 0.05, .coefficients = lpw::optim::Rates{rate, 1e-3}},
      .coefficient_schedule = lpw::optim::parse_schedule("cosine-cycles:0.7", rate, 2)};
  const TemporaryFolder folder;
  for (const std::int64_t at : {interrupted, std::int64_t{-1}}) {
    Hypernetwork network = hypernetwork();
    lpw::train::ImageClassification<Hypernetwork> task(lpw::test::dataset(), {.batch = 10});
    lpw::train::Trainer trainer(network, task, options, {{"model", "toy"}});
    trainer.add(std::make_unique<Interrupting>(at));
    const lpw::train::RunFolder path(folder / "run", true);
    if (path.has_checkpoint()) trainer.load(path.checkpoint());
    RecordedDisplay display;
    REQUIRE(trainer.run(path, display.get()) == (at < 0 ? 0 : SIGINT));
    if (history) *history = trainer.progress().history;
    if (at < 0) break;
  }
  return file_of_run(folder / "run", "model.safetensors");
}

}  // namespace

TEST_CASE("a run whose coefficients have rates of their own goes on bit for bit") {
  std::vector<lpw::train::EpochRecord> rows, resumed;
  const std::string whole = model_of_groups(-1, 0.02, &rows);
  CHECK(model_of_groups(4, 0.02, &resumed) == whole);
  REQUIRE((rows.size() == 2 && resumed.size() == 2));
  for (const std::size_t epoch : {std::size_t{0}, std::size_t{1}}) {  // before the release they have it too
    const double rate = rows[epoch].coefficient_learning_rate.value_or(-1);
    CHECK((rate > 0 && rate < 0.02));             // within a cycle of 0.02
    CHECK_FALSE(rows[epoch].late_learning_rate);  // no weights have it
    CHECK(resumed[epoch].coefficient_learning_rate == rows[epoch].coefficient_learning_rate);
  }
  CHECK(model_of_groups(8, 0.02) == whole);
  CHECK(model_of_groups(-1, 0.03) != whole);
}

namespace {

using Hyperpart = lpw::train::Part<Hypernetwork, lpw::train::ImageClassification<Hypernetwork>>;

/// Freezes the optimizer's first group but for some steps in the middle.
struct Thawing final : Hyperpart {
  void after_step(Run& run) override { set(run); }
  void load(Run& run, const lpw::io::NamedTensors&) override { set(run); }
  static void set(Run& run) {
    auto rules = run.optimizer->rules();
    rules.groups.at(0).frozen = run.progress.step < 3 || run.progress.step >= 8;
    run.optimizer->set_rules(rules);
  }
};

}  // namespace

TEST_CASE("a run whose parameters were frozen for a while goes on bit for bit") {
  const lpw::train::TrainOptions options{
      .epochs = 2,
      .optimizer = lpw::optim::AdamOptions{.learning_rate = 0.01, .groups = {{.names = {"fc.*"}, .frozen = true}}}};
  const auto trained = [&](std::int64_t interrupted) {
    const TemporaryFolder folder;
    for (const std::int64_t at : {interrupted, std::int64_t{-1}}) {
      Hypernetwork network = hypernetwork();
      lpw::train::ImageClassification<Hypernetwork> task(lpw::test::dataset(), {.batch = 10});
      lpw::train::Trainer trainer(network, task, options, {{"model", "toy"}});
      trainer.add(std::make_unique<Thawing>());
      trainer.add(std::make_unique<Interrupting>(at));
      const lpw::train::RunFolder path(folder / "run", true);
      if (path.has_checkpoint()) trainer.load(path.checkpoint());
      RecordedDisplay display;
      REQUIRE(trainer.run(path, display.get()) == (at < 0 ? 0 : SIGINT));
      if (at < 0) break;
    }
    return file_of_run(folder / "run", "model.safetensors");
  };
  const std::string whole = trained(-1);
  CHECK(trained(5) == whole);  // Adam counts the head's steps from the third on
  CHECK(trained(9) == whole);
}
