// One member that is released, the control that tells what the parametrisation does by itself: rank-1 factors against
// gradient descent on W o (r s^T) written out, and the other kinds against what they are without a release.
#include <lpw/nn/linear.hpp>

#include "catch.hpp"
#include "support/networks.hpp"

using namespace lpw::test;

namespace {

/// Softmax regression with logits r o (W (s o x)) + b.
struct FactoredRegression {
  static constexpr std::int64_t inputs = 3, outputs = 4, samples = 5;
  static constexpr double base_rate = 0.3, late_rate = 0.2, base_decay = 0.01, late_decay = 0.02;

  std::vector<double> w, b, r = std::vector<double>(outputs, 1.0), s = std::vector<double>(inputs, 1.0);

  void step(const lpw::Tensor<double, Cpu>& x, const lpw::Tensor<std::int32_t, Cpu>& labels) {
    std::vector<double> dw(w.size(), 0.0), db(b.size(), 0.0), dr(r.size(), 0.0), ds(s.size(), 0.0);
    for (std::int64_t n = 0; n < samples; ++n) {
      std::vector<double> product(outputs, 0.0), p(outputs);
      double sum = 0;
      for (std::size_t o = 0; o < outputs; ++o) {
        for (std::size_t i = 0; i < inputs; ++i) product[o] += w[o * inputs + i] * s[i] * at(x, n, i);
        sum += p[o] = std::exp(r[o] * product[o] + b[o]);
      }
      for (std::size_t o = 0; o < outputs; ++o) {
        const double dy = (p[o] / sum - (labels.data()[n] == static_cast<std::int32_t>(o))) / samples;
        db[o] += dy;
        dr[o] += dy * product[o];
        for (std::size_t i = 0; i < inputs; ++i) {
          dw[o * inputs + i] += dy * r[o] * s[i] * at(x, n, i);
          ds[i] += dy * r[o] * w[o * inputs + i] * at(x, n, i);
        }
      }
    }
    const auto descend = [](std::vector<double>& weight, const std::vector<double>& gradient, double rate,
                            double decay) {
      for (std::size_t i = 0; i < weight.size(); ++i) weight[i] -= rate * (gradient[i] + decay * weight[i]);
    };
    descend(w, dw, base_rate, base_decay);
    descend(b, db, base_rate, base_decay);
    descend(r, dr, late_rate, late_decay);
    descend(s, ds, late_rate, late_decay);
  }

 private:
  static double at(const lpw::Tensor<double, Cpu>& x, std::int64_t n, std::size_t i) {
    return x.data()[n * inputs + static_cast<std::int64_t>(i)];
  }
};

using Regression = lpw::nn::Linear<double, Cpu>;

Regression make_regression() {
  lpw::nn::Initializer init(Philox(4));
  return Regression({.in_features = FactoredRegression::inputs, .out_features = FactoredRegression::outputs}, init);
}

lpw::optim::SgdOptions without_momentum(const lpw::optim::Rates& base, const lpw::optim::Rates& late) {
  return {.learning_rate = base.learning_rate,
          .momentum = 0,
          .nesterov = false,
          .weight_decay = base.weight_decay,
          .late = late};
}

/// Six iterations; shows each minibatch to `beside`.
template <class Beside>
void regress(Regression& layer, lpw::optim::Sgd<double, Cpu>& optimizer, Beside&& beside) {
  using Sizes = FactoredRegression;
  for (std::uint32_t draw = 0; draw < 6; ++draw) {
    const Philox random(1, lpw::Stream::test, draw);
    const auto x = normal_tensor<double>({1, Sizes::samples, Sizes::inputs}, random);
    const auto labels = random_indices({1, Sizes::samples}, Sizes::outputs, random, 1ull << 40);
    lpw::Tape tape;
    tape.backward(lpw::cross_entropy(layer.forward(tape.input(x)), labels));
    optimizer.step();
    beside(x, labels);
  }
}

const double regression_rounding = 200 * lpw::epsilon<double>();  // six steps of sums of some ten terms

}  // namespace

TEST_CASE("rank-1 factors of one member are trained as gradient descent on the product written out", "[late_phase]") {
  using Sizes = FactoredRegression;
  auto layer = make_regression();
  FactoredRegression expected{values_of(layer.weight.value()), values_of(layer.bias->value())};
  lpw::optim::Sgd optimizer(
      layer, without_momentum({Sizes::base_rate, Sizes::base_decay}, {Sizes::late_rate, Sizes::late_decay}));
  lpw::release(layer, optimizer, {.members = 1, .late = Group::rank_one});
  REQUIRE(lpw::nn::flatten(layer)->value.late.shape() == Shape{1, Sizes::outputs + Sizes::inputs});
  regress(layer, optimizer, [&](const auto& x, const auto& labels) { expected.step(x, labels); });
  CHECK(relative_difference(values_of(layer.weight.value()), expected.w) <= regression_rounding);
  CHECK(relative_difference(values_of(layer.bias->value()), expected.b) <= regression_rounding);
  CHECK(relative_difference(values_of(layer.weight.rank_one()->output.value()), expected.r) <= regression_rounding);
  CHECK(relative_difference(values_of(layer.weight.rank_one()->input.value()), expected.s) <= regression_rounding);
  CHECK(relative_difference(expected.r, std::vector<double>(Sizes::outputs, 1.0)) > 1e-2);  // they are trained

  for (std::size_t i = 0; i < expected.w.size(); ++i)
    expected.w[i] *= expected.r[i / Sizes::inputs] * expected.s[i % Sizes::inputs];
  lpw::collapse(layer);
  CHECK(relative_difference(values_of(layer.weight.value()), expected.w) <= regression_rounding);
}

TEST_CASE("additive weights of one member are trained as the plain ones at the sum of both rates", "[late_phase]") {
  constexpr double rate = 0.3, late_rate = 0.2;
  auto layer = make_regression(), plain = make_regression();
  lpw::optim::Sgd optimizer(layer, without_momentum({rate, 0}, {late_rate, 0})),
      at_the_sum(plain, without_momentum({rate + late_rate, 0}, {0, 0}));
  lpw::release(layer, optimizer, {.members = 1, .late = Selectors::parse("additive")});
  REQUIRE(lpw::nn::flatten(layer)->value.late.dim(1) == FactoredRegression::outputs * (FactoredRegression::inputs + 1));
  regress(layer, optimizer, [](const auto&, const auto&) {});
  regress(plain, at_the_sum, [](const auto&, const auto&) {});
  lpw::collapse(layer);
  CHECK(relative_difference(values_of(layer.weight.value()), values_of(plain.weight.value())) <= regression_rounding);
  CHECK(relative_difference(values_of(layer.bias->value()), values_of(plain.bias->value())) <= regression_rounding);
}

TEST_CASE("templates of one member are trained as without a release, to the bit", "[late_phase]") {
  auto released = hyper_resnet<float>(), alone = hyper_resnet<float>();
  const lpw::optim::SgdOptions options{.late = lpw::optim::Rates{0.1, 0}};
  lpw::optim::Sgd with(released, options), without(alone, options);
  const std::int64_t coefficients = lpw::nn::flatten(alone)->value.late.dim(1);
  train(released, with, 1);
  train(alone, without, 1);
  lpw::release(released, with, {.members = 1, .late = Group::templates});
  CHECK(lpw::nn::flatten(released)->value.late.shape() == Shape{1, coefficients});
  train(released, with, 2, 1);
  train(alone, without, 2, 1);
  CHECK(state_of(released) == state_of(alone));
}
