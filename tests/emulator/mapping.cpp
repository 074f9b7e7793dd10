#include "emulator/kernel_check.hpp"

#include <lpw/cuda/plans/mapping.hpp>
#include <lpw/kernels/mapping.cuh>

#include "support/mapping.hpp"

using namespace lpw;
using namespace lpw::test;
using kernels::widest;

TEMPLATE_TEST_CASE("the kernel apply_function gives the same bits on any order of threads", "[mapping]", float,
                   bfloat16, half) {
  for (const std::int64_t size : {1, 64, 9000})
    with_widths<TestType>(size % widest<TestType> == 0, [&](auto width) {
      const auto x = random_tensor<TestType>({size}, 1), y = random_tensor<TestType>({size}, 2);
      const float b = 3;
      Walk walk;
      walk.rank = 1;
      walk.extent[0] = size;
      walk.stride[0][0] = walk.stride[1][0] = walk.stride[Walk::result][0] = 1;
      for (const Function f : {Function::multiply, Function::gelu_slope}) {
        for (const bool accumulate : {false, true}) {
          INFO("size " << size << " width " << width << " accumulate " << accumulate);
          auto result = accumulate ? random_tensor<TestType>({size}, 3) : unwritten<TestType>({size});
          const kernels::ApplyFunction<TestType, float, TestType> p{
              {x.data(), y.data(), &b, f, 1, 0, true}, result.data(), accumulate, detail::over_vectors(walk, width)};
          const auto plan = small_plan(size / width);
          CHECK(same_on_any_order(
              plan, [&] { kernels::apply_function<TestType, float, TestType, width()>(p); }, result));
          CHECK(std::isfinite(largest_magnitude(result)));
        }
      }
    });
}

TEST_CASE("the kernel apply_function gives slopes of large numbers as their limits", "[mapping]") {
  const auto dy = full<float, Cpu>({6}, 1.f);
  const auto at = tensor_of<float>({6}, std::vector<float>{1e13f, -1e13f, 1e20f, -1e20f, 3e38f, -3e38f});
  for (const Function f : {Function::gelu_slope, Function::gelu_tanh_slope, Function::silu_slope}) {
    auto slopes = unwritten<float>({6});
    Walk walk;
    walk.rank = 1;
    walk.extent[0] = 6;
    walk.stride[0][0] = walk.stride[1][0] = walk.stride[Walk::result][0] = 1;
    const kernels::ApplyFunction<float, float, float> p{
        {dy.data(), at.data(), nullptr, f, 1, 0, false}, slopes.data(), false, walk};
    CHECK(same_on_any_order<1>(
        small_plan(6), [&] { kernels::apply_function<float, float, float, 1>(p); }, slopes));
    CHECK(values_of(slopes) == std::vector<double>{1, 0, 1, 0, 1, 0});
  }
}

TEST_CASE("the kernel sum_function gives the same bits on any order of threads, in parts and with their sum",
          "[mapping]") {
  for (const auto& layout : summed_layouts) {
    INFO(layout.name);
    const auto x = laid_out<bfloat16>(layout.shape, layout.x, layout.first, 1),
               y = laid_out<bfloat16>(layout.shape, layout.y, 0, 2);
    auto result = laid_out<float>(layout.shape, layout.result, layout.first, 3);
    const FunctionInputs<bfloat16, float, Cpu> inputs{.x = x, .y = y};
    const Walk walk = walk_over(layout.shape, inputs, StridedTarget<float, Cpu>{result});
    const SumPlan plan(walk);
    auto partial = unwritten<float>({plan.parts, plan.results});
    const kernels::SumFunction<bfloat16, float, float> p{{x.data(), y.data(), nullptr, Function::product, 1, 0, false},
                                                         result.data(),
                                                         partial.data(),
                                                         true,
                                                         part_of(walk, false),
                                                         part_of(walk, true),
                                                         plan.along,
                                                         plan.lanes,
                                                         plan.columns,
                                                         plan.results,
                                                         plan.length,
                                                         static_cast<int>(plan.parts)};
    CHECK(same_on_any_order(
        plan.launch(), [&] { kernels::sum_function<bfloat16, float, float>(p); }, partial, result.tensor));
    if (plan.parts > 1) CHECK(std::isfinite(largest_magnitude(partial)));
  }
}
