#include <lpw/autograd/cross_entropy.hpp>

#include "support/gradient_check.hpp"

using namespace lpw;
using namespace lpw::test;

namespace {

Tensor<std::int32_t, Cpu> some_labels(std::int64_t members, std::int64_t batch, std::int32_t classes) {
  Tensor<std::int32_t, Cpu> labels({members, batch});
  for (std::int64_t i = 0; i < labels.size(); ++i)
    labels.data()[i] = static_cast<std::int32_t>(i * 7 + i / 3) % classes;
  return labels;
}

/// Each member's mean of -sum_c t_c log softmax(z)_c.
std::vector<double> plain_loss(const std::vector<double>& z, const Tensor<std::int32_t, Cpu>& labels,
                               std::int64_t classes, double smoothing) {
  const std::int64_t members = labels.dim(0), batch = labels.dim(1);
  std::vector<double> loss(members, 0.0);
  for (std::int64_t row = 0; row < members * batch; ++row) {
    double total = 0;
    for (std::int64_t c = 0; c < classes; ++c) total += std::exp(z[row * classes + c]);
    for (std::int64_t c = 0; c < classes; ++c) {
      const double target = (c == labels.data()[row] ? 1 - smoothing : 0) + smoothing / double(classes);
      loss[row / batch] -= target * (z[row * classes + c] - std::log(total)) / double(batch);
    }
  }
  return loss;
}

}  // namespace

TEST_CASE("cross_entropy: gradients", "[cross_entropy]") {
  for (const std::int64_t members : {1, 3})
    for (const double smoothing : {0.0, 0.1}) {
      INFO("K=" << members << " smoothing " << smoothing);
      const auto labels = some_labels(members, 5, 4);
      expect_gradient(
          "cross_entropy", [&](const auto& in) { return cross_entropy(in[0], labels, {.label_smoothing = smoothing}); },
          random_inputs({{members, 5, 4}}));
    }
}

TEMPLATE_TEST_CASE("cross_entropy: each member's mean loss", "[cross_entropy]", float, double, bfloat16) {
  const std::int64_t classes = 17;
  const auto logits = random_tensor<TestType>({3, 5, classes}, 1);
  const auto labels = some_labels(3, 5, classes);
  for (const double smoothing : {0.0, 0.1}) {
    const Tape tape = Tape::evaluation();
    const auto loss = cross_entropy(tape.input(logits), labels, {.label_smoothing = smoothing}).value();
    const auto expected = plain_loss(values_of(logits), labels, classes, smoothing);
    REQUIRE(loss.shape() == Shape{3});
    // The loss is about 3, formed from `classes` exponentials in Accumulate<T>.
    for (std::size_t k = 0; k < 3; ++k)
      CHECK(std::abs(loss.data()[k] - expected[k]) <= 3 * double(classes) * epsilon<Accumulate<TestType>>());
  }
}

TEST_CASE("cross_entropy: large logits stay finite", "[cross_entropy]") {
  Tape tape;
  const auto gradient = zeros<float, Cpu>({1, 2, 2});
  const std::vector<float> logits{1e4f, -1e4f, -1e30f, 1e30f};
  const std::vector<std::int32_t> labels{1, 1};
  const auto loss =
      cross_entropy(tape.leaf(tensor_of<float>({1, 2, 2}, logits), gradient), tensor_of<std::int32_t>({1, 2}, labels));
  CHECK(values_of(loss.value()) == std::vector<double>{1e4});  // (2e4 + 0) / 2
  tape.backward(loss);
  CHECK(values_of(gradient) == std::vector<double>{0.5, -0.5, 0, 0});
}

TEST_CASE("cross_entropy: labels, shapes and options that cannot work", "[cross_entropy]") {
  const Tape tape;
  const auto logits = tape.input(zeros<float, Cpu>({2, 3, 4}));
  for (const std::int32_t bad : {-1, 4}) {
    auto labels = zeros<std::int32_t, Cpu>({2, 3});
    labels.data()[5] = bad;
    CHECK_THROWS_WITH(cross_entropy(logits, labels),
                      to_text("cross_entropy: label ", bad, " of member 1, sample 2 is outside [0, 4)"));
    CHECK_THROWS_AS(cross_entropy(logits, labels), Error);
  }
  CHECK_THROWS_WITH(cross_entropy(logits, zeros<std::int32_t, Cpu>({3, 2})),
                    "cross_entropy: logits are [2 3 4], labels [3 2]; expected [K B classes] and [K B]");
  CHECK_THROWS_AS(cross_entropy(logits, zeros<std::int32_t, Cpu>({3, 2})), ShapeError);
  CHECK_THROWS_WITH(cross_entropy(logits, zeros<std::int32_t, Cpu>({2, 3, 1})),
                    "cross_entropy: logits are [2 3 4], labels [2 3 1]; expected [K B classes] and [K B]; reshape the "
                    "labels to [K, T B]: reshaped({2, 3})");
  CHECK_THROWS_AS(cross_entropy(tape.input(zeros<float, Cpu>({3, 4})), zeros<std::int32_t, Cpu>({3})), ShapeError);
  for (const double smoothing : {-0.1, 1.0})
    CHECK_THROWS_AS(cross_entropy(logits, zeros<std::int32_t, Cpu>({2, 3}), {.label_smoothing = smoothing}),
                    OptionError);
}
