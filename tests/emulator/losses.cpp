// The kernels of losses that are one for each sample. tests/cuda/losses.cpp holds their values against the CPU's, of
// all types; here they run under several orders of threads, on rows for a warp and for a block.
#include "emulator/kernel_check.hpp"

#include <lpw/cuda/plans/softmax_cross_entropy.hpp>
#include <lpw/kernels/kl_divergence.cuh>
#include <lpw/kernels/sample_mean.cuh>

#include <lpw/cpu/elementwise_loss.hpp>
#include <lpw/cpu/kl_divergence.hpp>
#include <lpw/cpu/sample_mean.hpp>

using namespace lpw;
using namespace lpw::test;

namespace {

/// Two operands, and room for all that kernels over rows leave.
template <class T>
struct RowsCase {
  std::int64_t members, batch, elements;
  SoftmaxPlan plan = plan_softmax(1, members* batch, elements, 0);
  Shape shape{members, batch, elements}, samples{members, batch};
  Tensor<T, Cpu> a = random_tensor<T>(shape, 1), b = random_tensor<T>(shape, 2), da = unwritten<T>(shape),
                 db = unwritten<T>(shape);
  Tensor<float, Cpu> losses = unwritten<float>(samples), dlosses = random_tensor<float>(samples, 3);

  [[nodiscard]] kernels::SoftmaxTiling tiling() const {
    return {int(members), int(batch), int(elements), 0, plan.block_per_row};
  }
};

/// Calls body(case, width) for rows of all kinds.
template <class T, class Body>
void for_each_rows(const Body& body) {
  for (const std::int64_t elements : {1, 5, 64, 264, 1031, 4096})
    with_widths<T>(elements % kernels::widest<T> == 0, [&](auto width) {
      INFO("elements " << elements << " width " << width);
      RowsCase<T> c{2, elements > 1000 ? 2 : 9, elements};
      body(c, width);
    });
}

/// Weights from 0 to 2.
[[nodiscard]] Tensor<float, Cpu> random_weights(std::int64_t count) {
  auto weights = random_tensor<float>({count}, 4);
  for (std::int64_t i = 0; i < count; ++i) weights.data()[i] += 1;
  return weights;
}

/// Sums over a row of numbers below 4 in float, some of them exponentials.
double loss_tolerance(std::int64_t elements) { return (16 + double(elements) / 4) * epsilon<float>(); }

}  // namespace

TEMPLATE_TEST_CASE("the kernels elementwise_loss give losses and gradients", "[losses]", float, bfloat16) {
  for_each_rows<TestType>([](RowsCase<TestType>& c, auto width) {
    const auto positive = random_weights(c.elements);
    const kernels::ElementwiseLoss<TestType> p{
        c.a.data(),      c.b.data(), positive.data(), int(c.elements), kernels::ElementLoss::logistic,
        c.losses.data(), c.tiling()};
    CHECK(same_on_any_order(
        c.plan.launch, [&] { kernels::elementwise_loss<TestType, width()>(p); }, c.losses));
    const kernels::ElementwiseLossBackward<TestType> back{
        c.a.data(),       c.b.data(),  positive.data(), int(c.elements), kernels::ElementLoss::logistic,
        c.dlosses.data(), c.da.data(), false,           c.tiling()};
    CHECK(same_on_any_order(
        c.plan.launch, [&] { kernels::elementwise_loss_backward<TestType, width()>(back); }, c.da));
    const ElementwiseLoss<double, Cpu> of{ElementLoss::logistic, converted<double>(positive)};
    const auto a = converted<double>(c.a), b = converted<double>(c.b);
    Gradient<double, Cpu> da{Tensor<double, Cpu>(c.shape)};
    elementwise_loss_backward(a, b, of, converted<double>(c.dlosses), da);
    CHECK(distance(c.losses, elementwise_loss_forward(a, b, of)) <= loss_tolerance(c.elements));
    CHECK(relative_difference(c.da, da.tensor) <= loss_tolerance(1) + epsilon<TestType>());
  });
}

TEMPLATE_TEST_CASE("the kernels softmax_loss give losses and gradients", "[losses]", float, bfloat16) {
  for_each_rows<TestType>([](RowsCase<TestType>& c, auto width) {
    const auto labels = random_indices(c.samples, c.elements);
    const auto class_weights = random_weights(c.elements);
    auto statistics = unwritten<float>({c.members, c.batch, 3}), weights = unwritten<float>(c.samples);
    const kernels::SoftmaxTargets<TestType> targets{
        labels.data(), nullptr, class_weights.data(), 0.9f, 0.1f / float(c.elements), true, labels.data()[1]};
    const kernels::SoftmaxLoss<TestType> p{c.a.data(),     targets,           c.losses.data(),
                                           weights.data(), statistics.data(), c.tiling()};
    CHECK(same_on_any_order(
        c.plan.launch, [&] { kernels::softmax_loss<TestType, width()>(p); }, c.losses, weights, statistics));
    const kernels::SoftmaxLossBackward<TestType> back{c.a.data(),  targets, statistics.data(), c.dlosses.data(),
                                                      c.da.data(), false,   c.tiling()};
    CHECK(same_on_any_order(
        c.plan.launch, [&] { kernels::softmax_loss_backward<TestType, width()>(back); }, c.da));
    const SoftmaxTargets<double, Cpu> of{labels, {}, converted<double>(class_weights), 0.1, labels.data()[1]};
    const auto expected = softmax_loss_forward(converted<double>(c.a), of);
    Gradient<double, Cpu> da{Tensor<double, Cpu>(c.shape)};
    softmax_loss_backward(converted<double>(c.a), of, expected.statistics, converted<double>(c.dlosses), da);
    CHECK(distance(c.losses, expected.losses) <= loss_tolerance(c.elements));
    CHECK(distance(weights, expected.weights) == 0);
    CHECK(distance(c.da, da.tensor) <= loss_tolerance(c.elements) + epsilon<TestType>());
  });
}

TEMPLATE_TEST_CASE("the kernels kl_divergence give losses and gradients", "[losses]", float, bfloat16) {
  for_each_rows<TestType>([](RowsCase<TestType>& c, auto width) {
    auto statistics = unwritten<float>({c.members, c.batch, 4});
    const kernels::KlDivergence<TestType> p{c.a.data(), c.b.data(), c.losses.data(), statistics.data(), c.tiling()};
    CHECK(same_on_any_order(
        c.plan.launch, [&] { kernels::kl_divergence<TestType, width()>(p); }, c.losses, statistics));
    const kernels::KlDivergenceBackward<TestType> back{
        c.a.data(),  c.b.data(), c.losses.data(), statistics.data(), c.dlosses.data(), c.da.data(),
        c.db.data(), false,      false,           c.tiling()};
    CHECK(same_on_any_order(
        c.plan.launch, [&] { kernels::kl_divergence_backward<TestType, width()>(back); }, c.da, c.db));
    const auto a = converted<double>(c.a), b = converted<double>(c.b);
    const auto expected = kl_divergence_forward(a, b);
    Gradient<double, Cpu> da{Tensor<double, Cpu>(c.shape)}, db{Tensor<double, Cpu>(c.shape)};
    kl_divergence_backward(a, b, expected, converted<double>(c.dlosses), &da, &db);
    CHECK(distance(c.losses, expected.losses) <= loss_tolerance(c.elements));
    CHECK(distance(c.da, da.tensor) <= loss_tolerance(c.elements) + epsilon<TestType>());
    CHECK(distance(c.db, db.tensor) <= loss_tolerance(c.elements) + epsilon<TestType>());
  });
}

TEST_CASE("the kernels of losses count 0 for a sample of weight 0, and leave it no gradient", "[losses]") {
  const auto infinities = full<float, Cpu>({1, 1, 8}, std::numeric_limits<float>::infinity());
  const auto statistics = full<float, Cpu>({1, 1, 4}, std::nanf("")), losses = full<float, Cpu>({1, 1}, std::nanf(""));
  const auto zero = zeros<float, Cpu>({1, 1});
  const auto plan = plan_softmax(1, 1, 8, 0);
  const kernels::SoftmaxTiling tiling{1, 1, 8, 0, plan.block_per_row};
  auto mean = unwritten<float>({1}), dx = unwritten<float>({1, 1, 8}), dp = unwritten<float>({1, 1, 8}),
       dq = unwritten<float>({1, 1, 8});
  const float weights[] = {0, 2}, two[] = {std::numeric_limits<float>::infinity(), 5};
  const kernels::SampleMean p{two, weights, false, mean.data(), 1, 2};
  CHECK(same_on_any_order<1>(
      small_plan(32), [&] { kernels::sample_mean<float>(p); }, mean));
  CHECK(mean.data()[0] == 5);
  const kernels::ElementwiseLossBackward<float> elements{
      infinities.data(), infinities.data(), nullptr, 8,     kernels::ElementLoss::squared,
      zero.data(),       dx.data(),         false,   tiling};
  CHECK(same_on_any_order<1>(
      plan.launch, [&] { kernels::elementwise_loss_backward<float, 1>(elements); }, dx));
  const kernels::KlDivergenceBackward<float> divergence{infinities.data(),
                                                        infinities.data(),
                                                        losses.data(),
                                                        statistics.data(),
                                                        zero.data(),
                                                        dp.data(),
                                                        dq.data(),
                                                        false,
                                                        false,
                                                        tiling};
  CHECK(same_on_any_order<1>(
      plan.launch, [&] { kernels::kl_divergence_backward<float, 1>(divergence); }, dp, dq));
  for (const auto& gradient : {dx, dp, dq}) CHECK(largest_magnitude(gradient) == 0);
}

TEST_CASE("the kernels sample_mean give means and gradients", "[losses]") {
  for (const std::int64_t members : {1, 19}) {
    const Shape shape{members, 70};
    const auto losses = random_tensor<float>(shape, 1), dmean = random_tensor<float>({members}, 3);
    auto weights = random_tensor<float>(shape, 2);
    for (std::int64_t i = 0; i < weights.size(); ++i) weights.data()[i] += 1;
    auto mean = unwritten<float>({members}), dlosses = unwritten<float>(shape);
    const kernels::SampleMean p{losses.data(), weights.data(), false, mean.data(), int(members), 70};
    CHECK(same_on_any_order(
        small_plan(32 * members), [&] { kernels::sample_mean<float>(p); }, mean));
    const kernels::SampleMeanBackward back{dmean.data(), weights.data(), false, dlosses.data(),
                                           false,        int(members),   70};
    CHECK(same_on_any_order(
        small_plan(32 * members), [&] { kernels::sample_mean_backward<float>(back); }, dlosses));
    const SampleWeights<double, Cpu> of{converted<double>(weights)};
    Gradient<double, Cpu> expected{Tensor<double, Cpu>(shape)};
    sample_mean_backward(converted<double>(dmean), of, expected);
    // sums of 70 terms
    CHECK(distance(mean, sample_mean_forward(converted<double>(losses), of)) <= 70 * epsilon<float>());
    CHECK(distance(dlosses, expected.tensor) <= 70 * epsilon<float>());
  }
}
