#include <lpw/cuda/mapping.hpp>

#include "cuda/support.hpp"
#include "support/mapping.hpp"

using namespace lpw;
using namespace lpw::test;

namespace {

template <class T>
Strided<T, Cuda> moved_there(const Strided<T, Cpu>& host) {
  return {on_device(host.tensor), host.strides, host.first};
}

/// run(f, shape, inputs, target) on the GPU, of operands and into a target on the host.
template <class Run>
auto there(const Run& run) {
  return [run](auto f, const Shape& shape, const auto& inputs, auto& target) {
    const auto x = moved_there(inputs.x), y = moved_there(inputs.y);
    const auto b = moved_there(inputs.b);
    using T = typename std::decay_t<decltype(x.tensor)>::value_type;
    using B = typename std::decay_t<decltype(b.tensor)>::value_type;
    using Out = typename std::decay_t<decltype(target.to.tensor)>::value_type;
    const FunctionInputs<T, B, Cuda> in{x, y, b, inputs.scale, inputs.shift};
    StridedTarget<Out, Cuda> to{moved_there(target.to), target.accumulate};
    run(f, shape, in, to);
    const auto result = to_host(to.to.tensor);
    copy(result, target.to.tensor);
  };
}

constexpr auto run_apply = [](auto f, const Shape& shape, const auto& inputs, const auto& target) {
  apply_function<decltype(f)::value>(shape, inputs, target);
};
constexpr auto run_sum = [](auto f, const Shape& shape, const auto& inputs, const auto& target) {
  sum_function<decltype(f)::value>(shape, inputs, target);
};

// A function is some ten roundings of intermediate results, and its argument's, which it may enlarge; a thread adds up
// 32 terms.
constexpr double slack = 64;

}  // namespace

TEMPLATE_TEST_CASE("functions of elements on the GPU are those of plain loops in every layout", "[gpu]", float,
                   bfloat16, lpw::half) {
  for_each_function([](auto f) {
    constexpr Function function = decltype(f)::value;
    for (const auto& layout : applied_layouts) {
      check_mapping<TestType, TestType, TestType, function>(layout, false, slack, there(run_apply));
      check_mapping<TestType, float, TestType, function>(layout, true, slack, there(run_apply));
    }
  });
}

TEMPLATE_TEST_CASE("sums of functions on the GPU are those of plain loops in every layout", "[gpu]", float, bfloat16,
                   lpw::half) {
  for_each_function([](auto f) {
    constexpr Function function = decltype(f)::value;
    // Every function in a layout, and some in all.
    const bool all = function == Function::identity || function == Function::product || function == Function::spread ||
                     function == Function::divisor_slope;
    for (const auto& layout : summed_layouts) {
      if (!all && layout.shape.size() > 2000) continue;
      check_mapping<TestType, TestType, TestType, function>(layout, true, slack, there(run_sum));
      check_mapping<TestType, float, float, function>(layout, false, slack, there(run_sum));
    }
  });
}
