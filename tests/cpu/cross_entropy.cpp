#include <lpw/cpu/cross_entropy.hpp>

#include "catch.hpp"
#include "support/random.hpp"
#include "support/sums.hpp"
#include "support/threads.hpp"

using namespace lpw;
using namespace lpw::test;

TEMPLATE_TEST_CASE("cross-entropy's probabilities and gradients equal their definitions", "[cross_entropy]", float,
                   double, bfloat16) {
  using W = Accumulate<TestType>;
  const std::int64_t members = 3, batch = 4;
  for (const std::int64_t classes : {1, 5, 17})
    for (const double smoothing : {0.0, 0.1})
      for (const bool accumulate : {false, true}) {
        INFO("classes " << classes << " smoothing " << smoothing << " accumulate " << accumulate);
        const Shape shape{members, batch, classes};
        const auto logits = random_tensor<TestType>(shape, 1);
        const auto dloss = random_tensor<W>({members}, 2);
        Tensor<std::int32_t, Cpu> labels({members, batch});
        for (std::int64_t i = 0; i < labels.size(); ++i)
          labels.data()[i] = static_cast<std::int32_t>((5 * i + 2) % classes);
        Gradient<TestType, Cpu> dlogits{random_tensor<TestType>(shape, 3), accumulate};
        Expected probability(shape.size()), gradient(dlogits.tensor, accumulate);
        probability.terms = gradient.terms = static_cast<double>(classes + 4);
        for (std::int64_t row = 0; row < members * batch; ++row) {
          double total = 0;
          for (std::int64_t c = 0; c < classes; ++c) total += std::exp(double(logits.data()[row * classes + c]));
          for (std::int64_t c = 0; c < classes; ++c) {
            const std::int64_t i = row * classes + c;
            const double p = std::exp(double(logits.data()[i])) / total,
                         share = double(dloss.data()[row / batch]) / double(batch);
            probability.add(i, p);
            gradient.add(i, p * share);
            gradient.add(i, -share * ((c == labels.data()[row] ? 1 - smoothing : 0) + smoothing / double(classes)));
          }
        }
        const auto forward = cross_entropy_forward(logits, labels, smoothing);
        CHECK(mismatch<W>(forward.probabilities, probability) == "");
        cross_entropy_backward(forward.probabilities, labels, smoothing, dloss, dlogits);
        CHECK(mismatch<TestType>(dlogits.tensor, gradient) == "");
      }
}

TEMPLATE_TEST_CASE("count_correct counts labels whose logit is the first of the largest", "[cross_entropy]", float,
                   double, bfloat16) {
  Tensor<TestType, Cpu> logits({2, 2, 3});
  const float values[] = {0, 2, 1, 3, 3, 1, -1, -2, -1, 5, 5, 5};  // the first largest: 1, 0, 0, 0
  std::copy_n(values, 12, logits.data());
  const auto correct = [&](std::vector<std::int32_t> labels) {
    return count_correct(logits, tensor_of<std::int32_t>({2, 2}, labels)).data()[0];
  };
  CHECK(correct({1, 0, 0, 0}) == 4);
  CHECK(correct({1, 1, 0, 2}) == 2);
  CHECK(correct({2, 1, 2, 1}) == 0);
  const auto all = tensor_of<std::int32_t>({2, 4}, std::vector<std::int32_t>{1, 0, 2, 2, 0, 0, 2, 2});
  CHECK(count_correct(logits, all.columns(0, {2})).data()[0] == 4);  // strided, as a part of what there is
  Tensor<TestType, Cpu> wide = zeros<TestType, Cpu>({2, 9});
  auto part = wide.columns(3, {2, 3});
  copy(logits, part);
  CHECK(count_correct(part, all.columns(0, {2})).data()[0] == 4);
}

TEST_CASE("cross-entropy of logits far apart is their distance, and probabilities are 0 and 1", "[cross_entropy]") {
  const auto logits =
      tensor_of<float>({1, 1, 3}, std::vector<float>{-200, 1000, -std::numeric_limits<float>::infinity()});
  const auto forward = cross_entropy_forward(logits, tensor_of<std::int32_t>({1, 1}, std::vector<std::int32_t>{0}), 0);
  CHECK(forward.loss.data()[0] == 1200.f);
  CHECK(values_of(forward.probabilities) == std::vector<double>{0, 1, 0});
}

TEST_CASE("cross-entropy: the same bits on any number of threads", "[cross_entropy]") {
  const auto logits = random_tensor<float>({3, 50, 17}, 1);
  const auto labels = full<std::int32_t, Cpu>({3, 50}, 4);
  CHECK(same_on_any_threads([&] {
    const auto forward = cross_entropy_forward(logits, labels, 0.1);
    Gradient<float, Cpu> dlogits{Tensor<float, Cpu>(logits.shape()), false};
    cross_entropy_backward(forward.probabilities, labels, 0.1, full<float, Cpu>({3}, 1.f), dlogits);
    return std::pair{values_of(forward.loss), values_of(dlogits.tensor)};
  }));
}
