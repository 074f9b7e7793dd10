#include "cuda/operands.hpp"

#include <lpw/autograd/cross_entropy.hpp>
#include <lpw/autograd/elementwise_loss.hpp>
#include <lpw/autograd/kl_divergence.hpp>

using namespace lpw;
using namespace lpw::test;

namespace {

/// Logits in [-8, 8).
template <class T>
[[nodiscard]] Tensor<T, Cpu> logits_of_losses(const Shape& shape, std::uint32_t key) {
  auto logits = random_tensor<T>(shape, key);
  for (std::int64_t i = 0; i < logits.size(); ++i) logits.data()[i] = T(8 * float(logits.data()[i]));
  return logits;
}

/// Numbers from 0 to 1.
template <class T>
[[nodiscard]] Tensor<T, Cpu> shares_of_losses(const Shape& shape, std::uint32_t key) {
  auto share = random_tensor<T>(shape, key);
  for (std::int64_t i = 0; i < share.size(); ++i)
    share.data()[i] = T(i % 5 == 0 ? 0.f : std::abs(float(share.data()[i])));
  return share;
}

/// exp of differences of up to 16 that are themselves rounded, sums over a row in float, and of targets that add up to
/// some tenth of it.
double loss_tolerance(std::int64_t elements) { return (64 + double(elements) / 4) * epsilon<float>(); }

/// Rows that fill no vector, whole vectors for a warp, more than a warp takes.
constexpr std::int64_t row_lengths[] = {1, 3, 17, 64, 1500};

struct RowCase {
  std::int64_t members, batch, elements;
  bool accumulate;
  [[nodiscard]] Shape shape() const { return {members, batch, elements}; }
};

template <class Body>
void for_each_case(const Body& body) {
  for (const std::int64_t members : {1, 3})
    for (const std::int64_t elements : row_lengths) {
      if (elements == 1500 && members > 1) continue;
      const RowCase c{members, members == 1 ? 13 : 5, elements, members == 1};
      INFO("shape " << c.shape() << " accumulate " << c.accumulate);
      body(c);
    }
}

template <class T>
[[nodiscard]] Gradient<double, Cpu> exact_loss(const Gradient<T, Cpu>& gradient) {
  return {converted<double>(gradient.tensor), gradient.accumulate};
}

template <class W, class T>
[[nodiscard]] ElementwiseLoss<W, Cpu> host_loss(ElementLoss kind, const Tensor<T, Cpu>& positive) {
  return {kind, positive.empty() ? Tensor<W, Cpu>() : converted<W>(positive)};
}

}  // namespace

TEMPLATE_TEST_CASE("elementwise losses on the GPU give the CPU's losses and gradients", "[gpu]", float, bfloat16,
                   lpw::half) {
  for_each_case([](const RowCase& c) {
    for (const ElementLoss kind : {ElementLoss::squared, ElementLoss::absolute, ElementLoss::logistic})
      for (const bool weighted : {false, true}) {
        if (weighted && kind != ElementLoss::logistic) continue;
        INFO("kind " << int(kind) << " weighted " << weighted);
        const auto x = logits_of_losses<TestType>(c.shape(), 1), t = shares_of_losses<TestType>(c.shape(), 2);
        const auto positive = weighted ? shares_of_losses<float>({c.elements}, 3) : Tensor<float, Cpu>();
        const auto dlosses = random_tensor<float>({c.members, c.batch}, 4);
        const Gradient<TestType, Cpu> dx{random_tensor<TestType>(c.shape(), 5), c.accumulate};
        auto expected = exact_loss(dx);
        auto found = on_device(dx);
        const auto of = host_loss<double>(kind, positive);
        const auto losses = elementwise_loss_forward(converted<double>(x), converted<double>(t), of);
        elementwise_loss_backward(converted<double>(x), converted<double>(t), of, converted<double>(dlosses), expected);

        const ElementwiseLoss<float, Cuda> there{kind, on_device(positive)};
        CHECK(distance(elementwise_loss_forward(on_device(x), on_device(t), there), losses) <=
              loss_tolerance(c.elements));
        elementwise_loss_backward(on_device(x), on_device(t), there, on_device(dlosses), found);
        CHECK(distance(found.tensor, expected.tensor) <= loss_tolerance(1) + epsilon<TestType>());
      }
  });
}

TEMPLATE_TEST_CASE("cross-entropy with any targets on the GPU gives the CPU's losses and gradients", "[gpu]", float,
                   bfloat16, lpw::half) {
  for_each_case([](const RowCase& c) {
    for (const bool soft : {false, true})
      for (const bool weighted : {false, true})
        for (const double smoothing : {0.0, 0.1}) {
          INFO("soft " << soft << " weighted " << weighted << " smoothing " << smoothing);
          const auto logits = logits_of_losses<TestType>(c.shape(), 1);
          SoftmaxTargets<double, Cpu> targets{.smoothing = smoothing};
          SoftmaxTargets<TestType, Cuda> there{.smoothing = smoothing};
          if (soft) {
            const auto p = shares_of_losses<TestType>(c.shape(), 2);
            targets.probabilities = converted<double>(p);
            there.probabilities = on_device(p);
          } else {
            targets.labels = random_indices({c.members, c.batch}, c.elements);
            targets.labels.data()[1] = -7;
            targets.ignored = there.ignored = -7;
            there.labels = on_device(targets.labels);
          }
          if (weighted) {
            const auto weights = shares_of_losses<float>({c.elements}, 3);
            targets.class_weights = converted<double>(weights);
            there.class_weights = on_device(weights);
          }
          const auto dlosses = random_tensor<float>({c.members, c.batch}, 4);
          const Gradient<TestType, Cpu> dlogits{random_tensor<TestType>(c.shape(), 5), c.accumulate};
          auto expected_dlogits = exact_loss(dlogits);
          auto found_dlogits = on_device(dlogits);
          const auto expected = softmax_loss_forward(converted<double>(logits), targets);
          softmax_loss_backward(converted<double>(logits), targets, expected.statistics, converted<double>(dlosses),
                                expected_dlogits);

          const auto found = softmax_loss_forward(on_device(logits), there);
          CHECK(distance(found.losses, expected.losses) <= loss_tolerance(c.elements));
          CHECK(found.weights.empty() == expected.weights.empty());
          if (!found.weights.empty()) CHECK(equal(found.weights, converted<float>(expected.weights)));
          softmax_loss_backward(on_device(logits), there, found.statistics, on_device(dlosses), found_dlogits);
          // the gradient holds the targets' sum, which adds up to some hundreds
          CHECK(relative_difference(to_host(found_dlogits.tensor), expected_dlogits.tensor) <=
                loss_tolerance(c.elements) + epsilon<TestType>());
        }
  });
}

TEMPLATE_TEST_CASE("kl_divergence on the GPU gives the CPU's losses and gradients", "[gpu]", float, bfloat16,
                   lpw::half) {
  for_each_case([](const RowCase& c) {
    const auto p = logits_of_losses<TestType>(c.shape(), 1), q = logits_of_losses<TestType>(c.shape(), 2);
    const auto a = converted<double>(p), b = converted<double>(q);
    const auto dlosses = random_tensor<float>({c.members, c.batch}, 4);
    const auto forward = kl_divergence_forward(a, b);
    const auto found = kl_divergence_forward(on_device(p), on_device(q));
    CHECK(distance(found.losses, forward.losses) <= loss_tolerance(c.elements));
    for (const int wanted : {1, 2, 3}) {
      const Gradient<TestType, Cpu> dp{random_tensor<TestType>(c.shape(), 5), c.accumulate},
          dq{random_tensor<TestType>(c.shape(), 6), c.accumulate};
      auto expected_dp = exact_loss(dp), expected_dq = exact_loss(dq);
      auto found_dp = on_device(dp), found_dq = on_device(dq);
      kl_divergence_backward(a, b, forward, converted<double>(dlosses), wanted & 1 ? &expected_dp : nullptr,
                             wanted & 2 ? &expected_dq : nullptr);
      kl_divergence_backward(on_device(p), on_device(q), found, on_device(dlosses), wanted & 1 ? &found_dp : nullptr,
                             wanted & 2 ? &found_dq : nullptr);
      CHECK(distance(found_dp.tensor, expected_dp.tensor) <= loss_tolerance(c.elements) + epsilon<TestType>());
      CHECK(distance(found_dq.tensor, expected_dq.tensor) <= loss_tolerance(c.elements) + epsilon<TestType>());
    }
  });
}

TEST_CASE("sample_mean on the GPU gives the CPU's means and gradients", "[gpu]") {
  for (const std::int64_t members : {1, 3, 11})
    for (const std::int64_t batch : {1, 33, 200})
      for (const bool weighted : {false, true}) {
        INFO("members " << members << " batch " << batch << " weighted " << weighted);
        const auto losses = random_tensor<float>({members, batch}, 1), dmean = random_tensor<float>({members}, 2);
        auto weights = weighted ? shares_of_losses<float>({members, batch}, 3) : Tensor<float, Cpu>();
        if (weighted)
          for (std::int64_t b = 0; b < batch; ++b) weights.row(members - 1)[b] = 0;  // the last has none left
        const SampleWeights<double, Cpu> exact_weights{weighted ? converted<double>(weights) : Tensor<double, Cpu>(),
                                                       members == 11};
        const Gradient<float, Cpu> dlosses{random_tensor<float>({members, batch}, 4), batch == 33};
        auto expected = exact_loss(dlosses);
        auto found = on_device(dlosses);
        const SampleWeights<float, Cuda> there{on_device(weights), members == 11};
        // sums of up to 200 terms
        CHECK(distance(sample_mean_forward(on_device(losses), there),
                       sample_mean_forward(converted<double>(losses), exact_weights)) <= 64 * epsilon<float>());
        sample_mean_backward(converted<double>(dmean), exact_weights, expected);
        sample_mean_backward(on_device(dmean), there, found);
        CHECK(distance(found.tensor, expected.tensor) <= 64 * epsilon<float>());
      }
}

TEST_CASE("a label that is no class makes its sample's loss NaN on the GPU, an ignored one 0", "[gpu]") {
  auto labels = random_indices({2, 3}, 10);
  labels.row(0)[1] = 10;
  labels.row(1)[0] = -1;
  const Tape tape;
  const auto logits = tape.input(on_device(logits_of_losses<float>({2, 3, 10}, 1)));
  const auto losses =
      to_host(cross_entropy(logits, on_device(labels), {.ignore_index = -1, .reduction = Reduction::samples}).value());
  for (std::int64_t i = 0; i < 6; ++i) CHECK(std::isnan(losses.data()[i]) == (i == 1));
  CHECK(losses.row(1)[0] == 0);
  const auto means = to_host(cross_entropy(logits, on_device(labels), {.ignore_index = -1}).value());
  CHECK(std::isnan(means.data()[0]));
  CHECK(std::isfinite(means.data()[1]));
}

TEMPLATE_TEST_CASE("losses recorded on the GPU have the CPU's values and gradients", "[gpu]", float, bfloat16) {
  const Shape shape{3, 7, 10};
  const auto x = logits_of_losses<TestType>(shape, 1), t = shares_of_losses<TestType>(shape, 2);
  const auto labels = random_indices({3, 7}, 10);
  const auto weights = shares_of_losses<float>({10}, 3);
  const auto run = [&]<class D>(D, int which) {
    const auto place = [](const auto& tensor) { return to_device<D>(tensor); };
    auto dx = zeros<TestType, D>(shape);
    Tape tape;
    const auto leaf = tape.leaf(place(x), dx);
    const auto loss =
        which == 0   ? mse_loss(leaf, place(t))
        : which == 1 ? l1_loss(leaf, place(t))
        : which == 2 ? binary_cross_entropy_with_logits(leaf, place(t), {.positive_weight = place(weights)})
        : which == 3 ? kl_divergence(place(t), leaf)
        : which == 4 ? cross_entropy(leaf, place(t), {.class_weights = place(weights)})
                     : cross_entropy(leaf, place(labels), {.class_weights = place(weights), .ignore_index = 3});
    const auto value = to_host(loss.value());
    tape.backward(loss);
    return std::pair{value, to_host(dx)};
  };
  for (int which = 0; which < 6; ++which) {
    INFO("loss " << which);
    const auto expected = run(Cpu(), which), found = run(Cuda(), which);
    CHECK(distance(found.first, expected.first) <= loss_tolerance(70));
    CHECK(distance(found.second, expected.second) <= loss_tolerance(10) + epsilon<TestType>());
  }
}
