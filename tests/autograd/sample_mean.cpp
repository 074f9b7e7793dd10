#include <lpw/autograd/sample_mean.hpp>

#include <limits>

#include <lpw/autograd/cross_entropy.hpp>
#include <lpw/autograd/elementwise_loss.hpp>
#include <lpw/autograd/kl_divergence.hpp>

#include "support/errors.hpp"
#include "support/gradient_check.hpp"

using namespace lpw;
using namespace lpw::test;

namespace {

DoubleTensor some_weights() {
  auto weights = random_tensor<double>({3, 4}, 3);
  for (std::int64_t i = 0; i < weights.size(); ++i) weights.data()[i] = i % 3 == 0 ? 0 : 1.5 + weights.data()[i];
  return weights;
}

}  // namespace

TEST_CASE("sample_mean: weighted means of members, and their gradients", "[loss]") {
  const auto losses = random_tensor<double>({3, 4}, 1), weights = some_weights();
  std::vector<double> expected, plain;
  for (std::int64_t k = 0; k < 3; ++k) {
    double sum = 0, total = 0, ones = 0;
    for (std::int64_t b = 0; b < 4; ++b) {
      sum += weights.row(k)[b] * losses.row(k)[b];
      total += weights.row(k)[b];
      ones += losses.row(k)[b];
    }
    expected.push_back(sum / total);
    plain.push_back(ones / 4);
  }
  const Tape tape;
  // sums of four terms below 3
  CHECK(largest_difference(sample_mean(tape.input(losses), weights).value(), expected) <= 10 * epsilon<double>());
  CHECK(largest_difference(sample_mean(tape.input(losses)).value(), plain) <= 10 * epsilon<double>());
  expect_gradient("weighted", [&](const auto& in) { return sample_mean(in[0], weights); }, {losses});
  expect_gradient("plain", [&](const auto& in) { return sample_mean(in[0]); }, {losses});
}

TEST_CASE("sample_mean: a member without a sample has the mean 0 and no gradient, the others theirs", "[loss]") {
  Tape tape;
  const auto gradient = zeros<float, Cpu>({2, 2});
  const std::vector<float> losses{3, 5, 7, 9}, weights{0, 0, 1, 3};
  const auto mean =
      sample_mean(tape.leaf(tensor_of<float>({2, 2}, losses), gradient), tensor_of<float>({2, 2}, weights));
  CHECK(values_of(mean.value()) == std::vector<double>{0, 8.5});
  tape.backward(mean);
  CHECK(values_of(gradient) == std::vector<double>{0, 0, 0.25, 0.75});
}

TEST_CASE("sample_mean: a loss of weight 0 counts 0 and has no gradient, be it infinite or NaN", "[loss]") {
  const float infinity = std::numeric_limits<float>::infinity();
  const std::vector<float> weights{1, 0, 0, 3};
  const auto mask = tensor_of<float>({1, 4}, weights);
  const Tape tape;
  const auto mean =
      sample_mean(tape.input(tensor_of<float>({1, 4}, std::vector<float>{4, infinity, std::nanf(""), 8})), mask);
  CHECK(mean.value().data()[0] == 7);

  const auto check = [&](const char* name, const auto& loss) {
    INFO(name);
    auto x = random_tensor<float>({1, 4, 3}, 1);
    auto dx = zeros<float, Cpu>(x.shape());
    x.data()[3] = infinity;
    x.data()[7] = std::nanf("");
    Tape backward;
    const auto y = sample_mean(loss(backward.leaf(x, dx), random_tensor<float>(x.shape(), 2)), mask);
    CHECK(std::isfinite(y.value().data()[0]));
    backward.backward(y);
    for (std::int64_t i = 0; i < x.size(); ++i) CHECK((i / 3 % 3 == 0 ? dx.data()[i] != 0 : dx.data()[i] == 0));
  };
  check("mse_loss", [](const auto& x, const auto& t) { return mse_loss(x, t, {Reduction::samples}); });
  check("l1_loss", [](const auto& x, const auto& t) { return l1_loss(x, t, {Reduction::samples}); });
  check("binary_cross_entropy_with_logits", [](const auto& x, const auto& t) {
    return binary_cross_entropy_with_logits(x, t, {.reduction = Reduction::samples});
  });
  check("kl_divergence", [](const auto& x, const auto& t) { return kl_divergence(x, t, {Reduction::samples}); });
  check("kl_divergence the other way",
        [](const auto& x, const auto& t) { return kl_divergence(t, x, {Reduction::samples}); });
  check("cross_entropy",
        [](const auto& x, const auto& t) { return cross_entropy(x, t, {.reduction = Reduction::samples}); });
}

TEST_CASE("sample_mean: shapes that do not fit", "[loss]") {
  const Tape tape;
  const auto losses = tape.input(zeros<float, Cpu>({2, 3}));
  CHECK(message_of<ShapeError>([&] {
          (void)sample_mean(losses, zeros<float, Cpu>({3, 2}));
        }) == "sample_mean: losses are [2 3], weights [3 2]; expected one for each loss");
  CHECK(message_of<OptionError>([&] {
          (void)sample_mean(losses, full<float, Cpu>({2, 3}, -2.f));
        }) == "sample_mean: weight -2 at 0; expected a number of 0 or more");
  CHECK(message_of<ShapeError>([&] { (void)sample_mean(tape.input(zeros<float, Cpu>({2}))); }) ==
        "sample_mean: expected losses [K B], got [2]");
}
