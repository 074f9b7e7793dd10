// Averages over time against their formulas written out over all weights there were, across a release, and what they
// have in common.
#include <lpw/optim/averages/make_average.hpp>

#include <cmath>

#include "catch.hpp"
#include "optim/two_weights.hpp"

using namespace lpw::test;

using lpw::optim::AverageCounts;
using lpw::optim::AverageOptions;
using lpw::optim::AveragePlan;
using lpw::optim::EmaOptions;
using lpw::optim::ExponentialAverage;
using lpw::optim::LatestAverage;
using lpw::optim::LatestOptions;
using lpw::optim::make_average;
using lpw::optim::SwaOptions;
using lpw::optim::WeightAverage;

namespace {

using AnyAverage = lpw::optim::Average<double, Cpu>;

/// The weights of every member, [K][10].
std::vector<Vector> members_of(const lpw::nn::FlatPair<double, Cpu>& pair) {
  std::vector<Vector> rows;
  for (std::int64_t k = 0; k < pair.late.dim(0); ++k) {
    Vector row = values(pair.base);
    const Vector late = values(pair.late.rows(k, 1));
    row.insert(row.end(), late.begin(), late.end());
    rows.push_back(row);
  }
  return rows;
}

/// A network whose weights are drawn anew for each step, all averages of it, and every member's weights so far.
class Walk {
 public:
  explicit Walk(std::int64_t members) : members_(members) {}
  template <class A>
  void follow(A& average) {
    averages_.push_back(&average);
  }

  void steps(int count) {
    for (int i = 0; i < count; ++i) {
      auto& value = lpw::nn::flatten(network)->value;
      for (auto* store : {&value.base, &value.late}) {
        const auto drawn = normal_tensor<double>(store->shape(), Philox(5, lpw::Stream::test, draw_++));
        copy(drawn, *store);
      }
      for (AnyAverage* average : averages_) average->update();
      past_.push_back(members_of(value));
    }
  }
  void release() {
    Followers followers{averages_};
    lpw::release(network, followers, {.members = members_, .late = Group::head});
  }
  /// Of member k, from the first step on.
  [[nodiscard]] std::vector<Vector> past(std::size_t k) const {
    std::vector<Vector> result;
    for (const auto& rows : past_) result.push_back(rows[rows.size() == 1 ? 0 : k]);
    return result;
  }
  /// Whether an average is what a formula makes of every member's past.
  template <class Formula>
  [[nodiscard]] Worst distance_of(const AnyAverage& average, Formula&& formula) const {
    const auto found = members_of(average.average());
    Worst worst;
    for (std::size_t k = 0; k < found.size(); ++k)
      worst.add(largest_difference(found[k], formula(past(k))), lpw::to_text("member ", k));
    return worst;
  }

  TwoWeights<double> network;

 private:
  struct Followers {
    std::vector<AnyAverage*> all;
    [[nodiscard]] bool follows(const AnyAverage::Flat& flat) const {
      return std::all_of(all.begin(), all.end(), [&](const auto* average) { return average->follows(flat); });
    }
    void rearrange(const AnyAverage::Flat& from, const std::shared_ptr<AnyAverage::Flat>& to) const {
      for (auto* average : all) average->rearrange(from, to);
    }
  };

  std::int64_t members_;
  std::uint32_t draw_ = 0;
  std::vector<AnyAverage*> averages_;
  std::vector<std::vector<Vector>> past_;
};

/// sum_i shares_i past_i.
Vector weighted(const std::vector<Vector>& past, const Vector& shares) {
  Vector sum(past.front().size(), 0.0);
  for (std::size_t i = 0; i < past.size(); ++i)
    for (std::size_t j = 0; j < sum.size(); ++j) sum[j] += shares[i] * past[i][j];
  return sum;
}

Vector mean_of_last(const std::vector<Vector>& past, std::size_t count) {
  Vector shares(past.size(), 0.0);
  count = std::min(count, past.size());
  for (std::size_t i = past.size() - count; i < past.size(); ++i) shares[i] = 1.0 / static_cast<double>(count);
  return weighted(past, shares);
}

/// Bias-corrected or PyTorch's, with the decay of each update.
Vector exponential(const std::vector<Vector>& past, const Vector& decays, bool bias_correction) {
  Vector sum(past.front().size(), 0.0);
  double remaining = 1;
  for (std::size_t i = 0; i < past.size(); ++i) {
    const bool starts = !bias_correction && i == 0;
    const double decay = starts ? 0 : decays[i];
    for (std::size_t j = 0; j < sum.size(); ++j) sum[j] = decay * sum[j] + (1 - decay) * past[i][j];
    remaining *= decay;
  }
  for (double& value : sum) value /= 1 - remaining;
  return sum;
}

constexpr double average_rounding = 1e-14;  // weights of a few, twenty updates of a rounding or two each

}  // namespace

TEST_CASE("averages: each is its formula over all weights so far, of every member, before and after release",
          "[optim]") {
  const std::int64_t members = GENERATE(1, 3);
  const int before = GENERATE(0, 1, 10);
  CAPTURE(members, before);
  Walk walk(members);
  WeightAverage swa(walk.network);
  ExponentialAverage ema(walk.network, {.decay = 0.9}), slow(walk.network, {.decay = 0.9, .late_decay = 0.5}),
      torch(walk.network, {.decay = 0.9, .bias_correction = false});
  LatestAverage last(walk.network, {.count = 4}), all(walk.network, {.count = 20});
  for (AnyAverage* average : std::vector<AnyAverage*>{&swa, &ema, &slow, &torch, &last, &all}) walk.follow(*average);

  Vector decays, late_decays;
  const auto step = [&](double late_decay) {
    walk.steps(1);
    decays.push_back(0.9), late_decays.push_back(late_decay);
    const auto check = [&](const AnyAverage& average, auto formula) {
      CHECK(walk.distance_of(average, formula) <= average_rounding);
    };
    const std::size_t count = decays.size();
    check(swa, [&](const auto& past) { return mean_of_last(past, count); });
    check(all, [&](const auto& past) { return mean_of_last(past, count); });  // so that it is SWA
    check(last, [&](const auto& past) { return mean_of_last(past, 4); });
    check(ema, [&](const auto& past) { return exponential(past, decays, true); });
    check(slow, [&](const auto& past) { return exponential(past, late_decays, true); });
    check(torch, [&](const auto& past) { return exponential(past, decays, false); });
  };
  for (int i = 0; i < before; ++i) step(0.9);
  walk.release();
  for (int i = before; i < 20; ++i) step(0.5);
  CHECK(slow.counts() == AverageCounts{20, 20 - before});
  CHECK(swa.counts() == AverageCounts{20, 20 - before});
}

TEST_CASE("averages: an EMA of decay 0, and the last one, are the weights bit for bit", "[optim]") {
  Walk walk(3);
  ExponentialAverage ema(walk.network, {.decay = 0}), late(walk.network, {.decay = 0.99, .late_decay = 0}),
      torch(walk.network, {.decay = 0, .bias_correction = false});
  LatestAverage last(walk.network, {.count = 1});
  for (AnyAverage* average : std::vector<AnyAverage*>{&ema, &late, &torch, &last}) walk.follow(*average);
  const auto is_now = [&](const AnyAverage& average) {
    const auto now = lpw::nn::flatten(walk.network)->value, found = average.average();
    CHECK(same_bits(found.base, now.base));
    CHECK(same_bits(found.late, now.late));
  };
  for (int i = 0; i < 20; ++i) {
    if (i == 10) walk.release();
    walk.steps(1);
    for (const AnyAverage* average : std::vector<const AnyAverage*>{&ema, &torch, &last}) is_now(*average);
    if (i >= 10) is_now(late);
  }
}

TEST_CASE("averages: nothing of weights that have left the last N stays, not even their rounding", "[optim]") {
  TwoWeights<double> network;
  LatestAverage last(network, {.count = 3});
  auto& value = lpw::nn::flatten(network)->value;
  for (const double weight : {1e17, -3e16, 0.1, 0.1, 0.1}) {
    lpw::fill(value.base, weight);
    last.update();
  }
  for (const double found : values(last.average().base)) CHECK(found == 0.1);
}

TEST_CASE("averages: what is put into a network is the average, and makes its statistics stale", "[optim]") {
  auto network = SmallNet<double>();
  lpw::optim::Sgd optimizer(network);
  const auto options = GENERATE(AverageOptions(SwaOptions()), AverageOptions(EmaOptions{.decay = 0.5}),
                                AverageOptions(LatestOptions{2}));
  const auto average = make_average(network, options);
  CHECK(message_of<lpw::Error>([&] { average->apply(network); }).ends_with(": no weights have been averaged yet"));
  lpw::release(network, lpw::Followers(optimizer, *average), {.members = 2, .late = Group::rank_one, .sigma = 0.1});
  for (std::uint32_t i = 0; i < 4; ++i) {
    train(network, optimizer, 1, i);
    average->update();
  }
  const auto expected = average->average();
  const auto before = lpw::clone(lpw::nn::flatten(network)->value.late);
  average->apply(network);
  const auto& flat = *lpw::nn::flatten(network);
  CHECK(same_bits(flat.value.base, expected.base));
  CHECK(same_bits(flat.value.late, expected.late));
  CHECK_FALSE(same_bits(flat.value.late, before));
  CHECK(lpw::nn::statistics_stale(network));
  CHECK_THROWS_AS(logits_of(network, Minibatches<double>(1, 4, 0).images), lpw::Error);

  lpw::collapse(network, lpw::Collapse::parameters);  // which the average does not follow
  CHECK(message_of<lpw::Error>([&] { average->update(); })
            .ends_with("the network has been assigned to, collapsed, released without this average, or is gone; make a "
                       "new average for it"));
  CHECK(message_of<lpw::Error>([&] {
          average->apply(network);
        }).ends_with(": the network has other weights than the averaged ones"));
}

TEST_CASE("averages: they follow a collapse with what they hold collapsed as the network", "[optim]") {
  const auto options = GENERATE(AverageOptions(SwaOptions()), AverageOptions(EmaOptions{.decay = 0.5}),
                                AverageOptions(LatestOptions{3}));
  const Group groups = GENERATE(Group::batch_norm | Group::head, Group::rank_one);
  CAPTURE(options.index());
  auto network = SmallNet<double>();
  lpw::optim::Sgd optimizer(network);
  lpw::release(network, optimizer, {.members = 3, .late = groups, .sigma = 0.3});
  const auto average = make_average(network, options);
  const auto plain_of = [&](const lpw::nn::FlatPair<double, Cpu>& weights) {
    auto copy = lpw::nn::clone_module(network);
    auto& value = lpw::nn::flatten(copy)->value;
    lpw::copy(weights.base, value.base);
    lpw::copy(weights.late, value.late);
    lpw::collapse(copy, lpw::Collapse::parameters);
    return values(lpw::nn::flatten(copy)->value.base);
  };
  std::vector<Vector> past;  // collapsed
  for (std::uint32_t i = 0; i < 4; ++i) {
    train(network, optimizer, 1, i);
    average->update();
    past.push_back(plain_of(lpw::nn::flatten(network)->value));
  }
  const auto before = plain_of(average->average());
  lpw::collapse(network, *average, lpw::Collapse::parameters);
  if (options.index() < 2) CHECK(largest_difference(average->average().base, before) == 0);

  lpw::optim::Sgd next(network);
  for (std::uint32_t i = 10; i < 12; ++i) {
    train(network, next, 1, i);
    average->update();
    const auto now = values(lpw::nn::flatten(network)->value.base);
    past.push_back(now);
    const auto count = static_cast<double>(past.size());
    const auto mixed = [&](double share) {  // of the collapsed average and the one update since
      Vector sum = before;
      for (std::size_t j = 0; j < sum.size(); ++j) sum[j] += (now[j] - sum[j]) * share;
      return sum;
    };
    const auto found = average->average().base;
    if (options.index() == 2) CHECK(largest_difference(found, mean_of_last(past, 3)) <= average_rounding);
    if (options.index() == 0 && i == 10) CHECK(largest_difference(found, mixed(1 / count)) <= average_rounding);
    if (options.index() == 1 && i == 10)
      CHECK(largest_difference(found, mixed(0.5 / (1 - std::pow(0.5, count)))) <= average_rounding);
  }
  average->apply(network);
  CHECK(average->counts() == AverageCounts{6, 4});
  auto stranger = SmallNet<double>();
  CHECK(message_of<lpw::Error>([&] {
          average->before_collapse(stranger);
        }).ends_with(": is not of the network that is to be collapsed"));
}

TEST_CASE("averages: going on from states and counts is going on, at any place of a ring", "[optim]") {
  const int stop = GENERATE(1, 3, 4, 9);
  const auto options =
      GENERATE(AverageOptions(SwaOptions()), AverageOptions(EmaOptions{.decay = 0.9, .late_decay = 0.5}),
               AverageOptions(LatestOptions{4}));
  CAPTURE(stop, options.index());
  Walk walk(2);
  const auto whole = make_average(walk.network, options);
  walk.follow(*whole);
  walk.steps(3);
  walk.release();
  walk.steps(stop);
  const auto resumed = make_average(walk.network, options);
  const auto from = whole->states(), to = resumed->states();
  REQUIRE(from.size() == to.size());
  for (std::size_t i = 0; i < from.size(); ++i) {
    CHECK(from[i].name == to[i].name);
    auto target = to[i].pair;
    copy(from[i].pair.base, target.base);
    copy(from[i].pair.late, target.late);
  }
  resumed->set_counts(whole->counts());
  walk.follow(*resumed);
  walk.steps(6);
  CHECK(same_bits(resumed->average().base, whole->average().base));
  CHECK(same_bits(resumed->average().late, whole->average().late));
  CHECK(resumed->counts() == whole->counts());
}

TEST_CASE("averages: options and counts that cannot be are refused", "[optim]") {
  TwoWeights<double> network;
  for (const double decay : {-0.1, 1.0, 2.0, std::nan("")}) {
    CHECK(lpw::test::contains(message_of<lpw::OptionError>([&] { ExponentialAverage(network, {.decay = decay}); }),
                              "ExponentialAverage: decay "));
    CHECK_THROWS_AS(ExponentialAverage(network, {.late_decay = decay}), lpw::OptionError);
  }
  for (const std::int64_t count : {0, -3})
    CHECK(message_of<lpw::OptionError>([&] { LatestAverage(network, {.count = count}); }) ==
          lpw::to_text("LatestAverage: count ", count, "; expected at least 1"));
  WeightAverage average(network);
  for (const AverageCounts counts : {AverageCounts{-1, 0}, AverageCounts{1, 2}, AverageCounts{1, -1}})
    CHECK(message_of<lpw::OptionError>([&] { average.set_counts(counts); }) ==
          lpw::to_text("WeightAverage: ", counts.updates, " updates, of which ", counts.late_updates,
                       " were of late-phase weights; expected 0 <= late-phase ones <= all"));
}

TEST_CASE("average plan: every so many steps or epochs from the first epoch on that counts", "[optim]") {
  const AveragePlan epochs{.start = 2, .every = 3}, each{.start = 1},
      steps{.start = 2, .every = 4, .period = AveragePlan::Period::steps};
  std::vector<std::int64_t> by_epochs, by_each, by_steps;
  for (std::int64_t epoch = 0; epoch < 9; ++epoch) {
    if (epochs.due_after_epoch(epoch)) by_epochs.push_back(epoch);
    if (each.due_after_epoch(epoch)) by_each.push_back(epoch);
    CHECK_FALSE(steps.due_after_epoch(epoch));
    for (std::int64_t i = 1; i <= 5; ++i) {
      const lpw::optim::Time after{epoch, i, 5, epoch * 5 + i};
      if (steps.due(after)) by_steps.push_back(after.step);
      CHECK_FALSE(epochs.due(after));
    }
  }
  CHECK(by_epochs == std::vector<std::int64_t>{4, 7});
  CHECK(by_each == std::vector<std::int64_t>{1, 2, 3, 4, 5, 6, 7, 8});
  CHECK(by_steps == std::vector<std::int64_t>{12, 16, 20, 24, 28, 32, 36, 40, 44});
  CHECK(message_of<lpw::OptionError>([] { lpw::optim::validate(AveragePlan{.start = -1}); }) ==
        "weight averaging: start -1; expected at least 0 epochs");
  CHECK(message_of<lpw::OptionError>([] { lpw::optim::validate(AveragePlan{.every = 0}); }) ==
        "weight averaging: every 0; expected at least 1");
}
