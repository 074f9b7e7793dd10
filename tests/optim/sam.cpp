// Sharpness-aware minimisation against two passes that are written out, in double.
#include <lpw/optim/sam.hpp>

#include <lpw/late_phase/coupling.hpp>
#include <lpw/optim/adam.hpp>
#include <lpw/optim/make_optimizer.hpp>

#include "catch.hpp"
#include "support/ascent.hpp"
#include "support/networks.hpp"

using namespace lpw::test;

using lpw::optim::AdamOptions;
using lpw::optim::Ascending;
using lpw::optim::BaseGradient;
using lpw::optim::OptimizerOptions;
using lpw::optim::Sam;
using lpw::optim::SamOptions;
using lpw::optim::SamPass;
using lpw::optim::SgdOptions;

namespace {

constexpr std::int64_t sam_members = 3, sam_batch = 4;

// Twenty steps of a small network in double pass on differences of some roundings each; below 1e-12 was measured with
// Adam, and a wrong term shows as 1e-3 or more.
constexpr double sam_tolerance = 1e-10;

using Flat = lpw::nn::FlatWeights<double, Cpu>;

/// A released network and its optimizer, on minibatches of its own.
struct Training {
  SmallNet<double> network;
  std::unique_ptr<lpw::optim::Optimizer<double, Cpu>> optimizer;

  explicit Training(const OptimizerOptions& options, const Selectors& late = Group::batch_norm | Group::head)
      : optimizer(lpw::optim::make_optimizer(network, options)) {
    if (!late.empty()) lpw::release(network, *optimizer, {.members = sam_members, .late = late, .sigma = 0.1});
  }
  [[nodiscard]] Flat& flat() { return *lpw::nn::flatten(network); }
  /// The losses at the present weights, whose gradient is added to what there is.
  std::vector<double> accumulate(std::int64_t step) {
    return accumulate_gradient(network,
                               Minibatches<double>(flat().members, sam_batch, static_cast<std::uint32_t>(step)));
  }
};

/// An iteration written out: gradient, perturbation, gradient there, weights and statistics as they were, the
/// optimizer's step.
void written_out_step(Training& training, std::int64_t step, const SamOptions& options) {
  auto& flat = training.flat();
  training.accumulate(step);
  using Store = lpw::AscentStore<double, Cpu>;
  const Store base{flat.value.base, flat.gradient.base, {}}, late{flat.value.late, flat.gradient.late, {}};
  const auto moved = write_out_ascent(options.weights == Ascending::late_phase ? Store{} : base,
                                      options.weights == Ascending::base ? Store{} : late,
                                      {options.rho, options.adaptive, options.eta});
  const auto weights = std::pair(clone(flat.value.base), clone(flat.value.late));
  const auto statistics = clone(flat.buffers);
  for (std::size_t i = 0; i < moved.base.size(); ++i) flat.value.base.data()[i] += moved.base[i];
  for (std::size_t i = 0; i < moved.late.size(); ++i) flat.value.late.data()[i] += moved.late[i];
  fill(flat.gradient.base, 0.0);
  fill(flat.gradient.late, 0.0);
  training.accumulate(step);
  copy(weights.first, flat.value.base);
  copy(weights.second, flat.value.late);
  copy(statistics, flat.buffers);
  training.optimizer->step();
}

Worst worst_difference(Training& found, Training& expected) {
  Worst worst;
  const auto a = state_of(found.network), b = state_of(expected.network);
  for (const auto& [name, rows] : a) worst.add(relative_difference(rows.values, b.at(name).values), name);
  return worst;
}

const OptimizerOptions sgd = SgdOptions{.learning_rate = 0.05, .weight_decay = 1e-3};

}  // namespace

TEST_CASE("sam: twenty steps are those of two passes written out, around every optimizer", "[optim]") {
  const auto inner = GENERATE(
      as<OptimizerOptions>{}, sgd, SgdOptions{.learning_rate = 0.05, .base_gradient = BaseGradient::mean, .clip = 0.5},
      AdamOptions{.learning_rate = 0.01, .epsilon = 1e-3, .weight_decay = 1e-2, .decoupled = true});
  const auto weights = GENERATE(Ascending::all, Ascending::late_phase, Ascending::base);
  const bool adaptive = GENERATE(false, true);
  const SamOptions options{.rho = adaptive ? 0.5 : 0.1, .adaptive = adaptive, .weights = weights};
  constexpr std::int64_t first = 3;  // late SAM
  Training training(inner), loop(inner), without(inner);
  Sam sam(*training.optimizer, options);
  for (std::int64_t step = 0; step < 20; ++step) {
    if (step < first) {
      for (Training* one : {&training, &loop}) one->accumulate(step), one->optimizer->step();
    } else {
      sam.step([&] { training.accumulate(step); });
      written_out_step(loop, step, options);
    }
    without.accumulate(step);
    without.optimizer->step();
    REQUIRE(worst_difference(training, loop) < sam_tolerance);
  }
  CHECK(worst_difference(training, without) > 1e-3);  // it did something
}

TEST_CASE("sam: where it is not active, the bits are those of the optimizer, in one pass", "[optim]") {
  const bool unreleased = GENERATE(false, true);  // and only late-phase weights ascend
  const auto inner = GENERATE(as<OptimizerOptions>{}, sgd, AdamOptions{});
  Training training = unreleased ? Training(inner, Selectors()) : Training(inner),
           alone = unreleased ? Training(inner, Selectors()) : Training(inner);
  Sam sam(*training.optimizer,
          unreleased ? SamOptions{.rho = 0.1, .weights = Ascending::late_phase} : SamOptions{.rho = 0});
  int passes = 0;
  for (std::int64_t step = 0; step < 5; ++step) {
    sam.step([&] { training.accumulate(step), ++passes; }, 0.5, 0.7);
    alone.accumulate(step);
    alone.optimizer->step(0.5, 0.7);
  }
  CHECK(passes == 5);
  CHECK(state_of(training.network) == state_of(alone.network));
}

TEST_CASE("sam: only late-phase weights ascend from their release on", "[optim]") {
  Training training(sgd, Selectors());
  Sam sam(*training.optimizer, {.weights = Ascending::late_phase});
  CHECK(!sam.active());
  lpw::release(training.network, *training.optimizer, {.members = sam_members});
  CHECK(sam.active());
}

TEST_CASE("sam: one network ascends by rho g / |g|", "[optim]") {
  Training training(sgd, Selectors());
  Sam sam(*training.optimizer, {.rho = 0.1});
  training.accumulate(0);
  const auto before = values_of(training.flat().value.base), gradient = values_of(training.flat().gradient.base);
  double square = 0;
  for (const double g : gradient) square += g * g;
  const auto ascent = sam.ascend();
  const auto after = values_of(training.flat().value.base);
  for (std::size_t i = 0; i < before.size(); ++i)
    REQUIRE(difference(after[i], before[i] + 0.1 * gradient[i] / std::sqrt(square)) <= 8 * lpw::epsilon<double>());
}

TEST_CASE("sam: equal members with equal minibatches ascend as one network", "[optim]") {
  const bool adaptive = GENERATE(false, true);
  const SamOptions options{.rho = 0.1, .adaptive = adaptive};
  const OptimizerOptions mean = SgdOptions{.learning_rate = 0.05, .base_gradient = BaseGradient::mean};
  Training plain(mean, Selectors()), several(mean, Selectors());
  lpw::release(several.network, *several.optimizer, {.members = sam_members});
  Sam one(*plain.optimizer, options), all(*several.optimizer, options);
  for (std::int64_t step = 0; step < 5; ++step) {
    const Minibatches<double> single(1, sam_batch, static_cast<std::uint32_t>(step));
    Minibatches<double> same(sam_members, sam_batch, 0);
    for (std::int64_t k = 0; k < sam_members; ++k) {
      std::copy_n(single.images.data(), single.images.size(), same.images.row(k));
      std::copy_n(single.labels.data(), single.labels.size(), same.labels.row(k));
    }
    one.step([&] { (void)accumulate_gradient(plain.network, single); });
    all.step([&] { (void)accumulate_gradient(several.network, same); });
    const auto expected = state_of(plain.network), found = state_of(several.network);
    for (const auto& [name, rows] : found)
      for (std::int64_t k = 0; k < rows.shape[0]; ++k) {
        INFO(name);
        REQUIRE(relative_difference(rows.row(k), expected.at(name).values) < sam_tolerance);
      }
  }
}

TEST_CASE("sam: members that share nothing are networks with a SAM each", "[optim]") {
  Training together(sgd, Selectors::parse("all"));
  std::vector<std::unique_ptr<Training>> alone;
  for (std::int64_t k = 0; k < sam_members; ++k) {
    alone.push_back(std::make_unique<Training>(sgd, Selectors()));
    copy(together.flat().value.late.rows(k, 1), alone.back()->flat().value.base);
  }
  Sam sam(*together.optimizer, {.rho = 0.1});
  for (std::int64_t step = 0; step < 10; ++step) {
    sam.step([&] { together.accumulate(step); });
    const Minibatches<double> batches(sam_members, sam_batch, static_cast<std::uint32_t>(step));
    for (std::int64_t k = 0; k < sam_members; ++k) {
      Training& one = *alone[static_cast<std::size_t>(k)];
      Sam(*one.optimizer, {.rho = 0.1}).step([&] {
        lpw::Tape tape;
        tape.backward(
            lpw::cross_entropy(one.network.forward(tape.input(batches.images_of({k, 1}))), batches.labels_of({k, 1})));
      });
      REQUIRE(relative_difference(together.flat().value.late.rows(k, 1), one.flat().value.base) < sam_tolerance);
    }
  }
}

TEST_CASE("sam: its gradient is that of the loss at the perturbed weights, by finite differences", "[optim]") {
  const bool adaptive = GENERATE(false, true);
  Training training(sgd);
  Sam sam(*training.optimizer, {.rho = adaptive ? 1.0 : 0.2, .adaptive = adaptive});
  training.accumulate(0);
  auto ascent = sam.ascend();
  training.accumulate(0);
  auto& flat = training.flat();
  const auto gradient = std::pair(clone(flat.gradient.base), clone(flat.gradient.late));
  const auto loss = [&] {
    double sum = 0;
    for (const double one : training.accumulate(0)) sum += one;
    return sum;
  };
  constexpr double h = 1e-5;
  const auto check = [&](lpw::Tensor<double, Cpu>& weights, const lpw::Tensor<double, Cpu>& expected) {
    for (std::int64_t i = 0; i < weights.size(); i += 7) {
      const double before = weights.data()[i];
      weights.data()[i] = before + h;
      const double above = loss();
      weights.data()[i] = before - h;
      const double below = loss();
      weights.data()[i] = before;
      // h^2 of a third derivative, and 1e-16 / h of a loss of some ones
      CHECK(difference((above - below) / (2 * h), expected.data()[i]) <= 1e-7);
    }
  };
  check(flat.value.base, gradient.first);
  check(flat.value.late, gradient.second);
}

TEST_CASE("sam: weights come back to the bit, and statistics are the first pass's, even if the second throws",
          "[optim]") {
  Training training(sgd), once(sgd);
  Sam sam(*training.optimizer, {.rho = 0.7});
  once.accumulate(0);
  const auto expected = state_of(once.network);
  training.accumulate(0);
  {
    auto ascent = sam.ascend();
    CHECK(state_of(training.network) != expected);
    training.accumulate(0);
    ascent.restore();
    CHECK(state_of(training.network) == expected);
    fill(training.flat().value.base, 1.0);
  }
  CHECK(values_of(training.flat().value.base) == std::vector<double>(values_of(once.flat().value.base).size(), 1.0));

  Training broken(sgd);
  Sam breaks(*broken.optimizer, {.rho = 0.7});
  const auto pass = [&](SamPass which) {
    broken.accumulate(0);
    if (which == SamPass::second) throw lpw::Error("no more");
  };
  CHECK_THROWS_AS(breaks.step(pass), lpw::Error);
  CHECK(state_of(broken.network) == expected);
}

TEST_CASE("sam: what cannot be is refused", "[optim]") {
  const auto message = [](const SamOptions& options) {
    return message_of<lpw::OptionError>([&] {
      Training training(sgd);
      (void)Sam(*training.optimizer, options);
    });
  };
  const double nan = std::numeric_limits<double>::quiet_NaN();
  CHECK(message({.rho = -1}) == "Sam: rho -1; expected 0 or more");
  CHECK(message({.rho = nan}) == "Sam: rho nan; expected 0 or more");
  CHECK(message({.eta = 0}) == "Sam: eta 0; expected above 0");
  CHECK(message({.eta = nan}) == "Sam: eta nan; expected above 0");
  CHECK(message({}).empty());
  Training replicated(sgd, Selectors::parse("all"));
  CHECK_THROWS_AS(Sam(*replicated.optimizer, {.weights = Ascending::base}).active(), lpw::OptionError);
  Training training(sgd);
  Sam sam(*training.optimizer);
  lpw::collapse(training.network);
  CHECK_THROWS_AS(sam.ascend(), lpw::Error);
}
