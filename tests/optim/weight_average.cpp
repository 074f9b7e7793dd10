// Weight averaging: the mean it is, the running statistics it makes stale, and their recomputation.
#include <lpw/optim/weight_average.hpp>

#include <tuple>

#include "catch.hpp"
#include "support/networks.hpp"

using namespace lpw::test;

using lpw::optim::recompute_statistics;
using lpw::optim::WeightAverage;

namespace {

using Vector = std::vector<double>;

/// A few minibatches [K, B, ...], the last one smaller.
std::vector<lpw::Tensor<double, Cpu>> minibatches(std::int64_t members) {
  return {Minibatches<double>(members, 6, 70).images, Minibatches<double>(members, 6, 71).images,
          Minibatches<double>(members, 3, 72).images};
}

template <class State>
Vector row(const State& state, const std::string& name, std::int64_t k = 0) {
  const auto& rows = state.at(name);
  return rows.row(rows.shape[0] == 1 ? 0 : k);
}

void add_to(Vector& sum, const Vector& values, double weight) {
  sum.resize(values.size(), 0.0);
  for (std::size_t i = 0; i < values.size(); ++i) sum[i] += weight * values[i];
}

/// Mean and biased variance of all values of each channel.
std::pair<Vector, Vector> moments(const Vector& values, std::size_t channels) {
  const auto rows = static_cast<double>(values.size() / channels);
  Vector mean(channels, 0.0), variance(channels, 0.0);
  for (std::size_t i = 0; i < values.size(); ++i) mean[i % channels] += values[i] / rows;
  for (std::size_t i = 0; i < values.size(); ++i)
    variance[i % channels] += std::pow(values[i] - mean[i % channels], 2) / rows;
  return {mean, variance};
}

/// What both batch norms of member k of a network should hold: the moments of all values that reach them, each layer
/// fed by the batch-normalised ones before it.
std::map<std::string, Vector> expected_statistics(const SmallNet<double>& network,
                                                  const std::vector<lpw::Tensor<double, Cpu>>& batches,
                                                  std::int64_t k) {
  std::map<std::string, Vector> values;
  std::map<std::string, std::size_t> channels;
  const auto take = [&](const std::string& norm, const lpw::Tensor<double, Cpu>& x) {
    values[norm].insert(values[norm].end(), x.data(), x.data() + x.size());
    channels[norm] = static_cast<std::size_t>(x.shape()[-1]);
  };
  for (const auto& batch : batches) {
    auto net = lpw::nn::clone_module(network);  // its statistics move in training mode
    const lpw::Tape tape({.record = false, .members = {k, 1}});
    const auto convolved = net.conv.forward(tape.input(batch.rows(k, 1)));
    take("bn1", convolved.value());
    const auto hidden = lpw::relu(net.hidden.forward(lpw::global_average_pool(net.bn1.forward(convolved))));
    take("bn2", hidden.value());
  }
  std::map<std::string, Vector> result;
  for (const auto& [norm, all] : values)
    std::tie(result[norm + ".running_mean"], result[norm + ".running_var"]) = moments(all, channels.at(norm));
  return result;
}

}  // namespace

TEST_CASE(
    "weight average: it is the mean of the snapshots, of base and late-phase weights, and leaves the network alone",
    "[optim]") {
  auto network = SmallNet<double>();
  lpw::optim::Sgd optimizer(network);
  lpw::release(network, optimizer, {.members = 3, .late = Group::batch_norm | Group::rank_one, .sigma = 0.1});
  WeightAverage average(network);
  std::map<std::string, Vector> mean;
  for (int snapshot = 0; snapshot < 5; ++snapshot) {
    train(network, optimizer, 2, static_cast<std::uint32_t>(10 * snapshot));
    const auto before = state_of(network);
    average.update();
    CHECK(state_of(network) == before);
    for (const auto& [name, rows] : before) add_to(mean[name], rows.values, 0.2);
  }
  CHECK(average.updates() == 5);
  const auto last = state_of(network);
  average.apply(network);
  for (const auto& [name, rows] : state_of(network)) {
    CAPTURE(name);
    if (contains(name, "running")) {
      CHECK(rows == last.at(name));
    } else {
      CHECK(relative_difference(rows.values, mean.at(name)) < 1e-14);  // five updates, a rounding or two in each
      CHECK_FALSE(rows == last.at(name));
    }
  }
}

TEST_CASE(
    "weight average: averaged weights cannot be evaluated, collapsed or saved with the statistics of others by "
    "accident",
    "[optim]") {
  auto network = SmallNet<double>();
  lpw::optim::Sgd optimizer(network);
  WeightAverage average(network);
  train(network, optimizer, 1);
  average.update();
  average.apply(network);
  const auto test = Minibatches<double>(1, 4, 0).images;
  const auto evaluate = [&] { return message_of<lpw::Error>([&] { (void)logits_of(network, test); }); };
  const std::string message =
      "batch norm: the weights were averaged after these running statistics were gathered; call "
      "recompute_statistics(network, batches) "
      "before "
      "evaluating";
  CHECK(evaluate() == message);
  train(network, optimizer, 1);  // training goes on, and does not make them fresh
  CHECK(evaluate() == message);
  auto copy = lpw::nn::clone_module(network);
  CHECK_THROWS_AS(logits_of(copy, test), lpw::Error);
  CHECK_THROWS_AS(lpw::collapsed(network), lpw::Error);
  lpw::release(network, optimizer, {.members = 2});
  CHECK(evaluate() == message);

  CHECK(message_of<lpw::OptionError>([&] { recompute_statistics(network, std::vector<lpw::Tensor<double, Cpu>>()); }) ==
        "recompute_statistics: no batches to gather statistics from");
  CHECK(evaluate() == message);
  CHECK(message_of<lpw::ShapeError>([&] { recompute_statistics(network, minibatches(1)); }) ==
        "recompute_statistics: inputs [1 6 8 8 3] for a network of 2 members; expected [K=2 B ...], a minibatch for "
        "every member");
  CHECK(evaluate() == message);
  recompute_statistics(network, minibatches(2));
  CHECK(evaluate().empty());
  (void)lpw::collapsed(network);
}

TEST_CASE("recompute statistics: they are those of all samples together, each member's own", "[optim]") {
  const std::int64_t members = 3, chunk = GENERATE(0, 1, 2, 3);
  CAPTURE(chunk);
  auto network = SmallNet<double>();
  lpw::release(network,
               {.members = members, .late = GENERATE(Group::batch_norm | Group::head, Group::rank_one), .sigma = 0.3});
  randomize(network, 8);
  lpw::optim::mark_statistics_stale(network);
  const auto before = state_of(network);
  const auto batches = minibatches(members);
  recompute_statistics(network, batches, chunk);
  const auto after = state_of(network);
  for (std::int64_t k = 0; k < members; ++k)
    for (const auto& [name, expected] : expected_statistics(network, batches, k)) {
      CAPTURE(name);
      CHECK(relative_difference(row(after, name, k), expected) < 1e-13);  // sums of some hundred terms in another order
    }
  for (const auto& [name, rows] : before)
    if (!contains(name, "running")) CHECK(after.at(name) == rows);
  CHECK_NOTHROW(logits_of(network, Minibatches<double>(1, 4, 0).images, 2));
}

TEST_CASE("recompute statistics: a last minibatch of one sample counts as one sample", "[optim]") {
  lpw::nn::BatchNorm<float, lpw::Cpu> norm(1);
  const auto batch = [](std::int64_t samples, float value) {
    return lpw::full<float, lpw::Cpu>({1, samples, 1}, value);
  };
  recompute_statistics(norm, std::vector{batch(500, 0.f), batch(499, 0.f), batch(1, 1000.f)});
  // The mean square is 1000, of which the mean's is 1; a few roundings each.
  CHECK(std::abs(norm.running_mean.value().data()[0] - 1.f) <= 4 * lpw::epsilon<float>());
  CHECK(std::abs(norm.running_var.value().data()[0] - 999.f) <= 999 * 8 * lpw::epsilon<float>());
}

TEST_CASE("recompute statistics: items may be anything that inputs are taken from, and dropout is off", "[optim]") {
  auto network = wide_resnet<float>(0.5);
  const std::vector<Minibatches<float>> loader = {{1, 4, 0}, {1, 4, 1}};
  const auto gathered = [&] {
    recompute_statistics(network, loader, 0, [](const Minibatches<float>& item) { return item.images; });
    return state_of(network);
  };
  auto plain = wide_resnet<float>();
  recompute_statistics(plain, std::vector{loader[0].images, loader[1].images});
  CHECK(gathered() == state_of(plain));
  CHECK(gathered() == state_of(plain));  // nothing of the statistics before stays
}

TEST_CASE("weight average: it follows a release, where new rank-1 factors count as ones so far", "[optim]") {
  const auto groups = GENERATE(Group::batch_norm | Group::head, Group::rank_one);
  constexpr std::int64_t members = 3;
  auto network = SmallNet<double>();
  lpw::optim::Sgd optimizer(network);
  WeightAverage average(network);
  std::vector<std::map<std::string, Rows<double>>> snapshots;
  const auto epoch = [&](std::uint32_t draw) {
    train(network, optimizer, 1, draw);
    average.update();
    snapshots.push_back(state_of(network));
  };
  epoch(0);
  epoch(1);
  lpw::release(network, lpw::Followers(optimizer, average), {.members = members, .late = groups, .sigma = 0.2});
  epoch(2);
  epoch(3);
  average.apply(network);
  lpw::nn::for_each_parameter(network, [&](const std::string& name, auto& parameter) {
    CAPTURE(name);
    const auto rows = rows_of(parameter.value());
    for (std::int64_t k = 0; k < rows.shape[0]; ++k) {
      Vector mean;
      for (const auto& snapshot : snapshots)
        add_to(mean, snapshot.contains(name) ? row(snapshot, name, k) : Vector(rows.row(k).size(), 1.0), 0.25);
      CHECK(relative_difference(rows.row(k), mean) < 1e-14);  // four updates, a rounding or two in each
    }
  });
}

TEST_CASE("weight average: weights that the network no longer has are not averaged", "[optim]") {
  auto network = SmallNet<double>();
  WeightAverage average(network);
  average.update();
  auto copy = lpw::nn::clone_module(network);
  average.apply(copy);  // the same weights elsewhere
  CHECK(average.updates() == 1);
  network = copy;
  CHECK_THROWS_AS(average.update(), lpw::Error);
  CHECK_NOTHROW(average.apply(network));  // an average of its own, for any network of the form
  CHECK(average.updates() == 1);
}

TEST_CASE("weight average: misuse is refused", "[optim]") {
  auto network = SmallNet<double>();
  WeightAverage average(network);
  CHECK(message_of<lpw::Error>([&] { average.apply(network); }) == "WeightAverage: no weights have been averaged yet");
  average.update();
  auto other = wide_resnet<double>();
  CHECK(message_of<lpw::Error>([&] { average.apply(other); }) ==
        "WeightAverage: the network has other weights than the averaged ones");
  lpw::release(network, {.members = 2});
  CHECK(message_of<lpw::Error>([&] { average.update(); }) ==
        "WeightAverage: the network has been assigned to, collapsed, released without this average, or is gone; make a "
        "new average for it");
  CHECK_THROWS_AS(average.apply(network), lpw::Error);
  WeightAverage stranger(network);
  CHECK_THROWS_AS(lpw::release(other, stranger, {.members = 2}), lpw::Error);
}

TEST_CASE("recompute statistics: 999 zeros and then a single 1000 have the mean and variance of all at once",
          "[optim]") {
  lpw::nn::BatchNorm<double, lpw::Cpu> norm(1);
  const auto batch = [](std::int64_t samples, double value) {
    return lpw::full<double, lpw::Cpu>({1, samples, 1}, value);
  };
  recompute_statistics(norm, std::vector{batch(999, 0), batch(1, 1000)});
  CHECK(std::abs(norm.running_mean.value().data()[0] - 1) <= 4 * lpw::epsilon<double>());
  CHECK(std::abs(norm.running_var.value().data()[0] - 999) <= 999 * 8 * lpw::epsilon<double>());

  // The same samples cut in any way, the smallest minibatch first or last: as in one piece.
  const auto all = normal_tensor<double>({2, 100, 3, 4}, Philox(3, lpw::Stream::test));
  const auto statistics = [&](const std::vector<std::int64_t>& sizes) {
    lpw::nn::BatchNorm<double, lpw::Cpu> layer(4);
    lpw::release(layer, {.members = 2, .late = Group::batch_norm});
    std::vector<lpw::Tensor<double, Cpu>> batches;
    std::int64_t first = 0;
    for (const std::int64_t size : sizes) {
      auto& part = batches.emplace_back(Shape{2, size, 3, 4});
      for (std::int64_t k = 0; k < 2; ++k) std::copy_n(all.row(k) + first * 12, size * 12, part.row(k));
      first += size;
    }
    recompute_statistics(layer, batches);
    Vector result = values_of(layer.running_mean.value());
    const auto variance = values_of(layer.running_var.value());
    result.insert(result.end(), variance.begin(), variance.end());
    return result;
  };
  const auto at_once = statistics({100});
  for (const std::vector<std::int64_t>& sizes :
       std::vector<std::vector<std::int64_t>>{{99, 1}, {1, 99}, {32, 32, 32, 4}, {1, 2, 97}, {50, 50}})
    CHECK(largest_difference(statistics(sizes), at_once) <= 1e-14);  // of 300 values of order 1, in another order
}
