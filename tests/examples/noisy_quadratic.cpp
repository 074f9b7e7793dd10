// The noisy quadratic problem three times: by the closed forms, with all randomness written out, and as lpw does it.
#include <cmath>
#include <string>
#include <vector>

#include "catch.hpp"
#include "noisy_quadratic/closed_form.hpp"
#include "noisy_quadratic/options.hpp"
#include "noisy_quadratic/simulation.hpp"
#include "support/compare.hpp"
#include "support/errors.hpp"

using namespace lpw::test;
using lpw::optim::BaseGradient;
using quadratic::Averaging, quadratic::Iteration, quadratic::Moments, quadratic::Problem, quadratic::Readout,
    quadratic::Training;

namespace {

const Training base{.samples = 120, .learning_rate = 0.3, .late_rate = 0.2, .records = 8};

Training late_phase(BaseGradient base_gradient, double sigma = 0) {
  Training training = base;
  training.name = "late-phase", training.release = 40, training.members = 3, training.base_gradient = base_gradient;
  training.sigma = sigma;
  return training;
}
Training with_averages(Training training, Averaging averaging) {
  training.averaging = averaging;
  return training;
}
Training with_schedule(Training training, lpw::optim::Schedule schedule) {
  training.schedule = std::move(schedule);
  return training;
}

/// What is tested: each choice by itself, and several together.
std::vector<Training> trainings() {
  Training large_batch = base, one_member = late_phase(BaseGradient::sum, 0.5),
           at_once = late_phase(BaseGradient::mean);
  large_batch.name = "large batch", large_batch.batch = 4;
  one_member.members = 1, at_once.release = 0;
  const Averaging each{.start = 60, .every = 1, .decay = 0.9}, third{.start = 50, .every = 3, .decay = 0.7};
  const lpw::optim::LinearAnneal anneal{.start = 30, .end = 90, .final_factor = 0.1};
  return {with_averages(base, each),
          with_averages(large_batch, third),
          with_averages(late_phase(BaseGradient::sum), each),
          with_averages(late_phase(BaseGradient::mean, 0.5), third),
          with_averages(one_member, each),
          at_once,
          with_averages(with_schedule(base, anneal), each),
          with_averages(with_schedule(late_phase(BaseGradient::sum, 0.5), anneal), third),
          with_averages(with_schedule(late_phase(BaseGradient::mean), lpw::optim::Cosine{120}), each)};
}

/// A weight as what it is: start + sum of independent standard normal numbers times coefficients.
struct Linear {
  double constant = 0;
  std::vector<double> of;

  Linear& add(const Linear& other, double factor) {
    constant += factor * other.constant;
    of.resize(std::max(of.size(), other.of.size()));
    for (std::size_t i = 0; i < other.of.size(); ++i) of[i] += factor * other.of[i];
    return *this;
  }
  friend double covariance(const Linear& a, const Linear& b) {
    double sum = 0;
    for (std::size_t i = 0; i < std::min(a.of.size(), b.of.size()); ++i) sum += a.of[i] * b.of[i];
    return sum;
  }
};

/// Algorithm 1 in one direction, written out with all members and every random number.
class WrittenOut {
 public:
  WrittenOut(const Problem& problem, const Training& training, std::int64_t direction)
      : training_(training),
        h_(problem.curvature(direction)),
        deviation_(std::sqrt(problem.noise_variance(direction))) {
    theta_.constant = problem.start;
  }

  /// Consumes minibatches; `consumed` of them before.
  void iterate(std::int64_t consumed) {
    const Training& t = training_;
    if (t.release >= 0 && consumed >= t.release && phi_.empty())
      for (std::int64_t k = 0; k < t.members; ++k) phi_.push_back(draw(t.sigma));
    if (t.averaging.start >= 0 && consumed >= t.averaging.start && history_.empty()) {
      history_.push_back(mean());
      ema_ = mean();
    }
    const double factor = lpw::optim::factor(t.schedule, static_cast<double>(consumed));
    const std::size_t visits = std::max<std::size_t>(1, phi_.size());
    const double gamma = t.base_gradient == BaseGradient::mean ? 1 / static_cast<double>(visits) : 1;
    const Linear before = theta_;
    for (std::size_t k = 0; k < visits; ++k) {
      Linear gradient;
      gradient.add(before, h_);
      if (!phi_.empty()) gradient.add(phi_[k], h_);
      for (std::int64_t b = 0; b < t.batch; ++b) gradient.add(draw(deviation_), h_ / static_cast<double>(t.batch));
      theta_.add(gradient, -t.learning_rate * factor * gamma);
      if (!phi_.empty()) phi_[k].add(gradient, -t.late_rate * factor);
    }
    if (!history_.empty() && ++since_ % t.averaging.every == 0) {
      history_.push_back(mean());
      Linear next;
      ema_ = next.add(ema_, t.averaging.decay).add(mean(), 1 - t.averaging.decay);
    }
  }

  [[nodiscard]] Linear member(std::size_t k) const {
    Linear w = theta_;
    return phi_.empty() ? w : w.add(phi_[k], 1);
  }
  [[nodiscard]] Linear mean() const {
    Linear w = theta_;
    for (const Linear& phi : phi_) w.add(phi, 1 / static_cast<double>(phi_.size()));
    return w;
  }
  [[nodiscard]] Linear swa() const {
    Linear sum;
    for (const Linear& w : history_) sum.add(w, 1 / static_cast<double>(history_.size()));
    return sum;
  }
  [[nodiscard]] const Linear& ema() const { return ema_; }

 private:
  Linear draw(double deviation) {
    Linear result;
    result.of.resize(++drawn_);
    result.of.back() = deviation;
    return result;
  }

  const Training& training_;
  double h_, deviation_;
  Linear theta_, ema_;
  std::vector<Linear> phi_, history_;
  std::int64_t since_ = 0;
  std::size_t drawn_ = 0;
};

std::vector<double> values(const Moments& m) {
  return {m.mean,           m.variance, m.spread,       m.swa.mean,      m.swa.variance,
          m.swa.covariance, m.ema.mean, m.ema.variance, m.ema.covariance};
}

/// The moments that a training has when all randomness is written out.
Moments moments_of(const WrittenOut& written, std::int64_t members, bool averaged) {
  const auto w = written.mean();
  Moments result{w.constant, covariance(w, w), 0, {}, {}};
  if (members > 1) {
    Linear deviation = written.member(0);
    deviation.add(w, -1);
    result.spread = covariance(deviation, deviation) / (1 - 1 / static_cast<double>(members));
  }
  const auto average = [&](const Linear& a) {
    return quadratic::AverageMoments{a.constant, covariance(a, a), covariance(a, w)};
  };
  if (averaged) result.swa = average(written.swa()), result.ema = average(written.ema());
  return result;
}

}  // namespace

TEST_CASE("moments of the noisy quadratic problem are those of Algorithm 1 written out, at every time") {
  const Problem problem{.dimensions = 20, .noise = 0.7, .start = 1.5};
  for (const Training& training : trainings())
    for (const std::int64_t direction : {0, 1, 19}) {
      INFO(training.name << ", direction " << direction);
      quadratic::validate(problem, training);
      const auto plan = iterations(training);
      quadratic::MomentsOf moments(problem, training, direction);
      WrittenOut written(problem, training, direction);
      Worst products, closed;
      bool averaged = false;
      for (std::size_t i = 0; i < plan.size(); ++i) {
        moments.step(plan[i]);
        written.iterate(plan[i].first);
        averaged = averaged || plan[i].starts_averages;
        const auto expected = moments_of(written, plan[i].released ? training.members : 1, averaged);
        const std::string at = lpw::to_text("iteration ", i);
        products.add(distance(values(moments.now), values(expected)), at);
        if (training.constant_rates())
          closed.add(
              distance(values(closed_form(problem, training, plan, direction, std::int64_t(i) + 1)), values(expected)),
              at);
      }
      // Rounding of some hundred terms; the closed forms divide by 1 - r^c >= 0.025 twice.
      CHECK(products <= 1e-13);
      CHECK(closed <= 1e-12);
      if (training.release >= 0 && training.members > 1) {
        const auto w = written.mean();
        Linear deviation = written.member(1);
        deviation.add(w, -1);
        CHECK(difference(covariance(deviation, w), 0) <= 1e-14);  // deviations are independent of the mean
        CHECK(difference(covariance(written.member(2), written.member(2)),
                         moments.now.member_variance(training.members)) <= 1e-13);
      }
    }
}

TEST_CASE("the limits of constant rates are where long training ends") {
  const Problem problem{.dimensions = 4, .noise = 0.7, .start = 1.5};
  for (Training training : trainings()) {
    if (!training.constant_rates()) continue;
    INFO(training.name);
    training.samples = 20000, training.records = 1;
    const auto last = quadratic::expected_losses(problem, training).back();
    const auto limit = quadratic::limit_losses(problem, training);
    for (std::size_t readout = 0; readout < quadratic::readout_names.size(); ++readout) {
      INFO(quadratic::readout_names[readout]);
      REQUIRE(last.losses[readout].has_value() == limit[readout].has_value());
      if (!limit[readout] || readout == static_cast<std::size_t>(Readout::swa)) continue;
      CHECK(difference(last.losses[readout]->mean, limit[readout]->mean) <= 1e-13);
      CHECK(difference(last.losses[readout]->variance, limit[readout]->variance) <= 1e-13);
    }
    if (training.averaging.start < 0) continue;
    // n Var A -> v (1 + rho) / (1 - rho): SWA's loss falls as 1 / n.
    const auto swa = [&](std::int64_t samples) {
      Training longer = training;
      longer.samples = samples;
      return quadratic::expected_losses(problem, longer).back().losses[std::size_t(Readout::swa)]->mean;
    };
    CHECK(difference(swa(80000) / swa(20000), 0.25) <= 0.02);  // the start has not quite been forgotten
  }
}

TEST_CASE("an exponential average's closed form holds where its decay is a direction's own") {
  // r = 1 - 0.1 / 2 = 0.95, to the bit and beside it.
  const Problem problem{.dimensions = 2, .noise = 1, .start = 1};
  for (const double decay : {1 - 0.1 * 0.5, 0.95, 0.95 + 1e-15, 0.95 + 1e-9, 0.95 - 1e-6}) {
    Training training = base;
    training.learning_rate = 0.1, training.averaging = {.start = 10, .every = 1, .decay = decay};
    const auto plan = iterations(training);
    quadratic::MomentsOf moments(problem, training, 1);
    for (const Iteration& iteration : plan) moments.step(iteration);
    CHECK(distance(values(closed_form(problem, training, plan, 1, std::ssize(plan))), values(moments.now)) <= 1e-13);
  }
}

TEST_CASE("the collapsed network is distributed as a large batch's at the rate alpha") {
  const Problem problem{.dimensions = 30, .noise = 1, .start = 0.5};
  for (const BaseGradient base_gradient : {BaseGradient::sum, BaseGradient::mean}) {
    Training members = late_phase(base_gradient), batch = base;
    members.release = 0;
    batch.batch = members.members, batch.learning_rate = members.rate_of_mean(true);
    const auto a = quadratic::expected_losses(problem, members), b = quadratic::expected_losses(problem, batch);
    REQUIRE(a.size() == b.size());
    for (std::size_t at = 0; at < a.size(); ++at) {
      CHECK(difference(a[at].losses[0]->mean, b[at].losses[0]->mean) <= 1e-14);
      CHECK(difference(a[at].losses[0]->variance, b[at].losses[0]->variance) <= 1e-14);
    }
  }
}

TEST_CASE("what lpw trains is within three standard errors of the closed forms at all times") {
  const Problem problem{.dimensions = 100, .noise = 1, .start = 1};
  constexpr std::int64_t repeats = 100;
  for (const Training& training : trainings()) {
    INFO(training.name);
    const auto expected = training.constant_rates() ? quadratic::closed_form_losses(problem, training)
                                                    : quadratic::expected_losses(problem, training);
    const auto simulated = quadratic::simulated_losses(problem, training, 1, repeats);
    REQUIRE(simulated.size() == expected.size());
    for (std::size_t at = 0; at < expected.size(); ++at)
      for (std::size_t readout = 0; readout < quadratic::readout_names.size(); ++readout) {
        INFO(quadratic::readout_names[readout] << " after " << expected[at].samples << " minibatches");
        REQUIRE(simulated[at][readout].has_value() == expected[at].losses[readout].has_value());
        if (!simulated[at][readout]) continue;
        CHECK(std::abs(standard_errors(*simulated[at][readout], *expected[at].losses[readout], repeats)) <= 3);
      }
  }
}

TEST_CASE("means and covariances of what lpw trains are those of the theory in all directions alike") {
  const Problem problem{.dimensions = 100, .noise = 1, .start = 1};
  constexpr std::int64_t repeats = 100;
  for (const Training& training : trainings()) {
    INFO(training.name);
    const auto plan = iterations(training);
    std::vector<quadratic::MomentsOf> moments;
    for (std::int64_t i = 0; i < problem.dimensions; ++i) moments.emplace_back(problem, training, i);
    for (auto& of : moments)
      for (const Iteration& iteration : plan) of.step(iteration);
    const std::int64_t last = plan.back().record;
    // Sums over directions and repeats of x^2, for standardised x of mean 0 and variance 1, and of products.
    double squares = 0, deviations = 0, averages = 0, products = 0, expected_products = 0, sum = 0;
    for (std::int64_t repeat = 0; repeat < repeats; ++repeat)
      quadratic::Simulation(problem, training, {2, repeat}).run([&](std::int64_t record, const auto& weights) {
        if (record != last) return;
        for (std::size_t i = 0; i < moments.size(); ++i) {
          const Moments& m = moments[i].now;
          const double w = (weights.collapsed[i] - m.mean) / std::sqrt(m.variance);
          squares += w * w, sum += w;
          if (weights.members.size() > 1) {
            const double d = weights.members[0][i] - weights.collapsed[i];
            deviations += d * d / (m.member_variance(training.members) - m.variance);
          }
          if (!weights.swa) continue;
          const double a = ((*weights.swa)[i] - m.swa.mean) / std::sqrt(m.swa.variance);
          averages += a * a, products += a * w;
          expected_products += m.swa.covariance / std::sqrt(m.swa.variance * m.variance);
        }
      });
    const double count = static_cast<double>(problem.dimensions * repeats);
    // x^2 has variance 2, and a product of correlated ones at most 2: four standard errors of their means.
    const double tolerance = 4 * std::sqrt(2 / count);
    CHECK(difference(sum / count, 0) <= 4 / std::sqrt(count));
    CHECK(difference(squares / count, 1) <= tolerance);
    if (training.release >= 0 && training.members > 1) CHECK(difference(deviations / count, 1) <= tolerance);
    if (training.averaging.start < 0) continue;
    CHECK(difference(averages / count, 1) <= tolerance);
    CHECK(difference(products / count, expected_products / count) <= tolerance);
  }
}

TEST_CASE("trainings that start in the limit stay there") {
  const Problem problem{.dimensions = 100, .noise = 1, .start = 1};
  quadratic::Options options;
  options.steady_iterations = 40, options.lr = 0.15;
  constexpr std::int64_t repeats = 100;
  for (const std::int64_t members : {1, 3})
    for (const Training& training : quadratic::steady_trainings(options, members)) {
      INFO(training.name << ", K = " << members);
      const auto expected = quadratic::closed_form_losses(problem, training);
      const auto limit = quadratic::limit_losses(problem, training);
      const auto simulated = quadratic::simulated_losses(problem, training, 3, repeats);
      for (std::size_t readout = 0; readout < quadratic::readout_names.size(); ++readout) {
        REQUIRE(expected.back().losses[readout].has_value() == limit[readout].has_value());
        if (!limit[readout]) continue;
        CHECK(difference(expected.back().losses[readout]->mean, limit[readout]->mean) <= 1e-14);
        CHECK(std::abs(standard_errors(*simulated.back()[readout], *limit[readout], repeats)) <= 3);
      }
    }
}

TEST_CASE("members see the minibatches of plain training, in its order") {
  const Problem problem{.dimensions = 10, .noise = 1, .start = 1};
  const quadratic::Draws draws{.seed = 5, .repeat = 2};
  const auto one = draw_minibatches(problem, draws, 3, 1, 1), next = draw_minibatches(problem, draws, 4, 1, 1),
             both = draw_minibatches(problem, draws, 3, 2, 1), batch = draw_minibatches(problem, draws, 3, 1, 2);
  for (std::int64_t i = 0; i < 10; ++i) {
    CHECK(both.row(0)[i] == one.data()[i]);
    CHECK(both.row(1)[i] == next.data()[i]);
    CHECK(difference(batch.data()[i], (one.data()[i] + next.data()[i]) / 2) <= 1e-14 * 10);
    CHECK(one.data()[i] != next.data()[i]);
  }
}

TEST_CASE("rates that overshoot the minimum are refused with the reason") {
  const Problem problem{.dimensions = 10};
  const auto refusal = [&](const Training& training) -> std::string {
    try {
      quadratic::validate(problem, training);
    } catch (const lpw::OptionError& error) {
      return error.what();
    }
    return "";
  };
  Training sgd = base, sum = late_phase(BaseGradient::sum), mean = late_phase(BaseGradient::mean);
  sgd.learning_rate = 1.99;
  CHECK(refusal(sgd).empty());
  sgd.learning_rate = 2;
  CHECK(refusal(sgd).find("SGD has the rate alpha = 2, so that alpha h = 2") != std::string::npos);
  CHECK(refusal(with_schedule(base, lpw::optim::MultiStep{{50}, 7})).find("alpha h = 2.1") != std::string::npos);
  sum.learning_rate = sum.late_rate = 0.5;  // 3 x 0.5 + 0.5
  CHECK(refusal(sum).find("the members' mean has the rate alpha = 2") != std::string::npos);
  mean.learning_rate = 0.6;
  CHECK(refusal(mean).empty());
  mean.late_rate = 1.5;
  CHECK(refusal(mean).find("alpha h = 2.1") != std::string::npos);
  mean.learning_rate = 0, mean.late_rate = 2;
  CHECK_FALSE(refusal(mean).empty());
  Training early = late_phase(BaseGradient::mean);
  early.averaging.start = 10;
  CHECK(refusal(early).find("`average_start` 10 is before `release` 40") != std::string::npos);
}
