#include "emulator/kernel_check.hpp"

#include <lpw/cuda/plans/softmax_cross_entropy.hpp>
#include <lpw/kernels/softmax_cross_entropy.cuh>

#include <lpw/cpu/cross_entropy.hpp>

using namespace lpw;
using namespace lpw::test;
using kernels::widest;

namespace {

[[nodiscard]] kernels::SmoothedTarget target_of(double smoothing, std::int64_t classes) {
  return {float(1 - smoothing), float(smoothing / double(classes))};
}

/// Logits in [-8, 8), labels, and room for all results.
template <class T>
struct CrossEntropyCase {
  std::int64_t members, batch, classes;
  double smoothing;
  SoftmaxPlan plan;
  Tensor<T, Cpu> logits{Shape{members, batch, classes}}, dlogits = unwritten<T>(logits.shape());
  Tensor<std::int32_t, Cpu> labels{Shape{members, batch}}, bad_label = zeros<std::int32_t, Cpu>({1}),
                                                           arrivals = zeros<std::int32_t, Cpu>({1});
  Tensor<float, Cpu> loss = unwritten<float>({members}), probabilities = unwritten<float>(logits.shape()),
                     row_loss = unwritten<float>(labels.shape());

  CrossEntropyCase(std::int64_t members, std::int64_t batch, std::int64_t classes, double smoothing, int kept = 8192)
      : members(members),
        batch(batch),
        classes(classes),
        smoothing(smoothing),
        plan(plan_softmax(1, members * batch, classes, kept)) {
    const Philox random(7, Stream::test, static_cast<std::uint32_t>(classes));
    logits = drawn<T>(logits.shape(), [&](std::uint64_t i) { return T(16 * random.uniform(i) - 8); });
    labels = random_indices(labels.shape(), classes, random, 1000000);
  }

  [[nodiscard]] kernels::SoftmaxTiling tiling() const {
    return {int(members), int(batch), int(classes), plan.resident, plan.block_per_row};
  }
  [[nodiscard]] kernels::SoftmaxCrossEntropy<T> parameters() {
    return {logits.data(),    labels.data(),
            loss.data(),      probabilities.data(),
            dlogits.data(),   target_of(smoothing, classes),
            row_loss.data(),  reinterpret_cast<unsigned*>(arrivals.data()),
            bad_label.data(), tiling()};
  }
  [[nodiscard]] CrossEntropy<double, Cpu> expected() const {
    return cross_entropy_forward(converted<double>(logits), labels, smoothing);
  }
};

// exp of a difference of up to 16 whose own rounding is 16 epsilon / 2, and sums of the classes.
constexpr double cross_entropy_tolerance = 64 * epsilon<float>();

}  // namespace

TEMPLATE_TEST_CASE("the kernel softmax_cross_entropy gives loss, probabilities and gradient", "[softmax_cross_entropy]",
                   float, bfloat16, half) {
  struct Size {
    std::int64_t members, batch, classes;
    int kept;
  };
  // A warp for each row, wholly resident or in part; a block for each row, likewise.
  for (const Size& size : {Size{1, 5, 2, 8192}, Size{3, 7, 10, 8192}, Size{10, 13, 100, 8192}, Size{2, 3, 205, 8192},
                           Size{3, 40, 64, 8192}, Size{2, 5, 1000, 8 * 64}, Size{1, 3, 1031, 8192},
                           Size{2, 2, 4096, 1024}, Size{1, 3, 3, 8192}})
    with_widths<TestType>(size.classes % widest<TestType> == 0, [&](auto width) {
      const auto [members, batch, classes, kept] = size;
      for (const double smoothing : {0.0, 0.1}) {
        INFO("members " << members << " batch " << batch << " classes " << classes << " kept " << kept << " width "
                        << width << " smoothing " << smoothing);
        CrossEntropyCase<TestType> c(members, batch, classes, smoothing, kept);
        const auto p = c.parameters();
        CHECK(same_on_any_order(
            c.plan.launch, [&] { kernels::softmax_cross_entropy<TestType, width()>(p); }, c.loss, c.probabilities,
            c.dlogits, c.bad_label, c.arrivals));
        const auto expected = c.expected();
        CHECK(distance(c.loss, expected.loss) <= cross_entropy_tolerance);
        CHECK(distance(c.probabilities, expected.probabilities) <= cross_entropy_tolerance);
        CHECK(c.bad_label.data()[0] == 0);
        CHECK(c.arrivals.data()[0] == 0);

        Gradient<double, Cpu> gradient{Tensor<double, Cpu>(c.logits.shape())};
        cross_entropy_backward<double>(expected.probabilities, c.labels, smoothing, full<double, Cpu>({members}, 1.0),
                                       gradient);
        CHECK(distance(c.dlogits, gradient.tensor) <= cross_entropy_tolerance + epsilon<TestType>());
        // Relative to the values: an error of 1 / B would be hidden by the 1 in distance().
        const double largest = largest_magnitude(c.dlogits), wanted = largest_magnitude(gradient.tensor);
        CHECK(std::abs(largest - wanted) <= (cross_entropy_tolerance + epsilon<TestType>()) * wanted);
      }
    });
}

TEMPLATE_TEST_CASE("the kernel softmax_cross_entropy_backward weighs the members", "[softmax_cross_entropy]", float,
                   bfloat16, half) {
  for (const std::int64_t classes : {3, 10, 64, 2056})
    with_widths<TestType>(classes % widest<TestType> == 0, [&](auto width) {
      for (const bool accumulate : {false, true}) {
        INFO("classes " << classes << " width " << width << " accumulate " << accumulate);
        CrossEntropyCase<TestType> c(3, 5, classes, 0.1);
        const auto expected = c.expected();
        const auto dloss = random_tensor<float>({3}, 1);
        const auto probabilities = converted<float>(expected.probabilities);
        c.dlogits = random_tensor<TestType>(c.logits.shape(), 2);
        Gradient<double, Cpu> gradient{converted<double>(c.dlogits), accumulate};
        cross_entropy_backward<double>(expected.probabilities, c.labels, 0.1, converted<double>(dloss), gradient);
        const kernels::SoftmaxCrossEntropyBackward<TestType> p{
            probabilities.data(),    c.labels.data(), dloss.data(), c.dlogits.data(),
            target_of(0.1, classes), accumulate,      c.tiling()};
        CHECK(same_on_any_order(
            c.plan.launch, [&] { kernels::softmax_cross_entropy_backward<TestType, width()>(p); }, c.dlogits));
        CHECK(distance(c.dlogits, gradient.tensor) <= 4 * epsilon<float>() + epsilon<TestType>());
      }
    });
}

TEST_CASE("the kernel softmax_cross_entropy reports a label that is no class and reads nothing past the row",
          "[softmax_cross_entropy]") {
  for (const std::int32_t label : {-1, 10, 1 << 30}) {
    CrossEntropyCase<float> c(3, 4, 10, 0);
    c.labels.data()[1] = -7;
    c.labels.data()[6] = label;  // member 1, sample 2
    const auto p = c.parameters();
    CHECK(same_on_any_order(
        c.plan.launch, [&] { kernels::softmax_cross_entropy<float, 1>(p); }, c.bad_label, c.arrivals));
    CHECK(c.bad_label.data()[0] == 7);
    CHECK(std::isnan(c.loss.data()[0]));
    CHECK(std::isnan(c.loss.data()[1]));
    CHECK(std::isfinite(c.loss.data()[2]));
  }
}

TEST_CASE("the kernel softmax_cross_entropy stays finite for huge logits and for classes that are ruled out",
          "[softmax_cross_entropy]") {
  CrossEntropyCase<float> c(1, 2, 4, 0);
  const float infinity = std::numeric_limits<float>::infinity();
  const float logits[] = {1e30f, -1e30f, 0, 1, -infinity, 2, 2, -infinity};
  std::copy_n(logits, 8, c.logits.data());
  c.labels.data()[0] = 0;
  c.labels.data()[1] = 2;
  const auto p = c.parameters();
  CHECK(same_on_any_order(
      c.plan.launch, [&] { kernels::softmax_cross_entropy<float, 4>(p); }, c.loss, c.dlogits));
  CHECK(std::abs(c.loss.data()[0] - std::log(2.f) / 2) < 1e-6f);
  CHECK(c.dlogits.data()[4] == 0);
  CHECK(c.dlogits.data()[6] == -0.25f);
  c.logits.data()[3] = std::nanf("");  // must not be hidden
  CHECK(same_on_any_order(
      c.plan.launch, [&] { kernels::softmax_cross_entropy<float, 4>(p); }, c.loss));
  CHECK(std::isnan(c.loss.data()[0]));
}

TEST_CASE("the kernel softmax_cross_entropy needs no place to report labels to", "[softmax_cross_entropy]") {
  CrossEntropyCase<float> c(1, 3, 10, 0);
  c.labels.data()[1] = 11;
  auto p = c.parameters();
  p.bad_label = nullptr;
  CHECK(same_on_any_order(
      c.plan.launch, [&] { kernels::softmax_cross_entropy<float, 1>(p); }, c.arrivals));
  CHECK(std::isnan(c.loss.data()[0]));
}

TEMPLATE_TEST_CASE("the kernel count_correct counts what the CPU counts", "[softmax_cross_entropy]", float, bfloat16,
                   half) {
  for (const std::int64_t classes : {1, 3, 10, 33, 100}) {
    INFO("classes " << classes);
    auto logits = awkward_tensor<TestType>({3, 71, classes}, 1);
    for (std::int64_t i = 0; i < logits.size(); ++i)
      logits.data()[i] = TestType(std::round(2 * float(logits.data()[i])));
    auto labels = zeros<std::int32_t, Cpu>({3, 71}), correct = zeros<std::int32_t, Cpu>({1});
    for (std::int64_t i = 0; i < labels.size(); ++i)
      labels.data()[i] = static_cast<std::int32_t>(i % std::min<std::int64_t>(classes, 3));
    const kernels::CountCorrect<TestType> p{logits.data(), labels.data(), correct.data(), labels.size(),
                                            static_cast<int>(classes)};
    CHECK(same_on_any_order(
        small_plan(32 * labels.size()), [&] { kernels::count_correct<TestType>(p); }, correct));
    CHECK(values_of(correct) == values_of(count_correct(converted<float>(logits), labels)));
    CHECK(correct.data()[0] > 0);
  }
}
