// Collapse: the inverse of release, and the averages it takes in weight space.
#include <lpw/late_phase/collapse.hpp>
#include <lpw/nn/sequential.hpp>

#include <lpw/late_phase/predict.hpp>
#include <lpw/optim/weight_average.hpp>

#include "catch.hpp"
#include "support/networks.hpp"

using namespace lpw::test;

using lpw::Collapse;

namespace {

/// The mean of a parameter's rows in double.
template <class W>
std::vector<double> mean_of(const Rows<W>& rows) {
  std::vector<double> mean(static_cast<std::size_t>(rows.shape.size_from(1)), 0.0);
  for (std::int64_t k = 0; k < rows.shape[0]; ++k) {
    const auto row = rows.row(k);
    for (std::size_t i = 0; i < row.size(); ++i) mean[i] += double(row[i]) / static_cast<double>(rows.shape[0]);
  }
  return mean;
}

/// gamma (x - mean) / sqrt(variance + epsilon) + beta at some x, for channel c of row k.
template <class State>
double map_at(const State& state, const std::string& norm, double epsilon, double x, std::int64_t k, std::size_t c) {
  const auto value = [&](const char* name) {
    const auto& rows = state.at(norm + name);
    return double(rows.row(rows.shape[0] == 1 ? 0 : k)[c]);
  };
  return value(".weight") * (x - value(".running_mean")) / std::sqrt(value(".running_var") + epsilon) + value(".bias");
}

template <class State>
void check_affine_mean(const State& before, const State& after, const std::string& norm, double epsilon,
                       std::int64_t members, double tolerance) {
  const auto channels = after.at(norm + ".weight").values.size();
  for (std::size_t c = 0; c < channels; ++c)
    for (const double x : {-2.0, 0.0, 0.7, 5.0}) {
      double mean = 0;
      std::vector<double> values;
      for (std::int64_t k = 0; k < members; ++k) {
        const double y = map_at(before, norm, epsilon, x, k, c);
        mean += y / static_cast<double>(members);
        values.push_back(y);
      }
      CHECK(std::abs(map_at(after, norm, epsilon, x, 0, c) - mean) <= tolerance * (largest_magnitude(values) + 10));
    }
}

}  // namespace

TEMPLATE_TEST_CASE("collapse: right after a release without noise it gives back the network bit for bit",
                   "[late_phase]", float, double) {
  auto network = wide_resnet<TestType>();
  lpw::optim::Sgd optimizer(network);
  train(network, optimizer, 2);  // statistics and batch-norm weights that are not 0 and 1
  const auto before = state_of(network);
  const auto size = lpw::nn::flatten(network)->value.base.shape();
  const auto form = GENERATE(Collapse::affine, Collapse::parameters);
  for (const Group groups : every_choice)
    for (const std::int64_t members : {1, 3, 7, 10}) {
      CAPTURE(members);
      lpw::release(network, {.members = members, .late = groups});
      lpw::collapse(network, form);
      REQUIRE(state_of(network) == before);
      const auto flat = lpw::nn::flatten(network);
      CHECK(flat->members == 1);
      CHECK(flat->value.base.shape() == size);
      CHECK(flat->value.late.size() == 0);
    }
}

TEMPLATE_TEST_CASE("collapse: a plain network stays as it is", "[late_phase]", float, double) {
  auto network = SmallNet<TestType>();
  randomize(network, 3);
  const auto before = state_of(network);
  lpw::collapse(network);
  CHECK(state_of(network) == before);
}

TEMPLATE_TEST_CASE("collapse: the affine form's batch norm is the mean of the members' evaluation maps", "[late_phase]",
                   float, double) {
  const double tolerance =
      20 * double(std::numeric_limits<TestType>::epsilon());  // each weight is rounded once, and once more in the map
  const std::int64_t members = GENERATE(2, 5);
  auto network = SmallNet<TestType>();
  lpw::release(network, {.members = members});
  randomize(network, 4);
  const auto before = state_of(network);
  lpw::collapse(network);
  const auto after = state_of(network);
  check_affine_mean(before, after, "bn1", 1e-5, members, tolerance);
  check_affine_mean(before, after, "bn2", 1e-3, members, tolerance);
  for (const char* name : {"bn1.running_mean", "bn1.running_var", "last.weight", "last.bias"})
    CHECK(relative_difference(after.at(name).values, mean_of(before.at(name))) < tolerance);
  for (const char* name : {"conv.weight", "hidden.weight", "hidden.bias"}) CHECK(after.at(name) == before.at(name));
}

TEMPLATE_TEST_CASE("collapse: batch norm with shared weights and statistics per member collapses by the maps too",
                   "[late_phase]", float, double) {
  const double tolerance = 20 * double(std::numeric_limits<TestType>::epsilon());
  auto network = SmallNet<TestType>();
  lpw::release(network, {.members = 3, .late = Group::head});
  randomize(network, 5);
  const auto before = state_of(network);
  REQUIRE(before.at("bn1.weight").shape == Shape{1, 5});
  REQUIRE(before.at("bn1.running_mean").shape == Shape{3, 5});
  const auto parameters = [&] {
    auto copy = lpw::collapsed(network, Collapse::parameters);
    return state_of(copy);
  }();
  lpw::collapse(network);
  const auto after = state_of(network);
  check_affine_mean(before, after, "bn1", 1e-5, 3, tolerance);
  check_affine_mean(before, after, "bn2", 1e-3, 3, tolerance);
  CHECK(parameters.at("bn1.weight") == before.at("bn1.weight"));
  CHECK_FALSE(after.at("bn1.weight") == before.at("bn1.weight"));
}

TEMPLATE_TEST_CASE("collapse: the parameters form is the mean of every parameter and statistic", "[late_phase]", float,
                   double) {
  auto network = SmallNet<TestType>();
  lpw::release(network, {.members = 4, .late = Group::batch_norm | Group::head});
  randomize(network, 6);
  const auto before = state_of(network);
  lpw::collapse(network, Collapse::parameters);
  const double tolerance =
      4 * double(std::numeric_limits<TestType>::epsilon());  // the reference rounds four times in double
  for (const auto& [name, rows] : state_of(network)) {
    CAPTURE(name);
    CHECK(rows.shape == before.at(name).shape.with(0, 1));
    CHECK(relative_difference(rows.values, mean_of(before.at(name))) < tolerance);
  }
}

TEMPLATE_TEST_CASE("collapse: folded rank-1 factors compute what the averaged factors do", "[late_phase]", float,
                   double) {
  // Products in another association, through five layers.
  const double tolerance = 200 * double(std::numeric_limits<TestType>::epsilon());
  auto network = SmallNet<TestType>();
  lpw::release(network, {.members = 3, .late = Group::rank_one});
  randomize(network, 7);
  auto unfolded = SmallNet<TestType>();  // one member that holds the averages of weights, factors and statistics
  lpw::release(unfolded, {.members = 1, .late = Group::rank_one});
  const auto members = state_of(network);
  const auto put_mean = [&](const std::string& name, auto& member) {
    const auto mean = mean_of(members.at(name));
    std::copy(mean.begin(), mean.end(), member.value().data());
  };
  lpw::nn::for_each_parameter(unfolded, put_mean);
  lpw::nn::for_each_buffer(unfolded, put_mean);

  lpw::collapse(network, Collapse::parameters);
  const Minibatches<TestType> test(1, 6, 1);
  CHECK(relative_difference(logits_of(network, test.images).values, logits_of(unfolded, test.images).values) <
        tolerance);
  CHECK(network.conv.weight.rank_one() == nullptr);
  CHECK(network.hidden.weight.rank_one() == nullptr);

  const auto folded = state_of(network);
  const auto &weight = members.at("hidden.weight").values, &bias = members.at("hidden.bias").values;
  const auto r = mean_of(members.at("hidden.rank_one_r")), s = mean_of(members.at("hidden.rank_one_s"));
  std::vector<double> expected;
  for (std::size_t o = 0; o < 6; ++o)
    for (std::size_t i = 0; i < 5; ++i) expected.push_back(double(weight[o * 5 + i]) * r[o] * s[i]);
  CHECK(relative_difference(folded.at("hidden.weight").values, expected) < tolerance);
  CHECK(folded.at("hidden.bias").values == bias);  // a bias is not scaled by the factors
}

TEST_CASE("collapse: a layer-wise mean of the members' outputs is what a network linear in them gives",
          "[late_phase]") {
  auto network = SmallNet<double>();
  lpw::release(network, {.members = 5, .late = Group::head, .sigma = 0.5});
  const Minibatches<double> test(1, 6, 2);
  std::vector<double> mean(18, 0.0);
  for (std::int64_t k = 0; k < 5; ++k) {
    const auto logits = logits_of(network, test.images, k).values;
    for (std::size_t i = 0; i < mean.size(); ++i) mean[i] += logits[i] / 5;
  }
  lpw::collapse(network);
  CHECK(relative_difference(logits_of(network, test.images).values, mean) <
        1e-13);  // the head is linear; some dozen roundings
}

TEST_CASE("collapse: collapsed() leaves the network as it is and still training", "[late_phase]") {
  const auto groups = GENERATE(Group::batch_norm | Group::head, Group::rank_one);
  const auto run = [&](bool look) {
    auto network = SmallNet<double>();
    lpw::optim::Sgd optimizer(network);
    lpw::release(network, optimizer, {.members = 2, .late = groups, .sigma = 0.1});
    train(network, optimizer, 2);
    if (look) {
      const auto before = state_of(network);
      auto copy = lpw::collapsed(network);
      CHECK(state_of(network) == before);
      CHECK(lpw::nn::members(network) == 2);
      CHECK(lpw::nn::members(copy) == 1);
      lpw::optim::Sgd other(copy);
      train(copy, other, 1);
      CHECK(state_of(network) == before);
      lpw::collapse(copy);  // of a collapsed network: nothing
    }
    train(network, optimizer, 2, 2);
    return state_of(network);
  };
  CHECK(run(true) == run(false));
}

TEST_CASE("collapse: the network trains on with a new optimizer and can be released again", "[late_phase]") {
  const auto groups = GENERATE(Group::batch_norm | Group::head, Group::rank_one);
  auto network = SmallNet<float>();
  lpw::optim::Sgd optimizer(network);
  lpw::release(network, optimizer, {.members = 2, .late = groups, .sigma = 0.1});
  train(network, optimizer, 2);
  lpw::collapse(network);
  CHECK(contains(message_of<lpw::Error>([&] { optimizer.step(); }), "make a new optimizer"));

  const auto collapsed = state_of(network);
  lpw::optim::Sgd next(network);
  train(network, next, 1);
  CHECK_FALSE(state_of(network) == collapsed);
  lpw::release(network, next, {.members = 3, .late = groups});
  train(network, next, 1);
  CHECK(lpw::nn::members(network) == 3);
  const Minibatches<float> test(1, 5, 3);
  CHECK_FALSE(logits_of(network, test.images, 0) == logits_of(network, test.images, 2));
}

TEST_CASE("collapse: the affine form refuses running statistics of other weights", "[late_phase]") {
  auto network = SmallNet<double>();
  lpw::release(network, {.members = 2, .sigma = 0.1});
  lpw::optim::mark_statistics_stale(network);
  const auto before = state_of(network);
  CHECK(contains(message_of<lpw::Error>([&] { lpw::collapse(network); }),
                 "call recompute_statistics(network, batches) first"));
  CHECK(state_of(network) == before);
  lpw::collapse(network, Collapse::parameters);
  CHECK_THROWS_AS(logits_of(network, Minibatches<double>(1, 4, 0).images),
                  lpw::Error);  // still other weights' statistics
  lpw::optim::recompute_statistics(network, std::vector{Minibatches<double>(1, 4, 0).images});
  (void)logits_of(network, Minibatches<double>(1, 4, 0).images);
}

TEST_CASE("collapse: a batch norm that is used twice is averaged once", "[late_phase]") {
  const lpw::nn::BatchNorm<double, Cpu> norm(3);
  lpw::nn::Sequential once(norm);
  lpw::nn::Sequential twice(norm, norm);
  auto single = lpw::nn::clone_module(once);
  for (auto* network : {&single, &once}) lpw::release(*network, {.members = 2, .late = Group::batch_norm});
  randomize(once, 3);
  randomize(single, 3);
  const auto expected = [&] {
    lpw::collapse(single);
    return state_of(single);
  }();
  lpw::collapse(twice);
  CHECK(state_of(twice).at("0.weight").values == expected.at("0.weight").values);
  CHECK(state_of(twice).at("0.bias").values == expected.at("0.bias").values);
}

TEST_CASE("collapse: copies of a module know that its running statistics are stale", "[late_phase]") {
  SmallNet<double> network;
  const auto alias = network;
  auto copy = alias;
  lpw::nn::set_statistics_stale(network, true);
  CHECK_THROWS_AS(copy.bn1.forward(lpw::Tape::evaluation().input(lpw::zeros<double, Cpu>({1, 2, 5}))), lpw::Error);
}
