// Averages over time in the trainer: what each is of, when it is updated, and runs that go on bit for bit.
#include <algorithm>
#include <cmath>
#include <functional>
#include <numeric>
#include <optional>
#include <vector>

#include "catch.hpp"
#include "train/toy_run.hpp"

namespace {

using lpw::optim::AverageOptions;
using lpw::optim::AveragePlan;
using lpw::optim::EmaOptions;
using lpw::optim::LatestOptions;
using lpw::optim::SwaOptions;
using lpw::test::evaluated;
using lpw::test::file_of_run;
using lpw::test::ToyRun;

constexpr auto by_steps = AveragePlan::Period::steps;

lpw::train::TrainOptions averaged(const std::optional<AverageOptions>& average, const AveragePlan& plan = {},
                                  std::int64_t members = 3) {
  return {.epochs = 4,
          .members = members,
          .release_epoch = 2,
          .optimizer = lpw::optim::SgdOptions{.learning_rate = 0.05},
          .average = average,
          .average_plan = plan};
}

using AverageRows = std::vector<std::vector<double>>;

/// All weights of each of three members, as if nothing were shared.
AverageRows rows_of(lpw::test::Toy<lpw::Cpu>& network) {
  AverageRows rows(3);
  for (std::size_t k = 0; k < rows.size(); ++k)
    lpw::nn::for_each_parameter(network, [&](const std::string&, auto& parameter) {
      const float* row = parameter.value().row(parameter.value().dim(0) == 1 ? 0 : static_cast<std::int64_t>(k));
      rows[k].insert(rows[k].end(), row, row + parameter.shape().size());
    });
  return rows;
}

/// The weights that a run without an average ends with, not collapsed: before the release they are three times the
/// network's.
AverageRows final_rows(const std::filesystem::path& path) {
  lpw::test::Toy<lpw::Cpu> network;
  lpw::io::load_safetensors(path / "model.safetensors", network);
  return rows_of(network);
}

double largest_gap(const AverageRows& found, const AverageRows& expected) {
  double gap = 0;
  for (std::size_t k = 0; k < expected.size(); ++k)
    for (std::size_t i = 0; i < expected[k].size(); ++i) {
      const double here = std::abs(found[k][i] - expected[k][i]) / std::max(1.0, std::abs(expected[k][i]));
      if (!(here <= gap)) gap = here;  // NaN is larger than any
    }
  return gap;
}

/// Keeps the weights whenever a plan asks for them, written out here, and finds their average in the network in place
/// of the last weights.
class Reference final : public lpw::test::ToyPart {
 public:
  Reference(AverageOptions average, const AveragePlan& plan) : average_(average), plan_(plan) {}

  void after_step(Run& run) override {
    const auto& p = run.progress;
    if (plan_.period == by_steps && p.epoch >= plan_.start && p.step % plan_.every == 0) keep(run);
  }
  void after_epoch(Run& run) override {
    const std::int64_t since = run.progress.epoch - plan_.start + 1;
    if (plan_.period != by_steps && since > 0 && since % plan_.every == 0) keep(run);
  }
  void offer(Run& run, lpw::train::Display&) override {
    REQUIRE(past_.size() >= 2);
    AverageRows expected(3);
    for (std::size_t k = 0; k < 3; ++k) {
      expected[k].assign(past_[0][k].size(), 0.0);
      for (std::size_t i = 0; i < past_.size(); ++i)
        for (std::size_t j = 0; j < expected[k].size(); ++j) expected[k][j] += share(i) * past_[i][k][j];
    }
    // Each of at most 32 updates rounds a float once: 32 times 6e-8 of its size.
    CHECK(largest_gap(rows_of(run.network), expected) <= 2e-6);
    CHECK(largest_gap(past_.back(), expected) > 1e-4);
  }

 private:
  void keep(Run& run) {
    past_.push_back(rows_of(run.network));
    decays_.push_back(0);
    if (const auto* ema = std::get_if<EmaOptions>(&average_))
      decays_.back() = run.progress.released ? ema->late_decay.value_or(ema->decay) : ema->decay;
  }
  /// Of the i-th weights.
  [[nodiscard]] double share(std::size_t i) const {
    const std::size_t count = past_.size();
    if (std::holds_alternative<SwaOptions>(average_)) return 1 / static_cast<double>(count);
    if (const auto* latest = std::get_if<LatestOptions>(&average_)) {
      const auto kept = std::min(count, static_cast<std::size_t>(latest->count));
      return i + kept >= count ? 1 / static_cast<double>(kept) : 0;
    }
    const auto product = [&](std::size_t from) {
      return std::accumulate(decays_.begin() + static_cast<std::ptrdiff_t>(from), decays_.end(), 1.0,
                             std::multiplies<>());
    };
    return (1 - decays_[i]) * product(i + 1) / (1 - product(0));
  }

  AverageOptions average_;
  AveragePlan plan_;
  std::vector<AverageRows> past_;
  std::vector<double> decays_;
};

struct AverageAndPlan {
  AverageOptions average;
  AveragePlan plan;
};
const AverageAndPlan averagings[] = {{SwaOptions(), {.start = 1}},
                                     {SwaOptions(), {.start = 1, .every = 5, .period = by_steps}},
                                     {EmaOptions{0.9, 0.6}, {.period = by_steps}},
                                     {EmaOptions{0.5}, {.start = 0, .every = 2}},
                                     {LatestOptions{3}, {.start = 1, .every = 3, .period = by_steps}},
                                     {LatestOptions{2}, {}}};

}  // namespace

TEST_CASE("averaging: the trainer averages the weights of the steps or epochs that its plan names") {
  for (const auto& [average, plan] : averagings) {
    CAPTURE(average.index(), plan.every);
    const TemporaryFolder folder;
    const ToyRun run(folder / "run", averaged(average, plan), -1, std::make_unique<Reference>(average, plan));
    REQUIRE(run.signal == 0);
    const std::string name = average.index() == 0 ? "+swa" : average.index() == 1 ? "+ema" : "+lawa";
    for (const auto& row : run.progress.history)
      CHECK(row.phase == (row.epoch <= 2 ? "base" : "late") + (row.epoch > plan.start ? name : std::string()));
  }
}

TEST_CASE("averaging: a run goes on bit for bit wherever it is interrupted, within epochs too") {
  for (const auto& [average, plan] : averagings) {
    CAPTURE(average.index(), plan.every);
    const auto options = averaged(average, plan);
    const TemporaryFolder undisturbed;
    REQUIRE(ToyRun(undisturbed / "run", options).signal == 0);
    for (const int pass : {14, 26}) {
      const TemporaryFolder folder;
      REQUIRE(ToyRun(folder / "run", options, pass).signal == SIGINT);
      REQUIRE(ToyRun(folder / "run", options).signal == 0);
      CHECK(file_of_run(folder / "run", "model.safetensors") == file_of_run(undisturbed / "run", "model.safetensors"));
    }
  }
}

TEST_CASE("averaging: a decay of 0 and the last weights alone are the run without an average, bit for bit") {
  // One network: what is collapsed has its batch norm's statistics in it, which are gathered anew.
  const TemporaryFolder plain;
  REQUIRE(ToyRun(plain / "run", averaged(std::nullopt, {}, 1)).signal == 0);
  for (const AverageOptions& average : {AverageOptions(EmaOptions{0}), AverageOptions(LatestOptions{1})}) {
    const TemporaryFolder folder;
    REQUIRE(ToyRun(folder / "run", averaged(average, {.period = by_steps}, 1)).signal == 0);
    CHECK(final_rows(folder / "run") == final_rows(plain / "run"));
  }
}

TEST_CASE("averaging: the last of as many weights as there are is the mean of all, to rounding") {
  const TemporaryFolder all, last;
  const AveragePlan plan{.start = 1, .period = by_steps};
  REQUIRE(ToyRun(all / "run", averaged(SwaOptions(), plan)).signal == 0);
  const ToyRun run(last / "run", averaged(LatestOptions{20}, plan));  // 12 + 4 + 4
  REQUIRE(run.signal == 0);
  CHECK(contains(run.shown, "averaging: the mean of 20 weights; recomputing batch-norm statistics"));
  CHECK(largest_gap(final_rows(last / "run"), final_rows(all / "run")) <= 2e-6);  // of 20 updates, as above
}

TEST_CASE("averaging: statistics are gathered anew over every sample, the smaller last minibatch by its size") {
  const TemporaryFolder folder;  // 60 samples in minibatches of 7, and one of 4
  const ToyRun run(folder / "run", averaged(EmaOptions{0.9}, {.period = by_steps}, 1), -1, {}, 7);
  REQUIRE(run.signal == 0);
  const auto& set = lpw::test::dataset();
  for (std::int64_t channel = 0; channel < 3; ++channel) {
    double mean = 0, square = 0;
    const auto& pixels = set.train.pixels;
    for (std::size_t i = static_cast<std::size_t>(channel); i < pixels.size(); i += 3) {
      const double value = (pixels[i] / 255.0 - 0.5) / 0.3;
      mean += value, square += value * value;
    }
    const double count = static_cast<double>(pixels.size()) / 3;
    mean /= count;
    // A few hundred sums in float, of values below 2.
    CHECK(std::abs(run.network.bn.running_mean.value().data()[channel] - mean) <= 1e-5);
    CHECK(std::abs(run.network.bn.running_var.value().data()[channel] - (square / count - mean * mean)) <= 1e-5);
  }
}

TEST_CASE("averaging: a checkpoint is evaluated with its average") {
  const TemporaryFolder folder;
  const auto options = averaged(EmaOptions{0.9, 0.8}, {.start = 1, .period = by_steps});
  REQUIRE(ToyRun(folder / "run", options).signal == 0);
  const auto found = evaluated(folder / "run/checkpoint.lpw", options);
  const auto untimed = [](nlohmann::json results) {
    for (auto& result : results) result.erase("milliseconds_per_sample");
    return results;
  };
  const auto summary = nlohmann::json::parse(file_of_run(folder / "run", "summary.json"));
  CHECK(untimed(lpw::train::to_json(found)["results"]) == untimed(summary["results"]));
}

TEST_CASE("averaging: a checkpoint with another count of averaged weights than its run has is refused") {
  const auto refusal = [](const AveragePlan& plan, std::int64_t updates) {
    const TemporaryFolder folder;
    const auto options = averaged(SwaOptions(), plan);
    REQUIRE(ToyRun(folder / "run", options, 26).signal == SIGINT);  // in the third epoch, after its third step
    const auto path = folder / "run/checkpoint.lpw";
    const auto saved = lpw::io::load_checkpoint(path);
    lpw::io::Checkpoint changed{saved.meta, lpw::io::NamedTensors("checkpoint")};
    for (const auto& tensor : saved.tensors)
      if (tensor.name != "average.counts") changed.tensors.add(tensor);
    lpw::Tensor<std::int64_t, lpw::Cpu> counts({2});
    counts.data()[0] = updates, counts.data()[1] = 0;
    if (updates >= 0) changed.tensors.add("average.counts", counts);
    lpw::io::save_checkpoint(path, changed);
    return message_of<lpw::FileError>([&] { ToyRun(folder / "run", options); });
  };
  const AveragePlan epochs{.start = 1}, steps{.start = 1, .period = by_steps};
  CHECK(refusal(epochs, 1).empty());
  CHECK(contains(refusal(epochs, 2), "damaged: it holds an average of 2 weights, where this run has 1"));
  CHECK(contains(refusal(epochs, -1), "damaged: it holds an average of 0 weights, where this run has 1"));
  CHECK(refusal(steps, 15).empty());
  CHECK(contains(refusal(steps, 28), "damaged: it holds an average of 28 weights, where this run has 3 to 27"));
  CHECK(contains(refusal(steps, 2), "average of 2 weights, where this run has 3 to 27"));
  CHECK(contains(refusal(steps, -1), "average of 0 weights, where this run has 3 to 27"));
}

TEST_CASE("averaging: what former checkpoints say of no average goes on, and what they hold of one is refused") {
  const auto resumed = [](const nlohmann::json& swa_start, const nlohmann::json& updates) {
    const TemporaryFolder folder;
    const auto options = averaged(std::nullopt);
    REQUIRE(ToyRun(folder / "run", options, 14).signal == SIGINT);
    auto checkpoint = lpw::io::load_checkpoint(folder / "run/checkpoint.lpw");
    checkpoint.meta["options"]["swa-start"] = swa_start;
    checkpoint.meta["progress"]["averaged"] = updates;
    lpw::io::save_checkpoint(folder / "run/checkpoint.lpw", checkpoint);
    return message_of<lpw::FileError>([&] { ToyRun(folder / "run", options); });
  };
  CHECK(resumed(-1, 0).empty());
  CHECK(contains(resumed(3, 0), "swa-start was 3, now not set"));
  CHECK(contains(resumed(-1, 1), "holds an average of weights as former versions of lpw kept it"));
}

TEST_CASE("averaging: a plan that no step of a run reaches is refused") {
  const auto refusal = [](std::int64_t every, std::int64_t start = 0, std::int64_t release_step = -1) {
    const TemporaryFolder folder;
    auto options = averaged(SwaOptions(), {.start = start, .every = every, .period = by_steps});
    options.release_step = release_step;
    return message_of<lpw::OptionError>([&] { ToyRun(folder / "run", options); });
  };
  CHECK(contains(refusal(49), "`average_plan.every` 49: none of the steps 1 to 32"));
  // Epochs of 12, 12, 4 and 4 steps; after a release at step 14 of 12, 2, 4 and 4.
  CHECK(refusal(32).empty());
  CHECK(contains(refusal(33),
                 "`average_plan.every` 33: none of the steps 1 to 32, which are those from "
                 "`average_plan.start` 0 on, is a multiple of it"));
  CHECK(contains(refusal(18, 3), "none of the steps 29 to 32"));
  CHECK(refusal(29, 3).empty());
  CHECK(contains(refusal(28, 3), "none of the steps 29 to 32"));
  CHECK(contains(refusal(18, 3, 14), "none of the steps 19 to 22"));
  CHECK(refusal(11, 3, 14).empty());
}
