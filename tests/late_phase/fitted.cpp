// Members mixed by coefficients, and coefficients that are fitted.
#include <lpw/late_phase/fitted.hpp>

#include <lpw/optim/statistics.hpp>

#include "catch.hpp"
#include "support/networks.hpp"

using namespace lpw::test;

using lpw::FitOptions;

namespace {

/// A network with members that differ everywhere they can.
SmallNet<double> released(Selectors late, std::int64_t members) {
  auto network = SmallNet<double>();
  randomize(network, 3);
  lpw::release(network, {.members = members, .late = std::move(late), .sigma = 0.4, .random = Philox(8)});
  if (network.conv.weight.rank_one())
    for (auto* factor : {&network.conv.weight.rank_one()->output, &network.conv.weight.rank_one()->input})
      copy(normal_tensor<double>(factor->value().shape(), Philox(4)), factor->value());
  return network;
}

/// Held-out minibatches of different sizes, their losses as a pass gives them.
struct HeldOut {
  std::vector<Minibatches<double>> batches{{1, 5, 70}, {1, 3, 71}};
  template <class F>
  void operator()(SmallNet<double>& network, bool record, F&& f) const {
    for (const auto& [images, labels] : batches) {
      lpw::Tape tape({.record = record, .mode = lpw::Mode::statistics});
      const auto loss = lpw::cross_entropy(network.forward(tape.input(images)), labels);
      f(tape, loss, labels.size());
    }
  }
};

/// What a plain network's held-out loss is.
double loss_of(SmallNet<double> network) {
  double sum = 0;
  HeldOut()(network, false, [&](lpw::Tape&, const auto& loss, std::int64_t count) {
    sum += *loss.value().data() * static_cast<double>(count);
  });
  return sum / 8;
}

/// |sum_k a_k x_k - y|^2 / 2, by which the descent is seen alone.
struct Quadratic {
  std::vector<std::vector<double>> x{{1, 0}, {0, 2}, {-1.5, -1}, {0.3, 0.4}};
  std::vector<double> y{0.6, 0.7};
  [[nodiscard]] std::vector<double> rest(const std::vector<double>& a) const {
    std::vector<double> r{-y[0], -y[1]};
    for (std::size_t k = 0; k < x.size(); ++k)
      for (std::size_t i = 0; i < 2; ++i) r[i] += a[k] * x[k][i];
    return r;
  }
  [[nodiscard]] double loss(const std::vector<double>& a) const {
    const auto r = rest(a);
    return (r[0] * r[0] + r[1] * r[1]) / 2;
  }
  [[nodiscard]] lpw::MixedLoss with_gradient(const std::vector<double>& a) const {
    const auto r = rest(a);
    std::vector<double> g;
    double mean = 0;
    for (const auto& point : x) {
      g.push_back(r[0] * point[0] + r[1] * point[1]);
      mean += g.back() / static_cast<double>(x.size());
    }
    for (double& value : g) value -= mean;
    return {loss(a), g};
  }
};

}  // namespace

TEST_CASE("members mixed by equal coefficients are their collapse, and by one of them that member") {
  for (const char* late : {"batchnorm,head", "rank1", "rank1,batchnorm", "additive", "all", "head"}) {
    CAPTURE(late);
    auto network = released(Selectors::parse(late), 3);
    const auto before = state_of(network);
    auto mean = lpw::mixed_members(network, lpw::equal_coefficients(3));
    CHECK(lpw::nn::statistics_stale(mean));
    CHECK(state_of(network) == before);
    auto plain = lpw::collapsed(network, lpw::Collapse::parameters);
    const auto expected = state_of(plain), found = state_of(mean);
    REQUIRE(found.size() == expected.size());
    for (const auto& [name, rows] : expected) {
      CAPTURE(name);
      // Sums of three and a product of two factors, each rounded by 1.1e-16 of values up to 10.
      CHECK(relative_difference(found.at(name).values, rows.values) <= 1e-14);
    }
    // A member alone: what it computes with its own statistics, to the rounding of a fold.
    const Minibatches<double> batch(1, 4, 9);
    for (std::int64_t k = 0; k < 3; ++k) {
      auto member = lpw::mixed_members(network, lpw::one_of_members(3, k));
      lpw::nn::set_statistics_stale(member, false);
      const auto alone = member.forward(lpw::Tape::evaluation().input(batch.images)).value(),
                 within = network.forward(lpw::Tape::evaluation({k, 1}).input(batch.images)).value();
      CHECK(relative_difference(alone, within) <= 1e-12);
    }
  }
  auto network = released(Group::head, 2);
  CHECK(message_of<lpw::ShapeError>([&] { (void)lpw::mixed_members(network, lpw::equal_coefficients(3)); }) ==
        "mix_members: 3 coefficients for a network of 2 members");
  CHECK(message_of<lpw::OptionError>([&] {
          (void)lpw::mixed_members(network, std::vector<double>{0.5, 0.6});
        }) == "mix_members: the coefficients sum to 1.1; expected 1");
}

TEST_CASE("the gradient by the coefficients is that of finite differences") {
  for (const char* late : {"batchnorm,head", "rank1", "additive", "all"}) {
    CAPTURE(late);
    auto network = released(Selectors::parse(late), 4);
    lpw::MixtureLoss losses(network, HeldOut());
    const std::vector<double> at{0.4, -0.2, 0.5, 0.3};
    const auto [loss, gradient] = losses.with_gradient(at);
    CHECK(loss == losses.loss(at));
    CHECK(std::abs(loss - loss_of(lpw::mixed_members(network, at))) <= 1e-13 * (1 + loss));
    double sum = 0;
    for (const double g : gradient) sum += g;
    CHECK(std::abs(sum) <= 1e-12);
    for (std::size_t k = 1; k < 4; ++k) {
      constexpr double h = 1e-5;  // errs by h^2 of a third derivative, and by 1e-16 / h of the loss
      auto up = at, down = at;
      up[k] += h, up[0] -= h, down[k] -= h, down[0] += h;
      const double slope = (losses.loss(up) - losses.loss(down)) / (2 * h);
      CAPTURE(k, slope);
      CHECK(std::abs(gradient[k] - gradient[0] - slope) <= 1e-7 * (1 + std::abs(slope)));
    }
  }
}

TEST_CASE("fitted coefficients: a loss that is not one number is refused by its shape") {
  lpw::MeanLoss mean;
  const lpw::Tape tape;
  CHECK_THROWS_WITH(mean.add(tape.input(lpw::zeros<double, lpw::Cpu>({1, 3})), 3),
                    "mean loss: the loss is [1 3]; expected [1], that of one network: reduce it by mean(loss)");
}

TEST_CASE("fitted coefficients are those of the loop written out, and end where nothing is left to gain") {
  const Quadratic problem;
  for (const bool convex : {false, true}) {
    CAPTURE(convex);
    std::vector<double> a{0.25, 0.25, 0.25, 0.25};
    double rate = 0;
    for (int step = 0; step < 8; ++step) {
      const auto r = problem.rest(a);
      std::vector<double> g(4);
      for (std::size_t k = 0; k < 4; ++k) g[k] = r[0] * problem.x[k][0] + r[1] * problem.x[k][1];
      const double mean = (g[0] + g[1] + g[2] + g[3]) / 4;
      double largest = 0;
      for (double& value : g) value -= mean;
      for (const double value : g)
        if (!(std::abs(value) <= largest)) largest = std::abs(value);
      rate = step == 0 ? 0.5 / largest : 2 * rate;
      for (;; rate /= 2) {
        auto next = a;
        for (std::size_t k = 0; k < 4; ++k) next[k] -= rate * g[k];
        if (convex) next = lpw::detail::on_simplex(next);
        double descent = 0;
        for (std::size_t k = 0; k < 4; ++k) descent += g[k] * (a[k] - next[k]);
        if (problem.loss(next) > problem.loss(a) - 1e-4 * descent) continue;
        a = next;
        break;
      }
    }
    const auto found = lpw::fit_coefficients(4, problem, {.steps = 8, .convex = convex});
    REQUIRE(found.losses.size() == 9);
    // Sums in another order, rounded by 1.1e-16 in each of eight steps.
    for (std::size_t k = 0; k < 4; ++k) CHECK(std::abs(found.coefficients[k] - a[k]) <= 1e-13);
    for (std::size_t i = 1; i < 9; ++i) CHECK(found.losses[i] < found.losses[i - 1]);

    const auto end = lpw::fit_coefficients(4, problem, {.steps = 500, .convex = convex});
    const auto gradient = problem.with_gradient(end.coefficients).gradient;
    const double least = *std::min_element(gradient.begin(), gradient.end());
    double sum = 0;
    for (std::size_t k = 0; k < 4; ++k) {
      sum += end.coefficients[k];
      if (convex) CHECK(end.coefficients[k] >= 0);
      if (!convex || end.coefficients[k] > 1e-6) CHECK(gradient[k] - least <= 1e-4);
    }
    CHECK(std::abs(sum - 1) <= 1e-12);
  }
}

TEST_CASE("the simplex's nearest point is on it, and of its own points themselves") {
  for (std::uint32_t draw = 0; draw < 20; ++draw) {
    const Philox random(5, lpw::Stream::test, draw);
    std::vector<double> point;
    for (std::uint64_t k = 0; k < 5; ++k) point.push_back(random.normal(k));
    const auto nearest = lpw::detail::on_simplex(point);
    double sum = 0, shift = -1e9;
    for (const double x : nearest) sum += x;
    CHECK(std::abs(sum - 1) <= 1e-14);
    for (std::size_t k = 0; k < 5; ++k) shift = std::max(shift, point[k] - nearest[k]);
    for (std::size_t k = 0; k < 5; ++k)  // all that are left moved alike, the others had less to lose
      CHECK((nearest[k] > 0 ? std::abs(point[k] - nearest[k] - shift) <= 1e-14 : point[k] <= shift + 1e-14));
    const auto again = lpw::detail::on_simplex(nearest);
    for (std::size_t k = 0; k < 5; ++k) CHECK(std::abs(again[k] - nearest[k]) <= 1e-14);
  }
}

TEST_CASE("fitting lowers the held-out loss of a network, which is that of the network it makes") {
  auto network = released(Selectors::parse("batchnorm,head,rank1"), 4);
  const auto fit = lpw::fit_coefficients(4, lpw::MixtureLoss(network, HeldOut()), {.steps = 10});
  REQUIRE(fit.losses.size() > 1);
  CHECK(fit.losses.back() < fit.losses.front());
  CHECK(std::abs(loss_of(lpw::mixed_members(network, fit.coefficients)) - fit.losses.back()) <= 1e-12);
  CHECK(std::abs(loss_of(lpw::mixed_members(network, lpw::equal_coefficients(4))) - fit.losses.front()) <= 1e-12);
  CHECK(message_of<lpw::OptionError>([&] {
          (void)lpw::fit_coefficients(4, lpw::MixtureLoss(network, HeldOut()), {.steps = 0});
        }) == "fit_coefficients: 0 steps; expected at least 1");
}
