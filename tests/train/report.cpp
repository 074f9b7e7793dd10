#include <lpw/train/report.hpp>

#include "catch.hpp"
#include "support.hpp"

using namespace lpw::train;

namespace {

struct PlannedTask {
  [[nodiscard]] static std::string describe_iteration(std::int64_t members) {
    return lpw::to_text(members, " at once");
  }
  [[nodiscard]] static std::int64_t iterations(std::int64_t members) { return members == 1 ? 7 : 3; }
};

constexpr Words words{"accuracy", "test", "samples"};

using Lines = std::vector<std::string>;

}  // namespace

TEST_CASE("the plan says what an iteration holds before and after release") {
  CHECK(describe_plan({.epochs = 200, .members = 10, .release_epoch = 120}, PlannedTask{}, {}) ==
        Lines{"one network: 1 at once",
              "after 120 of 200 epochs 10 members, each on minibatches of its own: 10 at once"});
  CHECK(describe_plan({.epochs = 2, .members = 10, .release_epoch = 0}, PlannedTask{}, {}) ==
        Lines{"after 0 of 2 epochs 10 members, each on minibatches of its own: 10 at once"});
  CHECK(describe_plan({.epochs = 2, .members = 10, .release_step = 7}, PlannedTask{}, {}) ==
        Lines{"one network: 1 at once", "after 7 iterations 10 members, each on minibatches of its own: 10 at once"});
  const auto of_one = [](std::int64_t release) {
    return describe_plan({.epochs = 2, .members = 1, .release_epoch = release, .release_one = true}, PlannedTask{}, {})
        .back();
  };
  CHECK(of_one(1) == "after 1 of 2 epochs the one member that is released: 1 at once");
  CHECK(of_one(2) == "no late-phase weights will be released: training ends at epoch 2, release would be after 2");
}

TEST_CASE("the plan says what is averaged, and when, and which snapshots are kept") {
  using namespace lpw::optim;
  const auto lines = [](TrainOptions options) {
    options.members = 1;
    Lines result = describe_plan(options, PlannedTask{}, {});
    result.erase(result.begin(), result.begin() + 2);
    return result;
  };
  CHECK(lines({}).empty());
  CHECK(lines({.average = SwaOptions(), .average_plan = {.start = 160}}) ==
        Lines{"averaging: the mean of the weights after every epoch, from epoch 161 on"});
  CHECK(lines({.average = EmaOptions(), .average_plan = {.every = 5, .period = AveragePlan::Period::steps}}) ==
        Lines{"averaging: the exponential mean of the weights after every 5 steps, from epoch 1 on"});
  CHECK(lines({.average = LatestOptions{3}, .snapshots = 4}) ==
        Lines{"averaging: the mean of the last 3 of the weights after every epoch, from epoch 1 on",
              "snapshots: at the ends of the schedule's cycles, of which the last 4 are kept"});
}

TEST_CASE("the plan says which parameters are stepped otherwise than the rest") {
  TrainOptions options{.epochs = 4, .members = 1};
  options.optimizer = lpw::optim::SgdOptions{
      .learning_rate = 0.1,
      .groups = {{.names = {"conv1.*", "layer1.*"}, .frozen = true},
                 {.names = {"fc.*"}, .learning_rate = 1, .weight_decay = 0, .schedule = lpw::optim::Constant{}},
                 {.names = {"*.bias"}}}};
  CHECK(describe_groups(options) == Lines{"parameters conv1.*, layer1.*: frozen",
                                          "parameters fc.*: learning rate 1, weight decay 0, a schedule of their own",
                                          "parameters *.bias: as the rest"});
  CHECK(describe_plan(options, PlannedTask{}, {})[2] == "parameters conv1.*, layer1.*: frozen");
  options.optimizer = lpw::optim::AdamOptions{};
  CHECK(describe_groups(options).empty());
}

TEST_CASE("the plan says what members do beside their steps, and what a step is") {
  const auto lines = [](TrainOptions options) {
    options.members = 3, options.release_epoch = 0;
    Lines result = describe_plan(options, PlannedTask{}, {});
    result.erase(result.begin());
    return result;
  };
  CHECK(lines({}).empty());
  CHECK(lines({.coupling = lpw::PullToMean{.alpha = 0.01}}) ==
        Lines{"coupling: members are pulled to their mean by 0.01 every 10 iterations"});
  CHECK(lines({.coupling = lpw::PullToMean{.alpha = 0.01, .growth = 1.5}, .coupling_every = 1}) ==
        Lines{"coupling: members are pulled to their mean by 0.01, 1.5 times as much each time, every iteration"});
  CHECK(lines({.coupling = lpw::Elastic{}}) ==
        Lines{"coupling: members and a centre pull on each other every 10 iterations"});
  CHECK(lines({.coupling = lpw::Swap{.share = 0.25}, .sam = {.rho = 0.05}, .sam_start = 8}) ==
        Lines{"coupling: members swap a share of 0.25 of their weights every 10 iterations",
              "steps inside SAM, two passes each: rho 0.05, from epoch 9 on"});
  CHECK(lines({.release_every = 2}) == Lines{"members are averaged into one and released again every 2 epochs"});
  CHECK(lines({.epochs = 3, .release_every = 2}).size() == 1);
  CHECK(lines({.epochs = 2, .release_every = 2}).empty());  // it would come with the end
  CHECK(describe_choices({.epochs = 4, .members = 1, .release_epoch = 0, .release_one = true, .release_every = 2}) ==
        Lines{"the member is folded into the network and released again every 2 epochs"});
  CHECK(lines({.release_start = lpw::train::ReleaseStart::redraw}) ==
        Lines{"members start from initial weights of their own: what they are is an ensemble, their mean is none of "
              "them"});
}

TEST_CASE("the plan says when nothing will be released, and why") {
  const auto reason = [](const TrainOptions& options) { return describe_plan(options, PlannedTask{}, {}).back(); };
  CHECK(reason({.members = 1}) == "no late-phase weights will be released: there is 1 member");
  CHECK(reason({.late = lpw::Group::none}) ==
        "no late-phase weights will be released: no late-phase weights are chosen");
  CHECK(reason({.epochs = 4, .release_epoch = 5}) ==
        "no late-phase weights will be released: training ends at epoch 4, release would be after 5");
}

TEST_CASE("the plan says where a run resumes") {
  Progress progress{.epoch = 1, .iteration = 3, .step = 10};
  CHECK(describe_plan({.epochs = 4}, PlannedTask{}, progress).front() == "resuming in epoch 2/4, before iteration 4");
  progress.iteration = 7;
  CHECK(describe_plan({.epochs = 4}, PlannedTask{}, progress).front() ==
        "resuming in epoch 2/4, which is trained, with its evaluation");
  progress.iteration = 3;
  progress.released = true;
  CHECK(describe_plan({.epochs = 4}, PlannedTask{}, progress).front() ==
        "resuming in epoch 2/4, which is trained, with its evaluation");
  progress.epoch = 4;
  CHECK(describe_plan({.epochs = 4}, PlannedTask{}, progress) ==
        Lines{"all 4 epochs are trained already; evaluating again"});
}

TEST_CASE("a line of progress shows pace and time left within 80 columns") {
  Pace pace;
  CHECK(pace.time_for(100) == "-");
  pace.start_epoch();
  pace.trained(1280, 0.5);
  CHECK(pace.samples_per_second() == 2560);
  const Progress progress{.epoch = 119, .iteration = 390, .released = true, .sums = {64, 96, 128}};
  CHECK(progress_line(progress, 200, 391, words, 0.75, pace, "10:00:00") ==
        "epoch 120/200 late 390/391  2560 samples/s  ETA 10:00:00  loss 0.5000  train 0.7500");
  pace.start_epoch();
  pace.trained(10, 1);
  CHECK(pace.samples_per_second() == 10);
}

TEST_CASE("the line of an epoch says which network was tested") {
  const Pace pace;
  EpochRecord record{.epoch = 3,
                     .phase = "base",
                     .learning_rate = 0.1,
                     .train_loss = 1.5,
                     .train_metric = 0.5,
                     .test_metric = 0.25,
                     .seconds = 2};
  CHECK(epoch_line(record, 8, words, pace, "0:10") ==
        "epoch 3/8  base  lr 0.1  loss 1.5000  train 0.5000  test 0.2500  0 samples/s  2.0 s  ETA 0:10");
  record.phase = "late+swa";
  CHECK(contains(epoch_line(record, 8, words, pace, "0:10"),
                 "late+swa  lr 0.1  loss 1.5000  train 0.5000  test (collapsed) 0.2500"));
  record.test_metric = std::nullopt;
  CHECK(epoch_line(record, 8, words, pace, "0:10") ==
        "epoch 3/8  late+swa  lr 0.1  loss 1.5000  train 0.5000  0 samples/s  2.0 s  ETA 0:10");
}
