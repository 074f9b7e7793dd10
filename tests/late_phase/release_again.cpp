// Collapse, train on, release again: stores, optimizer states and averages follow, with momentum or without.
#include <lpw/optim/make_optimizer.hpp>
#include <lpw/optim/weight_average.hpp>

#include "catch.hpp"
#include "support/networks.hpp"

using namespace lpw::test;
using lpw::Collapse;
using lpw::ReleaseMomentum;

namespace {

using AgainNet = SmallNet<double>;
using Optimizer = lpw::optim::Optimizer<double, Cpu>;
using States = std::vector<std::map<std::string, Rows<double>>>;

/// An optimizer's states under the parameters' names.
States states_of(AgainNet& network, Optimizer& optimizer) {
  States result;
  for (const auto& state : optimizer.states()) {
    auto& rows = result.emplace_back();
    for (const auto& segment : lpw::nn::flatten(network)->segments) {
      const auto& store = segment.late_phase ? state.pair.late : state.pair.base;
      rows.emplace(segment.name, rows_of(store.columns(segment.offset, {segment.size})));
    }
  }
  return result;
}

std::vector<double> mean_row(const Rows<double>& rows) {
  std::vector<double> mean(static_cast<std::size_t>(rows.shape.size_from(1)), 0.0);
  for (std::int64_t k = 0; k < rows.shape[0]; ++k)
    for (std::size_t i = 0; i < mean.size(); ++i) mean[i] += rows.row(k)[i] / static_cast<double>(rows.shape[0]);
  return mean;
}

/// A network of its own with these weights, trained by a new optimizer with these states: what goes on from them
/// whatever happened before.
template <class Made>
auto restarted(AgainNet& network, Optimizer& optimizer, const Made& options) {
  auto copy = lpw::nn::clone_module(network);
  auto other = lpw::optim::make_optimizer(copy, lpw::optim::OptimizerOptions(options));
  const auto states = states_of(network, optimizer);
  for (std::size_t s = 0; s < states.size(); ++s)
    for (const auto& segment : lpw::nn::flatten(copy)->segments) {
      auto& pair = other->states()[s].pair;
      auto columns = (segment.late_phase ? pair.late : pair.base).columns(segment.offset, {segment.size});
      const auto& rows = states[s].at(segment.name);
      for (std::int64_t k = 0; k < columns.dim(0); ++k) std::copy_n(rows.row(k).begin(), segment.size, columns.row(k));
    }
  other->set_steps(optimizer.steps());
  train(copy, *other, 2, 50);
  return state_of(copy);
}

const lpw::optim::SgdOptions late_sgd{.learning_rate = 0.05, .late = lpw::optim::Rates{0.02, 1e-3}};
const lpw::optim::AdamOptions late_adam{.learning_rate = 0.01, .late = lpw::optim::Rates{0.02, 0}};

/// Two releases with a collapse between them; at each stage what follows trains on as a restart does.
template <class Options>
void check_goes_on(const Options& options, const Selectors& late, Collapse form) {
  AgainNet network;
  const auto optimizer = lpw::optim::make_optimizer(network, lpw::optim::OptimizerOptions(options));
  const auto check_stage = [&](std::int64_t members, std::uint32_t draw) {
    CHECK(lpw::nn::members(network) == members);
    CHECK(optimizer->follows(*lpw::nn::flatten(network)));
    const auto expected = restarted(network, *optimizer, options);
    auto same = lpw::nn::clone_module(network);  // which stays, since the network goes on
    train(network, *optimizer, 2, 50);
    CHECK(state_of(network) == expected);
    CHECK(state_of(network) != state_of(same));
    train(network, *optimizer, 1, draw);
  };
  check_stage(1, 0);
  for (const std::int64_t members : {3, 2}) {
    lpw::release(network, *optimizer, {.members = members, .late = late, .sigma = 0.1});
    check_stage(members, 10);
    lpw::collapse(network, *optimizer, form);
    check_stage(1, 20);
  }
}

}  // namespace

TEST_CASE("release again: after each release and collapse training goes on with all states", "[late_phase]") {
  const auto form = GENERATE(Collapse::affine, Collapse::parameters);
  const std::string late =
      GENERATE("batchnorm,head", "rank1", "batchnorm,rank1", "additive", "rank1,additive:bn*", "all");
  check_goes_on(late_sgd, Selectors::parse(late), form);
  check_goes_on(late_adam, Selectors::parse(late), form);
}

TEST_CASE("collapse: momentum becomes the mean of the members', and that of shared weights stays", "[late_phase]") {
  const Group groups = GENERATE(Group::batch_norm | Group::head, Group::rank_one | Group::batch_norm);
  AgainNet network;
  lpw::optim::Sgd optimizer(network, late_sgd);
  train(network, optimizer, 2);
  lpw::release(network, optimizer, {.members = 3, .late = groups});
  train(network, optimizer, 2);
  const auto before = states_of(network, optimizer)[0];
  lpw::collapse(network, optimizer);
  const auto after = states_of(network, optimizer)[0];
  CHECK(after.size() == 9);  // factors are gone, in which nothing is to be stepped
  for (const auto& [name, rows] : after) {
    CAPTURE(name);
    // A rounding for each of three rows.
    CHECK(relative_difference(rows.values, mean_row(before.at(name))) < 4 * lpw::epsilon<double>());
  }
}

TEST_CASE("collapse: Adam's moments of late-phase weights join the base weights' with their bias correction",
          "[late_phase]") {
  AgainNet network;
  lpw::optim::Adam optimizer(network, late_adam);
  train(network, optimizer, 4);
  lpw::release(network, optimizer, {.members = 3, .late = Group::rank_one | Group::batch_norm});
  train(network, optimizer, 3);  // new factors: the late-phase store counts from 0 on
  const auto before = states_of(network, optimizer);
  REQUIRE(optimizer.steps() == lpw::optim::StepCounts{7, 3});
  lpw::collapse(network, optimizer);
  CHECK(optimizer.steps() == lpw::optim::StepCounts{7, 0});
  const auto after = states_of(network, optimizer);
  const double betas[] = {late_adam.beta1, late_adam.beta2}, of_sum[] = {3, 9};  // three members' gradients were summed
  for (std::size_t s = 0; s < 2; ++s) {
    const auto corrected = [&](const std::vector<double>& moments, int steps, double size) {
      auto result = moments;
      for (double& x : result) x /= (1 - std::pow(betas[s], steps)) * size;
      return result;
    };
    for (const auto& [name, rows] : after[s]) {
      CAPTURE(name, s);
      const bool late = contains(name, "bn");
      const auto expected = corrected(mean_row(before[s].at(name)), late ? 3 : 7, late ? 1 : of_sum[s]);
      // Subtraction in 1 - beta^3 costs 1 / (3 (1 - beta)) roundings, some 400 for the square; a dozen beside.
      CHECK(relative_difference(corrected(rows.values, 7, 1), expected) < 1000 * lpw::epsilon<double>());
    }
  }
}

TEST_CASE("collapse: an average of weights collapses as the weights do, factors folded", "[late_phase]") {
  const Group groups = GENERATE(Group::batch_norm | Group::head, Group::rank_one);
  AgainNet network;
  lpw::optim::Sgd optimizer(network, late_sgd);
  lpw::optim::WeightAverage average(network);
  lpw::Followers followers(optimizer, average);
  lpw::release(network, followers, {.members = 3, .late = groups, .sigma = 0.2});
  for (std::uint32_t draw = 0; draw < 3; ++draw) train(network, optimizer, 1, draw), average.update();
  auto averaged = lpw::nn::clone_module(network);
  average.apply(averaged);
  const auto members = state_of(averaged);
  const auto of_weights = lpw::collapsed(network);
  lpw::collapse(network, followers);
  CHECK(average.updates() == 3);
  auto found = lpw::nn::clone_module(network);
  average.apply(found);
  const auto state = state_of(found);
  lpw::nn::for_each_parameter(found, [&](const std::string& name, auto& parameter) {
    CAPTURE(name);
    auto expected = mean_row(members.at(name));
    const std::string layer = name.substr(0, name.rfind('.') + 1);
    if (name.ends_with("weight") && members.contains(layer + "rank_one_r")) {
      const auto r = mean_row(members.at(layer + "rank_one_r")), s = mean_row(members.at(layer + "rank_one_s"));
      for (std::size_t i = 0; i < expected.size(); ++i)
        expected[i] *= r[i / (expected.size() / r.size())] * s[i % s.size()];
    }
    CHECK(relative_difference(values_of(parameter.value()), expected) < 10 * lpw::epsilon<double>());
  });
  auto plain = lpw::nn::clone_module(of_weights);
  CHECK(state != state_of(plain));  // the average is another network than the last weights
  // It goes on: the mean of four, of which the last is the network's own.
  train(network, optimizer, 1, 9);
  average.update();
  const auto own = state_of(network);
  average.apply(network);
  lpw::nn::for_each_parameter(network, [&](const std::string& name, auto& parameter) {
    auto expected = state.at(name).values;
    for (std::size_t i = 0; i < expected.size(); ++i) expected[i] += (own.at(name).values[i] - expected[i]) / 4;
    CHECK(relative_difference(values_of(parameter.value()), expected) < 4 * lpw::epsilon<double>());
  });
}

TEST_CASE("release: without momentum it trains on as with a new optimizer", "[late_phase]") {
  const Group groups = GENERATE(Group::batch_norm | Group::head, Group::rank_one);
  const auto check = [&](const auto& options) {
    const auto run = [&](ReleaseMomentum momentum, bool fresh) {
      AgainNet network;
      auto optimizer = lpw::optim::make_optimizer(network, lpw::optim::OptimizerOptions(options));
      lpw::optim::WeightAverage average(network);
      train(network, *optimizer, 3);
      average.update();
      lpw::Followers followers(*optimizer, average);
      lpw::release(network, followers, {.members = 2, .late = groups, .momentum = momentum});
      CHECK(average.updates() == 1);  // an average is no momentum
      if (fresh) optimizer = lpw::optim::make_optimizer(network, lpw::optim::OptimizerOptions(options));
      if (fresh || momentum == ReleaseMomentum::zero) CHECK(optimizer->steps() == lpw::optim::StepCounts{});
      train(network, *optimizer, 2, 10);
      return state_of(network);
    };
    const auto without = run(ReleaseMomentum::zero, false);
    CHECK(without == run(ReleaseMomentum::carry, true));
    CHECK(without != run(ReleaseMomentum::carry, false));
  };
  check(late_sgd);
  check(late_adam);
}

TEST_CASE("collapse: an optimizer of another network does not follow", "[late_phase]") {
  AgainNet network, other;
  lpw::optim::Sgd of_other(other);
  lpw::release(network, {.members = 2});
  const auto before = state_of(network);
  CHECK(contains(message_of<lpw::Error>([&] { lpw::collapse(network, of_other); }),
                 "collapse: the optimizer was made for another network"));
  CHECK(state_of(network) == before);
}
