// Snapshots at the ends of the schedule's cycles: which there are, what they hold, their ensemble, and runs that go on.
#include <lpw/late_phase/predict.hpp>

#include <map>
#include <vector>

#include "catch.hpp"
#include "train/toy_run.hpp"

namespace {

using lpw::test::evaluated;
using lpw::test::file_of_run;
using lpw::test::ToyRun;

/// Cycles of an epoch and a half: 12 iterations in each of two epochs, then 4. They end with steps 18, 28, 34 and 40.
lpw::train::TrainOptions cycles(std::int64_t snapshots) {
  return {.epochs = 6,
          .members = 3,
          .release_epoch = 2,
          .optimizer = lpw::optim::SgdOptions{.learning_rate = 0.05},
          .schedule = lpw::optim::parse_schedule("cosine-cycles:1.5:0.005", 0.05, 6),
          .snapshots = snapshots};
}

/// The collapsed network after each step.
class CollapsedSteps final : public lpw::test::ToyPart {
 public:
  explicit CollapsedSteps(std::vector<lpw::test::Toy<lpw::Cpu>>& steps) : steps_(steps) {}
  void after_step(Run& run) override { steps_.push_back(lpw::collapsed(run.network)); }

 private:
  std::vector<lpw::test::Toy<lpw::Cpu>>& steps_;
};

/// Names and contents.
std::map<std::string, std::string> snapshot_files(const std::filesystem::path& run) {
  std::map<std::string, std::string> files;
  for (const auto& entry : std::filesystem::directory_iterator(run / "snapshots"))
    files[entry.path().filename().string()] = text_of(lpw::io::read_file(entry.path()));
  return files;
}

std::vector<std::int64_t> snapshot_steps(const std::filesystem::path& run) {
  return lpw::io::Snapshots(run / "snapshots", 100).steps();
}

using Steps = std::vector<std::int64_t>;

}  // namespace

TEST_CASE("snapshots: a run keeps the collapsed networks of the last cycles' ends, and scores their ensemble") {
  const TemporaryFolder folder;
  std::vector<lpw::test::Toy<lpw::Cpu>> networks;
  const ToyRun run(folder / "run", cycles(3), -1, std::make_unique<CollapsedSteps>(networks));
  REQUIRE(run.signal == 0);
  REQUIRE(networks.size() == 40);
  REQUIRE(snapshot_steps(folder / "run") == Steps{28, 34, 40});
  CHECK(snapshot_files(folder / "run").size() == 4);  // with their index

  lpw::metrics::Evaluator mean;
  const lpw::data::Dataset& set = lpw::test::dataset();
  lpw::data::Loader<float> test(set.test, set.normalization, lpw::data::evaluation(20));
  for (const auto& [images, labels] : test.epoch(0)) {
    lpw::Tensor<double, lpw::Cpu> sum;
    for (const std::size_t step : {28, 34, 40}) {
      const auto one = lpw::predict_members(networks[step - 1], images);
      if (sum.size() == 0) sum = lpw::zeros<double, lpw::Cpu>(one.shape());
      for (std::int64_t i = 0; i < one.size(); ++i) sum.data()[i] += one.data()[i] / 3;
    }
    mean.add(sum.reshaped(sum.shape().slice(1, 3)), labels.reshaped({labels.size()}));
  }
  const auto summary = nlohmann::json::parse(file_of_run(folder / "run", "summary.json"));
  CHECK(summary["test_accuracy_snapshots"] == mean.result().accuracy);
  CHECK(std::abs(summary["test_nll_snapshots"].get<double>() - mean.result().nll) <= 1e-13);  // a few roundings
  const auto& result = summary["results"].back();
  CHECK(result["name"] == "snapshots");
  CHECK(result["passes"] == 3);
  CHECK(result["parameters"] == 3 * (6 + 3 * 8 + 8 + 8 * 4 + 4));
  CHECK(contains(run.shown, "\n  ensemble of 3 snapshots "));
}

TEST_CASE("snapshots: they are the same after an interruption within a cycle, at its end, and within an epoch") {
  const TemporaryFolder undisturbed;
  REQUIRE(ToyRun(undisturbed / "run", cycles(3)).signal == 0);
  for (const int pass : {10, 17, 25, 33}) {
    CAPTURE(pass);
    const TemporaryFolder folder;
    REQUIRE(ToyRun(folder / "run", cycles(3), pass).signal == SIGINT);
    REQUIRE(ToyRun(folder / "run", cycles(3)).signal == 0);
    CHECK(snapshot_files(folder / "run") == snapshot_files(undisturbed / "run"));
    CHECK(file_of_run(folder / "run", "model.safetensors") == file_of_run(undisturbed / "run", "model.safetensors"));
  }
}

TEST_CASE("snapshots: a run that goes on from an older checkpoint drops those of later steps") {
  const TemporaryFolder folder;
  REQUIRE(ToyRun(folder / "run", cycles(3), 29).signal == SIGINT);
  CHECK(snapshot_steps(folder / "run") == Steps{18, 28});
  const auto path = folder / "run/checkpoint.lpw";
  const auto old = lpw::io::load_checkpoint(path);
  REQUIRE(ToyRun(folder / "run", cycles(3), 6).signal == SIGINT);  // from step 30 on
  CHECK(snapshot_steps(folder / "run") == Steps{18, 28, 34});
  lpw::io::save_checkpoint(path, old);
  const auto results = evaluated(path, cycles(3));  // without what came later
  REQUIRE(results.back().name == "snapshots");
  CHECK(results.back().cost.passes == 2);
  CHECK(snapshot_steps(folder / "run") == Steps{18, 28, 34});
  REQUIRE(ToyRun(folder / "run", cycles(3), 0).signal == SIGINT);
  CHECK(snapshot_steps(folder / "run") == Steps{18, 28});
  CHECK_FALSE(std::filesystem::exists(folder / "run/snapshots/snapshot-34.safetensors"));
}

TEST_CASE("snapshots: a checkpoint that is evaluated without its snapshots says so") {
  const TemporaryFolder folder;
  REQUIRE(ToyRun(folder / "run", cycles(3), 29).signal == SIGINT);
  std::filesystem::remove_all(folder / "run/snapshots");
  CHECK(evaluated(folder / "run/checkpoint.lpw", cycles(3)).back().name == "collapsed");
}

TEST_CASE("snapshots: a cycle that ends where release cuts its epoch short has its snapshot") {
  const TemporaryFolder folder;
  auto options = cycles(10);
  options.release_step = 17;  // of the second epoch five steps are taken, the cycle's end was to be the sixth
  REQUIRE(ToyRun(folder / "run", options).signal == 0);
  CHECK(snapshot_steps(folder / "run") == Steps{17, 21, 27, 33});
}

TEST_CASE("snapshots: an average beside them leaves them what they are") {
  const TemporaryFolder plain, beside;
  auto options = cycles(2);
  REQUIRE(ToyRun(plain / "run", options).signal == 0);
  options.average = lpw::optim::EmaOptions{0.9};
  options.average_plan.period = lpw::optim::AveragePlan::Period::steps;
  REQUIRE(ToyRun(beside / "run", options).signal == 0);
  CHECK(snapshot_files(beside / "run") == snapshot_files(plain / "run"));
  CHECK(file_of_run(beside / "run", "model.safetensors") != file_of_run(plain / "run", "model.safetensors"));
}
