#include <lpw/metrics/likelihood.hpp>

#include <algorithm>
#include <limits>
#include <vector>

#include <lpw/cpu/softmax.hpp>
#include <lpw/tensor/philox.hpp>

#include "catch.hpp"
#include "support/compare.hpp"
#include "support/errors.hpp"
#include "support/random.hpp"
#include "support/threads.hpp"

using namespace lpw;
using namespace lpw::test;
using namespace lpw::metrics;
using Catch::Matchers::WithinAbs;

namespace {

Tensor<double, Cpu> random_logits(std::int64_t rows, std::int64_t classes, std::uint32_t step) {
  return normal_tensor<double>({rows, classes}, Philox(3, Stream::test, step), 5);
}

Tensor<std::int32_t, Cpu> labels_of(std::int64_t rows, std::int64_t classes) {
  Tensor<std::int32_t, Cpu> labels({rows});
  for (std::int64_t i = 0; i < rows; ++i) labels.data()[i] = static_cast<std::int32_t>(7 * i % classes);
  return labels;
}

}  // namespace

TEST_CASE("log-likelihoods are the logarithms of the labels' probabilities, of one network and of an ensemble") {
  const std::int64_t rows = 50, classes = 11, members = 3;
  const auto labels = labels_of(rows, classes);
  Tensor<double, Cpu> found({members, rows}), probabilities({members, rows});
  for (std::int64_t k = 0; k < members; ++k) {
    const auto logits = random_logits(rows, classes, static_cast<std::uint32_t>(k));
    const auto softmax = softmax_rows(logits);
    auto row = found.rows(k, 1).reshaped({rows});
    copy(log_likelihoods(logits, labels), row);
    for (std::int64_t i = 0; i < rows; ++i) probabilities.row(k)[i] = softmax.row(i)[labels.data()[i]];
  }
  const auto ensemble = ensemble_log_likelihoods(found);
  for (std::int64_t i = 0; i < rows; ++i) {
    double sum = 0;
    for (std::int64_t k = 0; k < members; ++k) {
      // A sum of 11 terms and a few roundings of numbers below 30.
      CHECK_THAT(found.row(k)[i], WithinAbs(std::log(probabilities.row(k)[i]), 1e-13));
      sum += probabilities.row(k)[i];
    }
    CHECK_THAT(ensemble.data()[i], WithinAbs(std::log(sum / 3), 1e-13));
  }
}

TEST_CASE("log-likelihoods of logits and labels that lie strided are theirs") {
  const auto logits = random_logits(5, 7, 1);
  const auto labels = labels_of(5, 7);
  auto wide = zeros<double, Cpu>({5, 9}).columns(1, {7});
  auto column = zeros<std::int32_t, Cpu>({5, 3}).columns(2, {});
  copy(logits, wide);
  copy(labels, column);
  CHECK(values_of(log_likelihoods(wide, column)) == values_of(log_likelihoods(logits, labels)));
}

TEST_CASE("log-likelihoods are the same bits on any number of threads") {
  const auto logits = random_logits(70, 9, 3);
  const auto labels = labels_of(70, 9);
  CHECK(lpw::test::same_on_any_threads([&] {
    const auto found = log_likelihoods(logits, labels);
    return std::vector<double>(found.data(), found.data() + found.size());
  }));
}

TEST_CASE("what members say of labels is what log_likelihoods and softmax say, and their sum what the ensemble does") {
  const std::int64_t rows = 40, classes = 7, members = 3;
  const auto labels = labels_of(rows, classes);
  auto logits = normal_tensor<double>({members, rows, classes}, Philox(4, Stream::test, 0), 2);
  for (std::int64_t c = 0; c < classes; ++c) logits.row(1)[c] = 0;  // all are the largest; the label is the first
  auto sums = zeros<double, Cpu>({rows, classes});
  const auto found = label_scores(logits, labels, &sums);
  REQUIRE(found.shape() == Shape{members, 3, rows});
  CHECK(values_of(label_scores(logits, labels)) == values_of(found));
  auto expected = zeros<double, Cpu>({rows, classes});
  for (std::int64_t k = 0; k < members; ++k) {
    const auto member = logits.rows(k, 1).reshaped({rows, classes});
    const auto softmax = softmax_rows(member);
    const auto likelihoods = log_likelihoods(member, labels);
    for (std::int64_t i = 0; i < rows; ++i) {
      const double* best = std::max_element(softmax.row(i), softmax.row(i) + classes);
      CHECK(found.row(k)[i] == likelihoods.data()[i]);
      CHECK_THAT(found.row(k)[rows + i], WithinAbs(*best, 1e-15));  // roundings of numbers up to 1
      CHECK(found.row(k)[2 * rows + i] == (best - softmax.row(i) == labels.data()[i]));
      for (std::int64_t c = 0; c < classes; ++c) expected.row(i)[c] += softmax.row(i)[c];
    }
  }
  CHECK(distance(sums, expected) <= 1e-14);
  const auto together = ensemble_confidences(sums, members, labels);
  for (std::int64_t i = 0; i < rows; ++i) {
    const double* best = std::max_element(sums.row(i), sums.row(i) + classes);
    CHECK(together.row(0)[i] == *best / 3);
    CHECK(together.row(1)[i] == (best - sums.row(i) == labels.data()[i]));
  }
  Tensor<double, Cpu> others({rows, classes + 1});
  CHECK(contains(message_of<ShapeError>([&] { (void)label_scores(logits, labels, &others); }), "sums"));
  CHECK_THROWS_AS(label_scores(logits.rows(0, 1).reshaped({rows, classes}), labels), ShapeError);
  CHECK_THROWS_AS(ensemble_confidences(sums, members, labels_of(3, 5)), ShapeError);
}

TEST_CASE("the ensemble of one member scores what the member does, bit for bit, however unlikely a label was") {
  Tensor<double, Cpu> member({1, 3});
  member.data()[0] = -1e-17, member.data()[1] = -3.1, member.data()[2] = -5000;
  const auto ensemble = ensemble_log_likelihoods(member);
  for (std::int64_t i = 0; i < 3; ++i) CHECK(ensemble.data()[i] == member.data()[i]);
}

TEST_CASE("logits that are not finite, labels out of range and shapes that do not fit are refused") {
  auto logits = random_logits(4, 5, 0);
  const auto labels = labels_of(4, 5);
  auto wrong = clone(labels);
  wrong.data()[2] = 5;
  CHECK(
      contains(message_of<Error>([&] { (void)log_likelihoods(logits, wrong); }), "label 5 of row 2 is not in [0, 5)"));
  CHECK_THROWS_AS(log_likelihoods(logits, labels_of(3, 5)), ShapeError);
  logits.data()[7] = std::numeric_limits<double>::quiet_NaN();
  CHECK(contains(message_of<NonFinite>([&] { (void)log_likelihoods(logits, labels); }), "row 1"));
  CHECK_THROWS_AS(ensemble_log_likelihoods(Tensor<double, Cpu>({3})), ShapeError);
}
