#include <lpw/autograd/sums.hpp>

#include "support/gradient_check.hpp"
#include "support/threads.hpp"

using namespace lpw;
using namespace lpw::test;

namespace {

struct Reduction {
  std::vector<int> over;
  Shape result, kept;
};
const Reduction reductions[] = {{{}, {3}, {3, 1, 1, 1}},           {{-1}, {3, 2, 4}, {3, 2, 4, 1}},
                                {{1}, {3, 4, 5}, {3, 1, 4, 5}},    {{1, 3}, {3, 4}, {3, 1, 4, 1}},
                                {{2}, {3, 2, 5}, {3, 2, 1, 5}},    {{0}, {1, 2, 4, 5}, {1, 2, 4, 5}},
                                {{0, 2}, {1, 2, 5}, {1, 2, 1, 5}}, {{0, 1, 2, 3}, {1}, {1, 1, 1, 1}}};

}  // namespace

TEST_CASE("sum and mean: gradients and shapes over any axes", "[sums]") {
  const auto inputs = random_inputs({{3, 2, 4, 5}});
  const Tape tape;
  for (const auto& c : reductions)
    for (const bool keep : {false, true}) {
      INFO("result " << c.result << " keep " << keep);
      expect_gradient(
          "sum", [&](const auto& in) { return sum(in[0], {.over = c.over, .keep = keep}); }, inputs);
      expect_gradient(
          "mean", [&](const auto& in) { return mean(in[0], {.over = c.over, .keep = keep}); }, inputs);
      CHECK(sum(tape.input(inputs[0]), {.over = c.over, .keep = keep}).shape() == (keep ? c.kept : c.result));
    }
  expect_gradient(
      "of one axis", [](const auto& in) { return sum(in[0], {.over = {0}}); }, random_inputs({{4}}));
  expect_gradient(
      "of nothing", [](const auto& in) { return sum(in[0]); }, random_inputs({{4}}));
}

TEMPLATE_TEST_CASE("sum: long sums lose no digits, and have the same bits on any number of threads", "[sums]", float,
                   bfloat16) {
  // Longer than a part along rows, and across them; blocks of columns of which the last is not full.
  for (const Shape& shape : {Shape{2, 40000}, Shape{2, 700, 70}, Shape{1, 3, 300, 65}})
    for (const std::vector<int>& over : {std::vector<int>{}, {1}, {-1}}) {
      INFO("shape " << shape << " axes " << over.size());
      auto x = random_tensor<TestType>(shape, 1);
      for (std::int64_t i = 0; i < x.size(); ++i) x.data()[i] = TestType(float(x.data()[i]) + 1);
      const auto total = [&](int threads) {
        const ThreadScope scope(threads, true);
        const Tape tape;
        return sum(tape.input(x), {.over = over}).value();
      };
      const auto found = total(1);
      CHECK(same_bits(found, total(2)));
      CHECK(same_bits(found, total(5)));
      const Tape tape;
      const auto exact = sum(tape.input(converted<double>(x)), {.over = over}).value();
      // Summed in double, rounded once.
      CHECK(relative_difference(found, exact) <= epsilon<float>());
    }
}

TEST_CASE("sum and mean: values, and what they refuse", "[sums]") {
  const Tape tape;
  const auto x = tape.input(tensor_of<float>({2, 3}, std::vector<float>{1, 2, 3, 4, 5, std::nanf("")}));
  CHECK(values_of(sum(x, {.over = {1}}).value().rows(0, 1)) == std::vector<double>{6});
  CHECK(std::isnan(sum(x).value().data()[1]));
  CHECK(mean(x).value().data()[0] == 2);
  CHECK(values_of(mean(x, {.over = {0}}).value()).front() == 2.5);
  const auto variable = [&](const Shape& shape) { return tape.input(zeros<float, Cpu>(shape)); };
  CHECK_THROWS_WITH(sum(variable({2, 0})), "sum: a tensor of shape [2 0] has no elements");
  CHECK_THROWS_WITH(mean(x, {.over = {2}}),
                    "mean: there is no axis 2 in [2 3]; axes are counted from 0, or from the end as -1, -2");
  CHECK_THROWS_AS(sum(variable({})), ShapeError);
}
