// Labels as probabilities.
#include <lpw/data/one_hot.hpp>

#include <vector>

#include <lpw/autograd/cross_entropy.hpp>

#include "catch.hpp"
#include "support/compare.hpp"
#include "support/random.hpp"

using namespace lpw;

TEST_CASE("one_hot: 1 for the label's class, for each member and sample", "[data]") {
  const auto labels = tensor_of<std::int32_t>({2, 2}, std::vector<std::int32_t>{0, 2, 1, 1});
  const auto found = data::one_hot(labels, 3);
  CHECK(found.shape() == Shape{2, 2, 3});
  CHECK(test::values_of(found) == std::vector<double>{1, 0, 0, 0, 0, 1, 0, 1, 0, 0, 1, 0});
  CHECK(test::values_of(data::one_hot<bfloat16>(labels, 3)) == test::values_of(found));
}

TEST_CASE("one_hot: cross-entropy of it is that of the labels", "[data]") {
  const auto logits = test::random_tensor<double>({2, 5, 4}, 1);
  const auto labels = test::random_indices({2, 5}, 4);
  const Tape tape;
  const auto x = tape.input(logits);
  const auto of_labels = cross_entropy(x, labels).value(),
             of_numbers = cross_entropy(x, data::one_hot<double>(labels, 4)).value();
  // means of five numbers of order 1, summed in other orders
  CHECK(test::distance(of_numbers, of_labels) <= 10 * epsilon<double>());
}

TEST_CASE("one_hot: a label that is no class is refused", "[data]") {
  const auto labels = tensor_of<std::int32_t>({3}, std::vector<std::int32_t>{0, 3, -1});
  CHECK_THROWS_WITH(data::one_hot(labels, 3), "one_hot: label 3 at 1 is not in [0, 3)");
  CHECK_THROWS_WITH(data::one_hot(labels, 4), "one_hot: label -1 at 2 is not in [0, 4)");
  CHECK_THROWS_AS(data::one_hot(labels, 0), OptionError);
  CHECK_THROWS_AS(data::one_hot(zeros<std::int32_t, Cpu>({1, 1, 1, 1, 1, 1}), 2), ShapeError);
}
