#include <lpw/train/options.hpp>

#include <cmath>
#include <functional>

#include "catch.hpp"
#include "support.hpp"

using lpw::OptionError;
using namespace lpw::train;

namespace {

/// What validate says of the default options after a change.
std::string refusal(const std::function<void(TrainOptions&)>& change) {
  TrainOptions options;
  change(options);
  return message_of<OptionError>([&] { validate(options); });
}

}  // namespace

TEST_CASE("the default options are valid and release") {
  CHECK(refusal([](auto&) {}).empty());
  CHECK(TrainOptions{}.releases());
}

TEST_CASE("nothing is released with one member, no groups, or too late") {
  CHECK_FALSE(TrainOptions{.members = 1}.releases());
  CHECK_FALSE(TrainOptions{.late = lpw::Group::none}.releases());
  CHECK_FALSE(TrainOptions{.epochs = 5, .release_epoch = 5}.releases());
  CHECK(TrainOptions{.epochs = 5, .release_epoch = 4}.releases());
  CHECK(TrainOptions{.epochs = 5, .release_epoch = 0}.releases());
}

TEST_CASE("release is due after its epoch, or after its step where there is one") {
  const TrainOptions by_epoch{.epochs = 5, .release_epoch = 2},
      by_step{.epochs = 5, .release_epoch = 9, .release_step = 30};
  CHECK_FALSE(by_epoch.due(1, 1000));
  CHECK(by_epoch.due(2, 0));
  CHECK_FALSE(by_step.due(4, 29));
  CHECK(by_step.due(0, 30));
  CHECK_FALSE(TrainOptions{.members = 1, .release_step = 3}.due(0, 3));
}

TEST_CASE("members are released again after each so many epochs") {
  const TrainOptions o{.release_every = 3};
  for (const std::int64_t epochs : {0, 1, 2, 4, 5}) CHECK_FALSE(o.due_again(epochs));
  for (const std::int64_t epochs : {3, 6}) CHECK(o.due_again(epochs));
  CHECK_FALSE(TrainOptions{}.due_again(3));
  CHECK(refusal([](auto& options) { options.release_every = -1; }) == "`release_every` -1; expected at least 0");
}

TEST_CASE("the network is scored after each so many epochs, and after the last") {
  const TrainOptions o{.epochs = 7, .eval_every = 3};
  for (const std::int64_t epoch : {1, 2, 4, 5}) CHECK_FALSE(o.scores_after(epoch));
  for (const std::int64_t epoch : {3, 6, 7}) CHECK(o.scores_after(epoch));
  CHECK(TrainOptions{.epochs = 7}.scores_after(1));
}

TEST_CASE("options that cannot work are refused with value and expectation") {
  CHECK(refusal([](auto& o) { o.epochs = 0; }) == "`epochs` 0; expected at least 1");
  CHECK(refusal([](auto& o) { o.members = 0; }) == "`members` 0; expected at least 1");
  CHECK(refusal([](auto& o) { o.release_epoch = -1; }) == "`release_epoch` -1; expected at least 0");
  CHECK(refusal([](auto& o) { o.eval_every = 0; }) == "`eval_every` 0; expected at least 1");
  CHECK(refusal([](auto& o) { o.sigma = -0.5; }) == "`sigma` -0.5; expected at least 0");
  CHECK(refusal([](auto& o) { o.sigma = NAN; }) == "`sigma` nan; expected at least 0");
  CHECK(refusal([](auto& o) { o.optimizer = lpw::optim::SgdOptions{.learning_rate = INFINITY}; }) ==
        "`learning_rate` inf; expected at least 0");
  CHECK(refusal([](auto& o) {
          o.optimizer = lpw::optim::AdamOptions{.late = lpw::optim::Rates{0.1, NAN}};
        }) == "`late.weight_decay` nan; expected at least 0");
  CHECK(refusal([](auto& o) {
          o.optimizer = lpw::optim::SgdOptions{.coefficients = lpw::optim::Rates{-0.1, 0}};
        }) == "`coefficients.learning_rate` -0.1; expected at least 0");
  CHECK(refusal([](auto& o) { o.member_chunk = 11; }) == "`member_chunk` 11; expected from 0 to the 10 members");
  CHECK(refusal([](auto& o) { o.sum_chunk = -1; }) == "`sum_chunk` -1; expected from 0 to 2^28 numbers");
  CHECK(refusal([](auto& o) { o.member_chunk = -1; }) == "`member_chunk` -1; expected from 0 to the 10 members");
  CHECK(contains(refusal([](auto& o) { o.checkpoint_minutes = NAN; }), "`checkpoint_minutes` nan"));
}

TEST_CASE("averages and snapshots that cannot be are refused with value and expectation") {
  using namespace lpw::optim;
  const auto average = [](const AverageOptions& options, const AveragePlan& plan) {
    return refusal([&](auto& o) { o.average = options, o.average_plan = plan; });
  };
  CHECK(average(SwaOptions(), {.start = 199}).empty());
  CHECK(average(SwaOptions(), {.start = 200}) ==
        "`average_plan.start` 200: averaging would begin after all 200 epochs; take a smaller one");
  CHECK(average(SwaOptions(), {.start = -1}) == "weight averaging: start -1; expected at least 0 epochs");
  CHECK(average(SwaOptions(), {.every = 0}) == "weight averaging: every 0; expected at least 1");
  CHECK(average(SwaOptions(), {.start = 190, .every = 11}) ==
        "`average_plan.every` 11: there are only 10 epochs from `average_plan.start` 190 on, so that nothing would be "
        "averaged; take a smaller one");
  CHECK(average(SwaOptions(), {.start = 190, .every = 11, .period = AveragePlan::Period::steps}).empty());
  CHECK(average(EmaOptions{1}, {}) == "ExponentialAverage: decay 1; expected 0 or more, and below 1");
  CHECK(average(EmaOptions{0.5, NAN}, {}) == "ExponentialAverage: decay nan; expected 0 or more, and below 1");
  CHECK(average(LatestOptions{0}, {}) == "LatestAverage: count 0; expected at least 1");

  const auto snapshots = [](std::int64_t count, const char* schedule) {
    return refusal([&](auto& o) { o.snapshots = count, o.schedule = parse_schedule(schedule, 0.1, 200); });
  };
  CHECK(snapshots(0, "constant").empty());
  for (const char* text :
       {"cosine-cycles:40", "one-cycle", "warmup:5/triangular-cycles:4:0.1:0.01", "iterations:cosine-cycles:100"})
    CHECK(snapshots(5, text).empty());
  CHECK(snapshots(-1, "cosine-cycles:40") == "`snapshots` -1; expected at least 0");
  for (const char* text : {"constant", "anneal", "cosine", "steps:1,2:0.1", "smooth:cosine", "warmup:5"})
    CHECK(snapshots(5, text) ==
          "`snapshots` 5: `schedule` has no cycles, at whose ends they are taken; take one with cycles, such as "
          "cosine-cycles:LENGTH");
  CHECK(snapshots(5, "cosine-cycles:201") ==
        "`snapshots` 5: no cycle of `schedule` ends within 200 epochs; take shorter ones");
}

TEST_CASE("weights of before members are drawn anew are not averaged with theirs") {
  const auto starting = [](std::int64_t average_start, std::int64_t release_epoch) {
    return refusal([&](auto& o) {
      o.release_start = ReleaseStart::redraw, o.release_momentum = lpw::ReleaseMomentum::zero;
      o.release_epoch = release_epoch;
      o.average = lpw::optim::SwaOptions(), o.average_plan.start = average_start;
    });
  };
  CHECK(starting(119, 120) ==
        "`average_plan.start`: weights that are drawn anew have no past to be averaged with; set `average_plan.start` "
        "to `release_epoch` or "
        "later, or `release_start` to copy");
  CHECK(starting(120, 120).empty());
  CHECK(starting(0, 0).empty());
}
