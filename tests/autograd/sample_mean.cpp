#include <lpw/autograd/sample_mean.hpp>

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

TEST_CASE("sample_mean: shapes that do not fit", "[loss]") {
  const Tape tape;
  const auto losses = tape.input(zeros<float, Cpu>({2, 3}));
  CHECK(message_of<ShapeError>([&] {
          (void)sample_mean(losses, zeros<float, Cpu>({3, 2}));
        }) == "sample_mean: losses are [2 3], weights [3 2]; expected one for each loss");
  CHECK(message_of<ShapeError>([&] { (void)sample_mean(tape.input(zeros<float, Cpu>({2}))); }) ==
        "sample_mean: expected losses [K B], got [2]");
}
