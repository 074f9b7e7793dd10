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

/// run(shape, inputs, target) on the GPU, of operands and into a target on the host.
template <class T, class B, class Out>
auto there(FunctionRun<T, B, Out, Cuda>* run) {
  return [run](const Shape& shape, const FunctionInputs<T, B, Cpu>& inputs, const StridedTarget<Out, Cpu>& target) {
    const FunctionInputs<T, B, Cuda> in{moved_there(inputs.x), moved_there(inputs.y), moved_there(inputs.b),
                                        inputs.scale, inputs.shift};
    const StridedTarget<Out, Cuda> to{moved_there(target.to), target.accumulate};
    run(shape, in, to);
    auto result = target.to.tensor;
    copy(to_host(to.to.tensor), result);
  };
}

// A function is some ten roundings of intermediate results, and its argument's, which it may enlarge; a thread adds up
// 32 terms.
constexpr double slack = 64;

}  // namespace

TEMPLATE_TEST_CASE("functions of elements on the GPU are those of plain loops in every layout", "[gpu]", float,
                   bfloat16, lpw::half) {
  for_each_function([](auto f) {
    constexpr Function function = decltype(f)::value;
    const auto of_one_type =
        there<TestType, TestType, TestType>(apply_function<function, TestType, TestType, TestType>);
    const auto of_parameters = there<TestType, float, TestType>(apply_function<function, TestType, float, TestType>);
    for (const auto& layout : applied_layouts) {
      check_mapping<TestType, TestType, TestType>(function, layout, false, slack, of_one_type);
      check_mapping<TestType, float, TestType>(function, layout, true, slack, of_parameters);
    }
  });
}

TEMPLATE_TEST_CASE("sums of functions on the GPU are those of plain loops in every layout", "[gpu]", float, bfloat16,
                   lpw::half) {
  for_each_function([](auto f) {
    constexpr Function function = decltype(f)::value;
    const auto of_one_type = there<TestType, TestType, TestType>(sum_function<function, TestType, TestType, TestType>);
    const auto of_parameters = there<TestType, float, float>(sum_function<function, TestType, float, float>);
    // Every function in a layout, and some in all.
    const bool all = function == Function::identity || function == Function::product || function == Function::spread ||
                     function == Function::divisor_slope;
    for (const auto& layout : summed_layouts) {
      if (!all && layout.shape.size() > 2000) continue;
      check_mapping<TestType, TestType, TestType>(function, layout, true, slack, of_one_type);
      check_mapping<TestType, float, float>(function, layout, false, slack, of_parameters);
    }
  });
}
