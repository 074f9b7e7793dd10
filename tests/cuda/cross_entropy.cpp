#include "cuda/operands.hpp"

#include <lpw/autograd/cross_entropy.hpp>

using namespace lpw;
using namespace lpw::test;

namespace {

/// Logits in [-8, 8).
template <class T>
[[nodiscard]] Tensor<T, Cpu> random_logits(const Shape& shape) {
  auto logits = random_tensor<T>(shape, 1);
  for (std::int64_t i = 0; i < logits.size(); ++i) logits.data()[i] = T(8 * float(logits.data()[i]));
  return logits;
}

/// exp of differences of up to 16 that are themselves rounded, and sums over the classes.
constexpr double cross_entropy_tolerance = 64 * epsilon<float>();

}  // namespace

TEMPLATE_TEST_CASE("cross-entropy on the GPU gives the CPU's losses and gradients", "[gpu]", float, bfloat16) {
  for (const std::int64_t members : {1, 3, 10})
    for (const std::int64_t classes : {1, 3, 17, 64, 1500})
      for (const std::int64_t batch : {1, 13})
        for (const double smoothing : {0.0, 0.1}) {
          if (classes > 64 && members > 1) continue;
          const bool accumulate = batch == 1;
          INFO("members " << members << " batch " << batch << " classes " << classes << " smoothing " << smoothing);
          const auto logits = random_logits<TestType>({members, batch, classes});
          const auto labels = random_indices({members, batch}, classes);
          const auto dloss = random_tensor<float>({members}, 2);
          Gradient<TestType, Cpu> dlogits{random_tensor<TestType>(logits.shape(), 3), accumulate};
          auto found_dlogits = on_device(dlogits);
          const auto expected = cross_entropy_forward(logits, labels, smoothing);
          cross_entropy_backward(expected.probabilities, labels, smoothing, dloss, dlogits);

          const auto labels_there = on_device(labels);
          const auto found = cross_entropy_forward(on_device(logits), labels_there, smoothing);
          CHECK(distance(found.loss, expected.loss) <= cross_entropy_tolerance);
          CHECK(distance(found.probabilities, expected.probabilities) <= cross_entropy_tolerance);
          cross_entropy_backward(found.probabilities, labels_there, smoothing, on_device(dloss), found_dlogits);
          CHECK(distance(found_dlogits.tensor, dlogits.tensor) <= cross_entropy_tolerance + epsilon<TestType>());
        }
}

TEST_CASE("a label that is no class makes its member's loss NaN on the GPU, and no other's", "[gpu]") {
  auto labels = random_indices({3, 4}, 10);
  labels.row(1)[2] = 10;
  labels.row(2)[0] = -1;
  const auto loss =
      to_host(cross_entropy_forward(on_device(random_logits<float>({3, 4, 10})), on_device(labels), 0.1).loss);
  CHECK(std::isfinite(loss.data()[0]));
  CHECK(std::isnan(loss.data()[1]));
  CHECK(std::isnan(loss.data()[2]));
}

TEMPLATE_TEST_CASE("count_correct on the GPU counts what the CPU counts", "[gpu]", float, bfloat16) {
  const float infinity = std::numeric_limits<float>::infinity(), nan = std::nanf("");
  for (const std::int64_t classes : {1, 2, 10, 33, 100}) {
    const Shape shape{3, 211, classes};
    auto logits = random_logits<TestType>(shape);
    for (std::int64_t i = 0; i < logits.size(); ++i)  // many equal ones, and some that are no numbers
      logits.data()[i] = TestType(i % 37 == 0 ? nan : i % 5 == 0 ? -infinity : std::round(float(logits.data()[i]) / 4));
    const auto labels = random_indices({3, 211}, std::min<std::int64_t>(classes, 4));
    const auto expected = count_correct(logits, labels);
    INFO("classes " << classes << ", " << expected.data()[0] << " correct");
    CHECK(expected.data()[0] > 0);
    CHECK(equal(count_correct(on_device(logits), on_device(labels)), expected));
    auto wide = zeros<TestType, Cuda>({3, 211 * classes + 3}).columns(0, {211, classes});
    auto apart = zeros<std::int32_t, Cuda>({3, 300}).columns(5, {211});
    copy(on_device(logits), wide);
    copy(on_device(labels), apart);
    CHECK(equal(count_correct(wide, apart), expected));
  }
}

TEST_CASE("count_correct takes the first of equally large logits", "[gpu]") {
  std::vector<float> row(40, 1.f);
  row[35] = row[5] = row[20] = 2;
  const auto logits = tensor_of<float>({1, 1, 40}, row);
  for (const std::int32_t label : {5, 20, 35}) {
    const auto labels = full<std::int32_t, Cpu>({1, 1}, label);
    CHECK(count_correct(logits, labels).data()[0] == (label == 5));
    CHECK(to_host(count_correct(on_device(logits), on_device(labels))).data()[0] == (label == 5));
  }
}

TEMPLATE_TEST_CASE("cross-entropy recorded on the GPU has the CPU's losses and gradients", "[gpu]", float, bfloat16) {
  const Shape shape{3, 7, 10};
  const auto logits = random_logits<TestType>(shape);
  const auto labels = random_indices({3, 7}, 10);
  const auto run = [&]<class D>(const Tensor<TestType, D>& input, const Tensor<std::int32_t, D>& targets) {
    auto dlogits = zeros<TestType, D>(shape);
    Tape tape;
    const auto loss = cross_entropy(tape.leaf(input, dlogits), targets, {.label_smoothing = 0.1});
    const auto value = loss.value();
    tape.backward(loss);
    return std::pair{value, dlogits};
  };
  const auto expected = run(logits, labels);
  const auto found = run(on_device(logits), on_device(labels));
  CHECK(distance(found.first, expected.first) <= cross_entropy_tolerance);
  CHECK(distance(found.second, expected.second) <= cross_entropy_tolerance + epsilon<TestType>());
}
