#include <lpw/cpu/mapping.hpp>

#include "support/mapping.hpp"
#include "support/threads.hpp"

using namespace lpw;
using namespace lpw::test;

namespace {

// A function is some ten roundings of intermediate results, and its argument's, which it may enlarge.
constexpr double slack = 32;

}  // namespace

TEMPLATE_TEST_CASE("functions of elements are those of plain loops in every layout", "[mapping]", float, double,
                   bfloat16) {
  for_each_function([](auto f) {
    for (const auto& layout : applied_layouts)
      for (const bool accumulate : {false, true})
        check_mapping<TestType, TestType, TestType>(f(), layout, accumulate, slack,
                                                    apply_function<f(), TestType, TestType, TestType>);
  });
}

TEMPLATE_TEST_CASE("sums of functions are those of plain loops in every layout", "[mapping]", float, double, bfloat16) {
  for_each_function([](auto f) {
    for (const auto& layout : summed_layouts)
      for (const bool accumulate : {false, true})
        check_mapping<TestType, TestType, TestType>(f(), layout, accumulate, slack,
                                                    sum_function<f(), TestType, TestType, TestType>);
  });
}

TEST_CASE("functions take parameters of bfloat16 activations, which are float, and sum to such", "[mapping]") {
  for_each_function([](auto f) {
    for (const auto& layout : applied_layouts)
      check_mapping<bfloat16, float, bfloat16>(f(), layout, false, slack,
                                               apply_function<f(), bfloat16, float, bfloat16>);
    for (const auto& layout : summed_layouts)
      check_mapping<bfloat16, float, float>(f(), layout, true, slack, sum_function<f(), bfloat16, float, float>);
  });
}

TEST_CASE("functions of elements and their sums have the same bits on any number of threads", "[mapping]") {
  const Shape shape{2, 300, 70};
  const auto x = random_tensor<float>(shape, 1), y = random_tensor<float>(shape, 2);
  const FunctionInputs<float, float, Cpu> inputs{.x = Strided<float, Cpu>::of(x), .y = Strided<float, Cpu>::of(y)};
  const auto with = [&](const Strides& strides, std::int64_t size, const auto& run) {
    return same_on_any_threads([&] {
      Tensor<float, Cpu> result({size});
      run(StridedTarget<float, Cpu>{{result, strides}});
      return values_of(result);
    });
  };
  CHECK(with({21000, 70, 1}, 42000,
             [&](const auto& target) { apply_function<Function::gelu_slope>(shape, inputs, target); }));
  const auto sums = [&](const auto& target) { sum_function<Function::product>(shape, inputs, target); };
  CHECK(with({70, 0, 1}, 140, sums));
  CHECK(with({300, 1, 0}, 600, sums));
  CHECK(with({1, 0, 0}, 2, sums));
  CHECK(with({0, 0, 0}, 1, sums));
}
