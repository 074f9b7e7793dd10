#include <lpw/cpu/optimizer.hpp>

#include "catch.hpp"
#include "support/compare.hpp"
#include "support/random.hpp"
#include "support/threads.hpp"

using namespace lpw;
using namespace lpw::test;

namespace {

/// Weights, gradients as they are set before each step, and two states, of which SGD uses the first; and their course
/// in double.
template <class W>
struct State {
  Tensor<W, Cpu> weight, gradient, first, second;
  std::vector<double> w, m, v;

  State(std::int64_t size, std::uint32_t key)
      : weight(random_tensor<W>({1, size}, key)),
        gradient(Shape{1, size}),
        first(zeros<W, Cpu>({1, size})),
        second(zeros<W, Cpu>({1, size})),
        w(values_of(weight)),
        m(w.size(), 0.0),
        v(w.size(), 0.0) {}

  void set_gradient(std::uint32_t key) { copy(random_tensor<W>(gradient.shape(), key), gradient); }
  [[nodiscard]] SgdStore<W, Cpu> with(const SgdStep& step) const { return {weight, gradient, first, step}; }
  [[nodiscard]] AdamStore<W, Cpu> with(const AdamStep& step) const { return {weight, gradient, first, second, step}; }

  /// The step's formulas on this state in double.
  void follow(const SgdStep& s, double factor = 1) {
    for (std::size_t i = 0; i < w.size(); ++i) {
      const double g = factor * s.gradient_scale * double(gradient.data()[i]) + s.weight_decay * w[i];
      m[i] = s.momentum * m[i] + g;
      w[i] -= s.learning_rate * (s.nesterov ? g + s.momentum * m[i] : m[i]);
    }
  }
  void follow(const AdamStep& s, double factor = 1) {
    for (std::size_t i = 0; i < w.size(); ++i) {
      double g = factor * s.gradient_scale * double(gradient.data()[i]);
      if (!s.decoupled) g += s.weight_decay * w[i];
      m[i] = s.beta1 * m[i] + (1 - s.beta1) * g;
      v[i] = s.beta2 * v[i] + (1 - s.beta2) * g * g;
      if (s.decoupled) w[i] *= 1 - s.learning_rate * s.weight_decay;
      const double mean = m[i] / (1 - std::pow(s.beta1, s.count)), square = v[i] / (1 - std::pow(s.beta2, s.count));
      w[i] -= s.learning_rate * mean / (std::sqrt(square) + s.epsilon);
    }
  }

  void check(double tolerance) const {
    CHECK(values_of(gradient) == std::vector<double>(w.size(), 0));
    const auto weights = values_of(weight), means = values_of(first), squares = values_of(second);
    for (std::size_t i = 0; i < w.size(); ++i) {
      REQUIRE(std::abs(weights[i] - w[i]) <= tolerance);
      REQUIRE(std::abs(means[i] - m[i]) <= tolerance);
      REQUIRE(std::abs(squares[i] - v[i]) <= tolerance);
    }
  }
};

constexpr int steps = 6;
/// Per step some ten roundings of values below 6.
template <class W>
constexpr double tolerance = steps * 60 * epsilon<W>();

/// Runs six steps on two stores of different steps, with gradients scaled by a factor in memory or not.
template <class W, class Step, class Run>
void check_steps(Step base_step, Step late_step, const Run& run) {
  for (const double factor : {1.0, 0.375}) {
    INFO("factor " << factor);
    State<W> base(37, 1), late(9, 2);
    for (std::uint32_t t = 0; t < steps; ++t) {
      base.set_gradient(10 + t);
      late.set_gradient(20 + t);
      if constexpr (requires { base_step.count; }) base_step.count = late_step.count = t + 1;
      base.follow(base_step, factor);
      late.follow(late_step, factor);
      run(base.with(base_step), late.with(late_step), factor == 1 ? Tensor<W, Cpu>() : full<W, Cpu>({1}, W(factor)));
    }
    base.check(tolerance<W>);
    late.check(tolerance<W>);
  }
}

}  // namespace

TEMPLATE_TEST_CASE("sgd_step follows the update rule in both stores", "[optimizer]", float, double) {
  for (const SgdStep& step :
       {SgdStep{.learning_rate = 0.1}, SgdStep{.learning_rate = 0.1, .momentum = 0.9},
        SgdStep{.learning_rate = 0.1, .momentum = 0.9, .nesterov = true},
        SgdStep{
            .learning_rate = 0.05, .momentum = 0.8, .nesterov = true, .weight_decay = 0.01, .gradient_scale = 0.25}}) {
    INFO("momentum " << step.momentum << " nesterov " << step.nesterov << " decay " << step.weight_decay << " scale "
                     << step.gradient_scale);
    SgdStep late = step;
    late.learning_rate = 0.3;
    late.weight_decay = 0.02;
    check_steps<TestType>(step, late, [](const auto& b, const auto& l, const auto& factor) { sgd_step(b, l, factor); });
  }
}

TEMPLATE_TEST_CASE("adam_step follows the update rule of Adam and AdamW in both stores", "[optimizer]", float, double) {
  for (const bool decoupled : {false, true})
    for (const AdamStep& step : {AdamStep{.learning_rate = 0.01}, AdamStep{.learning_rate = 0.01,
                                                                  .beta1 = 0.5,
                                                                  .beta2 = 0.9,
                                                                  .epsilon = 1e-3,
                                                                  .weight_decay = 0.1,
                                                                  .decoupled = decoupled,
                                                                  .gradient_scale = 0.25}}) {
      INFO("beta1 " << step.beta1 << " decay " << step.weight_decay << " decoupled " << decoupled);
      AdamStep late = step;
      late.learning_rate = 0.03;
      late.weight_decay = 0.05;
      check_steps<TestType>(step, late,
                            [](const auto& b, const auto& l, const auto& factor) { adam_step(b, l, factor); });
    }
}

TEST_CASE("optimizer steps give the same bits on any number of threads", "[optimizer]") {
  CHECK(same_on_any_threads([&] {
    State<float> sgd(40001, 1), adam(40001, 2), none(0, 3);
    sgd.set_gradient(4);
    adam.set_gradient(5);
    sgd_step(sgd.with(SgdStep{.momentum = 0.9, .nesterov = true, .weight_decay = 5e-4}), none.with(SgdStep{}));
    adam_step(none.with(AdamStep{}), adam.with(AdamStep{.weight_decay = 5e-4}));
    return std::vector{values_of(sgd.weight), values_of(sgd.first), values_of(adam.weight), values_of(adam.first),
                       values_of(adam.second)};
  }));
}

TEMPLATE_TEST_CASE("squared_norm sums in double, in the same order on any number of threads", "[optimizer]", float,
                   double) {
  for (const std::int64_t size : {0, 1, 37, 4096, 4097, 100003}) {
    INFO("size " << size);
    const auto x = random_tensor<TestType>({1, size}, 7);
    double expected = 0;
    for (const double value : values_of(x)) expected += value * value;
    if (size > 4096) CHECK(same_on_any_threads([&] { return squared_norm(x); }));
    // Blocks of 4096 terms, and one block after the other.
    CHECK(std::abs(squared_norm(x) - expected) <= double(4096 + size) * epsilon<double>() * expected);
  }
}

TEST_CASE("clip_factor shortens what is too long, both gradients together", "[optimizer]") {
  const auto of = [](std::vector<double> values) {
    return tensor_of<double>({1, std::int64_t(values.size())}, values);
  };
  const auto factor = [&](std::vector<double> base, double scale, std::vector<double> late, double largest) {
    return clip_factor(ScaledGradient<double, Cpu>{of(base), scale}, ScaledGradient<double, Cpu>{of(late), 1}, largest)
        .data()[0];
  };
  CHECK(factor({30, 0}, 0.1, {4}, 10) == 1);  // norm 5
  CHECK_THAT(factor({30, 0}, 0.1, {4}, 2), Catch::Matchers::WithinRel(2 / (5 + 1e-6), 1e-15));
  CHECK_THAT(factor({3}, 1, {}, 1), Catch::Matchers::WithinRel(1 / (3 + 1e-6), 1e-15));
  CHECK(factor({0}, 1, {0}, 1e-3) == 1);
  CHECK(std::isnan(factor({std::nan("")}, 1, {}, 1)));  // nothing hides a gradient that is none
}
