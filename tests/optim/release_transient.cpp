// Equal members on equal minibatches are one network: the steps after a release are those of the plain network, if what
// gamma_theta does to the base gradient's size is seen to.
#include <lpw/optim/make_optimizer.hpp>

#include "catch.hpp"
#include "support/networks.hpp"

using namespace lpw::test;
using lpw::optim::BaseGradient;

namespace {

constexpr std::int64_t equal_members = 4;
constexpr int equal_steps = 5;
using EqualNet = SmallNet<double>;

/// The same minibatch for each of some members.
Minibatches<double> equal_minibatches(std::int64_t count, std::uint32_t draw) {
  const Minibatches<double> one(1, 6, draw);
  Minibatches<double> all(count, 6, draw);
  for (std::int64_t k = 0; k < count; ++k) {
    auto images = all.images.rows(k, 1);
    auto labels = all.labels.rows(k, 1);
    copy(one.images, images);
    copy(one.labels, labels);
  }
  return all;
}

template <class Optimizer>
void iterate(EqualNet& network, Optimizer& optimizer, std::uint32_t first, int count) {
  for (int i = 0; i < count; ++i) {
    const auto draw = first + static_cast<std::uint32_t>(i);
    (void)accumulate_gradient(network, equal_minibatches(lpw::nn::members(network), draw));
    optimizer.step();
  }
}

template <class Options>
Options with(Options options, BaseGradient base_gradient) {
  options.base_gradient = base_gradient;
  return options;
}

/// How far the members' weights are from the plain network's after `equal_steps` from release on.
/// `interfere` is called between release and those.
template <class Options, class Interfere>
Worst distance_after_release(const Options& options, const Options& of_plain, const lpw::ReleaseOptions& release,
                             Interfere&& interfere) {
  EqualNet network, plain;
  const auto optimizer = lpw::optim::make_optimizer(network, lpw::optim::OptimizerOptions(options));
  const auto alone = lpw::optim::make_optimizer(plain, lpw::optim::OptimizerOptions(of_plain));
  iterate(network, *optimizer, 0, equal_steps);
  iterate(plain, *alone, 0, equal_steps);
  lpw::release(network, *optimizer, release);
  auto one = release;
  one.members = 1;  // the same late-phase weights with their own rates
  lpw::release(plain, *alone, one);
  interfere(*optimizer);
  iterate(network, *optimizer, 20, equal_steps);
  iterate(plain, *alone, 20, equal_steps);
  const auto expected = state_of(plain);
  Worst worst;
  for (const auto& [name, rows] : state_of(network))
    for (std::int64_t k = 0; k < rows.shape[0]; ++k)
      worst.add(relative_difference(rows.row(k), expected.at(name).row(0)), name);
  return worst;
}
constexpr auto nothing = [](auto&) {};

// An epsilon far below the square roots of second moments, so that K times the gradient gives the same step, and far
// above gradients that are zero but for rounding (1e-17), of which Adam would make steps otherwise.
const lpw::optim::AdamOptions plain_adam{.learning_rate = 0.01, .epsilon = 1e-9};
const lpw::optim::SgdOptions plain_sgd{.learning_rate = 0.02, .momentum = 0.9, .weight_decay = 0};
// Steps differ by epsilon over a root, 1e-4 at the very most, and so long are those of rounding; both times the rate,
// ten times at most. SGD's differ by sums of some hundred terms in another order alone.
constexpr double adam_tolerance = 1e-5, sgd_tolerance = 1e-12;

}  // namespace

TEST_CASE("release: Adam's steps are the plain network's from the first one on, summed or averaged", "[optim]") {
  const auto base_gradient = GENERATE(BaseGradient::sum, BaseGradient::mean);
  const Group groups = GENERATE(Group::batch_norm | Group::head, Group::head);
  const bool decoupled = GENERATE(false, true);
  auto options = with(plain_adam, base_gradient);
  options.decoupled = decoupled;
  options.weight_decay = decoupled ? 0.1 : 0;
  const lpw::ReleaseOptions release{.members = equal_members, .late = groups};
  CHECK(distance_after_release(options, options, release, nothing) < adam_tolerance);

  // Moments as they were, of gradients K times smaller, make the steps longer: the transient that is to be seen.
  if (base_gradient == BaseGradient::mean) return;
  const auto as_they_were = [](auto& optimizer) {
    double size = equal_members;
    for (auto& state : optimizer.states()) {
      for (std::int64_t i = 0; i < state.pair.base.size(); ++i) state.pair.base.data()[i] /= size;
      size *= equal_members;
    }
  };
  CHECK(distance_after_release(options, options, release, as_they_were) > 1e-2);
}

TEST_CASE("release: SGD's steps are the plain network's with the rate that gamma_theta gives", "[optim]") {
  const Group groups = GENERATE(Group::batch_norm | Group::head, Group::head);
  const lpw::ReleaseOptions release{.members = equal_members, .late = groups};
  const auto averaged = with(plain_sgd, BaseGradient::mean);
  CHECK(distance_after_release(averaged, averaged, release, nothing) < sgd_tolerance);

  // Summed, from zero momentum: K times the rate for the base weights from release on.
  auto summed = plain_sgd, faster = plain_sgd;
  summed.late = faster.late = lpw::optim::Rates{0.01, 0};
  summed.learning_rate = plain_sgd.learning_rate / equal_members;
  auto without = release;
  without.momentum = lpw::ReleaseMomentum::zero;
  EqualNet network;
  const auto start = state_of(network);
  const auto run = [&](const lpw::optim::SgdOptions& options, const lpw::ReleaseOptions& r) {
    EqualNet net;
    lpw::optim::Sgd optimizer(net, options);
    lpw::release(net, optimizer, r);
    iterate(net, optimizer, 20, equal_steps);
    return state_of(net);
  };
  auto one = without;
  one.members = 1;
  const auto expected = run(faster, one);
  for (const auto& [name, rows] : run(summed, without)) {
    CAPTURE(name);
    for (std::int64_t k = 0; k < rows.shape[0]; ++k)
      CHECK(relative_difference(rows.row(k), expected.at(name).row(0)) < sgd_tolerance);
  }
  CHECK(expected.at("conv.weight").values != start.at("conv.weight").values);
}

TEST_CASE("collapse: Adam's steps are the plain network's from the first one on", "[optim]") {
  const auto options = with(plain_adam, GENERATE(BaseGradient::sum, BaseGradient::mean));
  EqualNet network, plain;
  lpw::optim::Adam optimizer(network, options), alone(plain, options);
  iterate(network, optimizer, 0, equal_steps);
  iterate(plain, alone, 0, equal_steps);
  lpw::release(network, optimizer, {.members = equal_members});
  iterate(network, optimizer, 10, equal_steps);
  iterate(plain, alone, 10, equal_steps);
  lpw::collapse(network, optimizer, lpw::Collapse::parameters);
  iterate(network, optimizer, 20, equal_steps);
  iterate(plain, alone, 20, equal_steps);
  const auto expected = state_of(plain);
  for (const auto& [name, rows] : state_of(network)) {
    CAPTURE(name);
    CHECK(relative_difference(rows.values, expected.at(name).values) < adam_tolerance);
  }
}
