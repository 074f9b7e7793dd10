#include <lpw/autograd/kl_divergence.hpp>

#include "support/errors.hpp"
#include "support/gradient_check.hpp"
#include "support/losses.hpp"

using namespace lpw;
using namespace lpw::test;

namespace {

std::vector<double> softmax(const double* row, std::int64_t classes) {
  std::vector<double> p(row, row + classes);
  double total = 0;
  for (double& value : p) total += value = std::exp(value);
  for (double& value : p) value /= total;
  return p;
}

/// Of each sample.
std::vector<double> plain_divergence(const DoubleTensor& p, const DoubleTensor& q) {
  const std::int64_t classes = p.dim(2);
  std::vector<double> result;
  for (std::int64_t i = 0; i < p.size() / classes; ++i) {
    const auto a = softmax(p.data() + i * classes, classes), b = softmax(q.data() + i * classes, classes);
    result.push_back(0);
    for (std::size_t c = 0; c < a.size(); ++c) result.back() += a[c] * std::log(a[c] / b[c]);
  }
  return result;
}

}  // namespace

TEST_CASE("kl_divergence: the definition in both directions, of samples and members", "[loss]") {
  const auto p = random_tensor<double>({3, 4, 5}, 1), q = random_tensor<double>({3, 4, 5}, 2);
  const Tape tape;
  const auto samples = [&](const DoubleTensor& a, const DoubleTensor& b) {
    return kl_divergence(tape.input(a), b, {.reduction = Reduction::samples}).value();
  };
  const auto forward = plain_divergence(p, q), reverse = plain_divergence(q, p);
  const double tolerance = 20 * epsilon<double>();  // sums of five terms below 1
  CHECK(largest_difference(values_of(samples(p, q)), forward) <= tolerance);
  CHECK(largest_difference(values_of(samples(q, p)), reverse) <= tolerance);
  CHECK(largest_difference(forward, reverse) > 0.01);
  std::vector<double> means(3, 0.0);
  for (std::size_t i = 0; i < forward.size(); ++i) means[i / 4] += forward[i] / 4;
  CHECK(largest_difference(kl_divergence(p, tape.input(q)).value(), means) <= tolerance);
  CHECK(largest_magnitude(samples(p, p)) <= tolerance);
}

TEST_CASE("kl_divergence: gradients of both logits", "[loss]") {
  for (const Reduction reduction : {Reduction::mean, Reduction::samples})
    for (const std::int64_t classes : {2, 7})
      expect_gradient(
          "kl_divergence", [&](const auto& in) { return kl_divergence(in[0], in[1], {.reduction = reduction}); },
          random_inputs({{3, 2, classes}, {3, 2, classes}}));
}

TEST_CASE("kl_divergence: of logits with themselves there is no gradient", "[loss]") {
  Tape tape;
  const auto gradient = zeros<double, Cpu>({2, 3, 4});
  const auto x = tape.leaf(random_tensor<double>({2, 3, 4}, 1), gradient);
  tape.backward(kl_divergence(x, x));
  CHECK(largest_magnitude(gradient) <= 4 * epsilon<double>());
}

TEMPLATE_TEST_CASE("kl_divergence: float and bfloat16 round what double gives", "[loss]", float, bfloat16) {
  auto inputs = random_inputs({{2, 3, 33}, {2, 3, 33}});
  for (auto& input : inputs)
    for (std::int64_t i = 0; i < input.size(); ++i) input.data()[i] *= 6;
  const auto worst = errors_in<TestType>(inputs, [](const auto& in) { return kl_divergence(in[0], in[1]); });
  // Exponentials of differences of up to 12 that are rounded; gradients rounded to T.
  CHECK(worst.first <= 30 * epsilon<float>());
  CHECK(worst.second <= 30 * epsilon<float>() + epsilon<TestType>());
}

TEST_CASE("kl_divergence: large logits and classes without probability stay finite, NaN does not hide", "[loss]") {
  const float infinity = std::numeric_limits<float>::infinity();
  const std::vector<float> p{1e4f, -1e4f, 3, 3, -infinity, 0}, q{1e4f, 0, 3, 1, 1, 1};
  Tape tape;
  const auto dp = zeros<float, Cpu>({1, 2, 3}), dq = zeros<float, Cpu>({1, 2, 3});
  const auto losses = kl_divergence(tape.leaf(tensor_of<float>({1, 2, 3}, p), dp),
                                    tape.leaf(tensor_of<float>({1, 2, 3}, q), dq), {.reduction = Reduction::samples});
  const auto value = clone(losses.value());
  backward_of_sum(tape, losses);
  for (const auto& tensor : {value, dp, dq}) CHECK(std::isfinite(largest_magnitude(tensor)));
  CHECK(value.data()[0] == 0);

  auto spoilt = zeros<float, Cpu>({1, 1, 3});
  spoilt.data()[2] = std::nanf("");
  const Tape other;
  CHECK(std::isnan(kl_divergence(other.input(spoilt), zeros<float, Cpu>({1, 1, 3})).value().data()[0]));
  CHECK(std::isnan(kl_divergence(zeros<float, Cpu>({1, 1, 3}), other.input(spoilt)).value().data()[0]));
}

TEST_CASE("kl_divergence: shapes that do not fit", "[loss]") {
  const Tape tape;
  CHECK(message_of<ShapeError>([&] {
          (void)kl_divergence(tape.input(zeros<float, Cpu>({2, 3, 4})), zeros<float, Cpu>({2, 3, 5}));
        }) == "kl_divergence: logits p are [2 3 4], q [2 3 5]; expected both [K B classes]");
}
